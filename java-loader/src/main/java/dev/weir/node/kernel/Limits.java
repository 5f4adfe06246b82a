// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import dev.weir.node.bpf.BpfMap;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.Service;
import dev.weir.policy.plan.TrafficPolicy;
import dev.weir.policy.plan.TrafficPolicy.ConnectionRate;
import dev.weir.policy.plan.TrafficPolicy.PacketRate;
import dev.weir.policy.plan.TrafficPolicy.Scope;
import dev.weir.policy.plan.TrafficPolicy.Target;
import dev.weir.policy.plan.TrafficPolicy.TargetKind;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;

/**
 * How often sources may reach whom, as the kernel asks it: of a service by each of its ports, of a
 * workload as a whole.
 */
final class Limits {

  /**
   * What is asked for.
   *
   * @param destination index of a service or workload in the plan
   * @param port virtual port of a service; 0 for a workload
   * @param protocol TCP for connections, UDP for packets
   */
  record Key(int destination, int port, Protocol protocol) {}

  /**
   * A limit.
   *
   * @param perSecond at least 1
   * @param burst at least 1
   * @param rule index of the rule that says it
   * @param port under which it is counted; 0 for all ports of a service together
   * @param each source by itself
   */
  record Limit(int perSecond, int burst, int rule, int port, boolean each) {}

  private static final long IDLE_NANOS = 60_000_000_000L;

  private final SortedMap<Key, Limit> rows =
      new TreeMap<>(
          Comparator.comparingInt(Key::destination)
              .thenComparingInt(Key::port)
              .thenComparing(Key::protocol));
  private final Map<Key, Limit> said = new HashMap<>();
  private boolean onWorkloads;

  /** What the TrafficPolicies of a plan say. */
  Limits(Plan plan) {
    for (TrafficPolicy policy : plan.traffic()) {
      for (TrafficPolicy.Setting setting : policy.settings()) {
        switch (setting) {
          case ConnectionRate rate ->
              add(policy, Protocol.TCP, rate.perSecond(), rate.burst(), rate.scope());
          case PacketRate rate ->
              add(policy, Protocol.UDP, rate.perSecond(), rate.burst(), rate.scope());
          default -> {}
        }
      }
    }
    for (Service service : plan.services()) {
      Key key = key(service);
      Limit whole = said.get(new Key(service.workload(), 0, service.protocol()));
      Limit limit = said.getOrDefault(key, whole);
      if (limit != null) {
        rows.put(key, limit);
      }
    }
  }

  private void add(TrafficPolicy policy, Protocol protocol, int rate, int burst, Scope scope) {
    for (Target target : policy.targets()) {
      Key key = new Key(target.index(), target.port(), protocol);
      Limit limit =
          new Limit(rate, burst, policy.rule(), target.port(), scope == Scope.SOURCE_IDENTITY);
      if (target.kind() == TargetKind.WORKLOAD) {
        rows.put(key, limit);
        onWorkloads = true;
      } else if (target.kind() == TargetKind.SERVICE) {
        said.put(key, limit);
      }
    }
  }

  private static Key key(Service service) {
    return new Key(service.workload(), service.port(), service.protocol());
  }

  /** What the kernel is to know, in a fixed order. */
  SortedMap<Key, Limit> rows() {
    return Collections.unmodifiableSortedMap(rows);
  }

  /** Whether one holds for a port of a service. */
  boolean holdsFor(Service service) {
    return rows.containsKey(key(service));
  }

  /** Whether any is of a workload. */
  boolean onWorkloads() {
    return onWorkloads;
  }

  /**
   * Makes room in the kernel when three quarters of it are taken: forgets who has sent nothing for
   * a minute and of whom everything has drained, which is as if he had never sent anything.
   * Whatever the rate, at least a billionth drains each nanosecond.
   */
  static void forgetDrained(Mesh mesh, Layouts layouts, long bootNanos) {
    BpfMap states = mesh.map(Mesh.LIMIT_STATES);
    List<ByteBuffer> drained = new ArrayList<>();
    int[] taken = new int[1];
    states.forEach(
        (key, value) -> {
          taken[0]++;
          long idle = bootNanos - layouts.limitState.since().get(value, 0);
          if (idle - IDLE_NANOS > layouts.limitState.level().get(value, 0)) {
            ByteBuffer copy = states.newKey();
            drained.add(copy.put(0, key, 0, copy.capacity()));
          }
        });
    if (taken[0] > states.maxEntries() / 4 * 3) {
      drained.forEach(states::delete);
    }
  }

  /** Whether packets must be looked at. */
  boolean ofPackets() {
    return rows.keySet().stream().anyMatch(key -> key.protocol() == Protocol.UDP);
  }
}
