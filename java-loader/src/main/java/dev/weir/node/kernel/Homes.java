// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import dev.weir.node.bpf.BpfException;
import dev.weir.node.bpf.BpfMap;
import dev.weir.node.bpf.Errno;
import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Endpoint;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.PortOwner;
import java.nio.ByteBuffer;
import java.util.ArrayDeque;
import java.util.BitSet;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;

/**
 * What plans say of workloads in network namespaces of their own.
 *
 * @param addresses stable number of the workload that has it, on this node
 * @param ports of each workload that declares some, of any protocol, by its stable number
 */
record Homes(Map<Address, Integer> addresses, Map<Integer, BitSet> ports) {

  /** In place of a workload: the namespace is of several. */
  private static final int NOBODY = 0;

  /** Of a mesh in which nothing is in force. */
  static final Homes NONE = new Homes(Map.of(), Map.of());

  /** What one plan says. */
  static Homes of(Plan plan, List<Integer> numbers) {
    Map<Address, Integer> addresses = new HashMap<>();
    for (Endpoint endpoint : plan.endpoints()) {
      if (!endpoint.remote()) {
        addresses.put(endpoint.address(), numbers.get(endpoint.workload()));
      }
    }
    Map<Integer, BitSet> ports = new HashMap<>();
    for (PortOwner owner : plan.ports()) {
      if (owner.apart() && owner.port() > 0) {
        ports
            .computeIfAbsent(numbers.get(owner.workload()), number -> new BitSet())
            .set(owner.port());
      }
    }
    return new Homes(addresses, ports);
  }

  /** The same with the ports of another plan, which may come to be in force again. */
  Homes withPortsOf(Homes other) {
    Map<Integer, BitSet> both = new HashMap<>(ports);
    other.ports().forEach((number, more) -> both.merge(number, more, ReservedPorts::or));
    return new Homes(addresses, both);
  }

  /**
   * The ports that are somebody's in each namespace.
   *
   * @param homes workload of each namespace, by cookie
   */
  Map<Long, BitSet> portsOf(Map<Long, Integer> homes) {
    Map<Long, BitSet> owned = new HashMap<>();
    homes.forEach(
        (cookie, number) -> {
          BitSet own = ports.get(number);
          if (own != null) {
            owned.put(cookie, own);
          }
        });
    return owned;
  }

  /** Who lives where as the kernel holds it. */
  static Map<Long, Integer> read(BpfMap map, Layouts layouts) {
    Map<Long, Integer> homes = new HashMap<>();
    map.forEach(
        (key, value) -> homes.put(key.getLong(0), layouts.home.workload().getInt(value, 0)));
    return homes;
  }

  /**
   * Tells the kernel who lives where. What a namespace's addresses do not say, because no declared
   * one is there, or more than one workload's, stays as it was found out before; without room for
   * what they say, such goes first.
   *
   * @param before what the kernel held before the walk
   * @param dwellers workloads whose addresses a walk has seen in each namespace but the node's
   * @return what the kernel holds now
   */
  static Map<Long, Integer> tell(
      BpfMap map,
      Layouts layouts,
      Map<Long, Integer> before,
      Map<Long, Set<Integer>> dwellers,
      Consumer<String> failures) {
    Map<Long, Integer> now = new HashMap<>();
    Map<Long, Integer> seen = new HashMap<>();
    ByteBuffer key = map.newKey();
    Deque<Long> guesses = new ArrayDeque<>();
    before.forEach(
        (cookie, number) -> {
          if (!dwellers.containsKey(cookie)) {
            map.delete(key.putLong(0, cookie));
          } else {
            now.put(cookie, number);
            if (dwellers.getOrDefault(cookie, Set.of()).isEmpty()) {
              guesses.add(cookie);
            }
          }
        });
    dwellers.forEach(
        (cookie, here) -> {
          Integer known = before.get(cookie);
          if (here.size() == 1) {
            seen.put(cookie, here.iterator().next());
          } else if (here.size() > 1 && (known == null || !here.contains(known))) {
            seen.put(cookie, NOBODY);
            failures.accept(
                "a network namespace has addresses of several workloads, so nobody owns ports"
                    + " there; give each workload a network namespace of its own");
          }
        });
    ByteBuffer value = map.newValue();
    seen.forEach(
        (cookie, number) -> {
          if (number.equals(before.get(cookie))) {
            return;
          }
          layouts.home.workload().put(value, 0, number);
          while (true) {
            try {
              map.update(key.putLong(0, cookie), value);
              now.put(cookie, number);
              return;
            } catch (BpfException e) {
              Long guess = e.errno() == Errno.E2BIG ? guesses.poll() : null;
              if (guess == null) {
                failures.accept(
                    "this node has more network namespaces than fit; in some of them declared ports"
                        + " may be bound by anybody: "
                        + e.getMessage());
                return;
              }
              map.delete(key.putLong(0, guess));
              now.remove(guess);
            }
          }
        });
    return now;
  }
}
