// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import dev.weir.node.bpf.BpfMap;
import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.Verdict;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** What the programs have counted and what they report, as records. */
final class Counters {

  /** {@code enum weir_counter}, in order. */
  private enum Counter {
    EVENTS_LOST,
    PAIRS_FULL,
    REFUSALS_FULL,
    HANDOVERS_FULL,
    HANDOVERS_MISSED,
    CGROUPS_FULL,
    NO_STORAGE,
    NO_GENERATION,
    CONNECTS,
    REVOKED,
    EJECTED,
    REPLIES_REFUSED,
    LIMITS_FULL,
    CANARIES_REFUSED,
    AFFINITIES_FULL,
    HOMES_FULL
  }

  private static final int AUDITED = 0x80;
  private static final int TURNED_AWAY = 0x40;
  private static final int ACCEPTED = 0x80;
  private static final Verdict.Decision[] DECISIONS = Verdict.Decision.values();
  private static final int DECISION_MASK = 3;

  private Counters() {}

  static Snapshot read(Mesh mesh, Layouts layouts) {
    // The programs make the overflow rows ahead of need; one that counts nothing says nothing.
    return new Snapshot(
        pairs(mesh.map(Mesh.PAIRS), layouts).stream()
            .filter(pair -> pair.opened() + pair.closed() + pair.failed() != 0)
            .toList(),
        refusals(mesh.map(Mesh.REFUSALS), layouts).stream()
            .filter(refusal -> refusal.count() != 0)
            .toList(),
        counters(mesh.map(Mesh.COUNTERS)));
  }

  private static List<Snapshot.Pair> pairs(BpfMap map, Layouts layouts) {
    List<Snapshot.Pair> pairs = new ArrayList<>();
    Layouts.PairKey key = layouts.pairKey;
    Layouts.Pair pair = layouts.pair;
    int stride = map.perCpuStride();
    int cpus = BpfMap.possibleCpus();
    map.forEach(
        (k, v) -> {
          List<Long> histogram = new ArrayList<>(Layouts.Pair.LATENCY_BUCKETS);
          for (int bucket = 0; bucket < Layouts.Pair.LATENCY_BUCKETS; bucket++) {
            long sum = 0;
            for (int cpu = 0; cpu < cpus; cpu++) {
              int at = cpu * stride + pair.connect().offset() + bucket * Integer.BYTES;
              sum += Integer.toUnsignedLong(v.getInt(at));
            }
            histogram.add(sum);
          }
          pairs.add(
              new Snapshot.Pair(
                  key.source().getInt(k, 0),
                  key.destination().getInt(k, 0),
                  key.port().getInt(k, 0),
                  protocol(key.protocol().getInt(k, 0)),
                  DECISIONS[key.verdict().getInt(k, 0) & DECISION_MASK],
                  (key.verdict().getInt(k, 0) & ACCEPTED) != 0,
                  sum(pair.opened(), v, stride, cpus),
                  sum(pair.closed(), v, stride, cpus),
                  sum(pair.sentBytes(), v, stride, cpus),
                  sum(pair.receivedBytes(), v, stride, cpus),
                  sum(pair.retransmits(), v, stride, cpus),
                  sum(pair.roundTripSum(), v, stride, cpus),
                  sum(pair.roundTripSamples(), v, stride, cpus),
                  sum(pair.durationSum(), v, stride, cpus),
                  sum(pair.connectSum(), v, stride, cpus),
                  sum(pair.failed(), v, stride, cpus),
                  histogram));
        });
    return pairs;
  }

  private static List<Snapshot.Refusal> refusals(BpfMap map, Layouts layouts) {
    List<Snapshot.Refusal> refusals = new ArrayList<>();
    Layouts.RefusalKey key = layouts.refusalKey;
    int cpus = BpfMap.possibleCpus();
    map.forEach(
        (k, v) -> {
          int reason = key.reason().getInt(k, 0);
          refusals.add(
              new Snapshot.Refusal(
                  key.source().getInt(k, 0),
                  key.destination().getInt(k, 0),
                  key.port().getInt(k, 0),
                  protocol(key.protocol().getInt(k, 0)),
                  key.rule().getInt(k, 0),
                  reason(reason),
                  (reason & AUDITED) != 0,
                  (reason & TURNED_AWAY) != 0,
                  sum(v, cpus)));
        });
    return refusals;
  }

  /** Connects of {@link Canary#REFUSED} that were refused until now. */
  static long canariesRefused(Mesh mesh) {
    BpfMap map = mesh.map(Mesh.COUNTERS);
    ByteBuffer value = map.newValue();
    map.lookup(map.newKey().putInt(0, Counter.CANARIES_REFUSED.ordinal()), value);
    return sum(value, BpfMap.possibleCpus());
  }

  private static Map<String, Long> counters(BpfMap map) {
    Map<String, Long> counters = new LinkedHashMap<>();
    ByteBuffer key = map.newKey();
    ByteBuffer value = map.newValue();
    int cpus = BpfMap.possibleCpus();
    for (Counter counter : Counter.values()) {
      if (map.lookup(key.putInt(0, counter.ordinal()), value)) {
        counters.put(counter.name().toLowerCase(Locale.ROOT), sum(value, cpus));
      }
    }
    return counters;
  }

  private static long sum(ByteBuffer values, int cpus) {
    long sum = 0;
    for (int cpu = 0; cpu < cpus; cpu++) {
      sum += values.getLong(cpu * Long.BYTES);
    }
    return sum;
  }

  private static long sum(
      dev.weir.node.bpf.StructLayout.Field field, ByteBuffer values, int stride, int cpus) {
    long sum = 0;
    for (int cpu = 0; cpu < cpus; cpu++) {
      sum += field.get(values, cpu * stride);
    }
    return sum;
  }

  /** A protocol that has no number of its own counts as any. */
  static Protocol protocol(int number) {
    Protocol[] protocols = Protocol.values();
    return number < protocols.length ? protocols[number] : Protocol.ANY;
  }

  static Reason reason(int number) {
    Reason[] reasons = Reason.values();
    int plain = number & ~(AUDITED | TURNED_AWAY);
    return plain < reasons.length ? reasons[plain] : Reason.NONE;
  }

  static Event event(ByteBuffer record, Layouts layouts) {
    Layouts.Event event = layouts.event;
    int reason = event.reason().getInt(record, 0);
    int hook = event.hook().getInt(record, 0);
    Hook[] hooks = Hook.values();
    return new Event(
        event.time().get(record, 0),
        event.generation().get(record, 0),
        event.cgroup().get(record, 0),
        Address.of(event.address().bytes(record, 0)),
        event.port().getInt(record, 0),
        protocol(event.protocol().getInt(record, 0)),
        event.pid().getInt(record, 0),
        event.source().getInt(record, 0),
        event.destination().getInt(record, 0),
        event.rule().getInt(record, 0),
        hook < hooks.length ? hooks[hook] : Hook.NONE,
        reason(reason),
        (reason & AUDITED) != 0,
        text(event.command().bytes(record, 0)),
        event.left().get(record, 0));
  }

  private static String text(byte[] bytes) {
    int end = 0;
    while (end < bytes.length && bytes[end] != 0) {
      end++;
    }
    return new String(bytes, 0, end, java.nio.charset.StandardCharsets.UTF_8);
  }
}
