// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.telemetry;

import dev.weir.node.kernel.Event;
import dev.weir.node.kernel.Hook;
import dev.weir.node.kernel.Reason;
import dev.weir.node.kernel.Snapshot;
import dev.weir.node.kernel.Snapshot.Pair;
import dev.weir.node.kernel.Snapshot.Refusal;
import dev.weir.policy.json.Json;
import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.Verdict.Decision;
import java.time.Clock;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;

/**
 * What the kernel has counted and reported since the last interval, as flow lines (docs/policy.md):
 * one for all connections of one kind. Numbers are the kernel's own, so over any time {@code count}
 * and {@code suppressed} of the lines of a kind add up to what was made or refused; events only
 * tell to which address and under which generation. A refusal whose event the kernel did not write,
 * or that found no room here, is {@code suppressed} on another line of its kind.
 *
 * <p>Safe for use by several threads.
 */
public final class FlowLog {

  /** Kinds of refusals with lines of their own in one interval. */
  private static final int MAX_KINDS = 1024;

  private record PairKey(
      int source,
      int destination,
      int port,
      Protocol protocol,
      Decision verdict,
      boolean accepted) {
    static PairKey of(Pair pair) {
      return new PairKey(
          pair.source(),
          pair.destination(),
          pair.port(),
          pair.protocol(),
          pair.verdict(),
          pair.accepted());
    }
  }

  /** What the kernel counts refusals by. */
  private record RefusalKey(
      int source,
      int destination,
      int port,
      Protocol protocol,
      int rule,
      Reason reason,
      boolean audited,
      boolean turnedAway) {
    static RefusalKey of(Refusal refusal) {
      return new RefusalKey(
          refusal.source(),
          refusal.destination(),
          refusal.port(),
          refusal.protocol(),
          refusal.rule(),
          refusal.reason(),
          refusal.audited(),
          refusal.turnedAway());
    }

    static RefusalKey of(Event event) {
      return new RefusalKey(
          event.source(),
          event.destination(),
          event.port(),
          event.protocol(),
          event.rule(),
          event.reason(),
          event.audited(),
          event.hook() == Hook.INGRESS);
    }

    PairKey pair() {
      return new PairKey(source, destination, port, protocol, Decision.AUDIT, turnedAway);
    }
  }

  /** What events tell apart beyond that. */
  private record Where(Address address, long generation) {}

  private final Clock clock;
  private Map<PairKey, Pair> pairs = new HashMap<>();
  private Map<RefusalKey, Long> refusals = new HashMap<>();
  private final Map<RefusalKey, Map<Where, Long>> reported = new LinkedHashMap<>();
  private int kinds;

  /** A log that begins with {@link #begin}. */
  public FlowLog(Clock clock) {
    this.clock = clock;
  }

  /** What was counted until now is nobody's news. */
  public synchronized void begin(Snapshot snapshot) {
    reported.clear();
    kinds = 0;
    keep(snapshot);
  }

  /** Takes note of an event of the kernel. */
  public synchronized void event(Event event) {
    if (event.hook() == Hook.MOVED || event.reason() == Reason.NONE) {
      return;
    }
    RefusalKey key = RefusalKey.of(event);
    Where where = new Where(event.address(), event.generation());
    Map<Where, Long> places = reported.get(key);
    if (places == null || !places.containsKey(where)) {
      if (kinds >= MAX_KINDS) {
        return; // the kernel has counted it
      }
      kinds++;
    }
    reported.computeIfAbsent(key, k -> new LinkedHashMap<>()).merge(where, 1L, Long::sum);
  }

  /**
   * The lines of the interval that ends now.
   *
   * @param generation in force
   */
  public synchronized List<String> lines(Snapshot snapshot, Names names, long generation) {
    Instant now = clock.instant().truncatedTo(ChronoUnit.MILLIS);
    List<Map<String, Object>> lines = new ArrayList<>();
    Map<PairKey, Map<String, Object>> audited = new HashMap<>();
    for (Refusal refusal : snapshot.refusals()) {
      RefusalKey key = RefusalKey.of(refusal);
      long due = refusal.count() - refusals.getOrDefault(key, 0L);
      if (due > 0) {
        List<Map<String, Object>> told = refused(key, due, names, generation, now);
        lines.addAll(told);
        if (key.audited()) {
          audited.putIfAbsent(key.pair(), told.getFirst());
        }
      }
    }
    for (Pair pair : snapshot.pairs()) {
      made(pair, names, generation, now, audited).ifPresent(lines::add);
    }
    reported.clear();
    kinds = 0;
    keep(snapshot);
    return lines.stream().map(Json::line).toList();
  }

  private void keep(Snapshot snapshot) {
    pairs = new HashMap<>();
    snapshot.pairs().forEach(pair -> pairs.put(PairKey.of(pair), pair));
    refusals = new HashMap<>();
    snapshot.refusals().forEach(row -> refusals.put(RefusalKey.of(row), row.count()));
  }

  private List<Map<String, Object>> refused(
      RefusalKey key, long due, Names names, long generation, Instant now) {
    List<Map<String, Object>> lines = new ArrayList<>();
    long left = due;
    for (Map.Entry<Where, Long> entry : reported.getOrDefault(key, Map.of()).entrySet()) {
      long count = Math.min(left, entry.getValue());
      if (count > 0) {
        left -= count;
        Where where = entry.getKey();
        lines.add(refusal(key, where.generation(), Optional.of(where.address()), names, now));
        lines.getLast().put("count", count);
      }
    }
    if (lines.isEmpty()) {
      lines.add(refusal(key, generation, Optional.empty(), names, now));
      lines.getLast().put("count", 0L);
    }
    if (left > 0) {
      lines.getLast().put("suppressed", left);
    }
    return lines;
  }

  private static Map<String, Object> refusal(
      RefusalKey key, long generation, Optional<Address> address, Names names, Instant now) {
    Map<String, Object> line = new LinkedHashMap<>();
    line.put("time", now.toString());
    ends(line, key.source(), key.destination(), names);
    address
        .filter(known -> !known.equals(NOWHERE))
        .ifPresent(
            known -> line.put(key.turnedAway() ? "source_address" : "address", known.toString()));
    line.put("direction", direction(key.turnedAway()));
    line.put("protocol", word(key.protocol()));
    line.put("port", key.port());
    line.put("verdict", key.audited() ? "audit" : "refuse");
    line.put("reason", word(key.reason()));
    line.put("rule", names.ruleText(key.rule()));
    line.put("generation", generation);
    return line;
  }

  private static final Address NOWHERE = new Address(0, 0);

  /** Connections that were made. What was audited has its line, and its count, as that. */
  private Optional<Map<String, Object>> made(
      Pair pair,
      Names names,
      long generation,
      Instant now,
      Map<PairKey, Map<String, Object>> audited) {
    PairKey key = PairKey.of(pair);
    Optional<Pair> before = Optional.ofNullable(pairs.get(key));
    long opened = pair.opened() - before.map(Pair::opened).orElse(0L);
    long timed = pair.timed() - before.map(Pair::timed).orElse(0L);
    long closed = pair.closed() - before.map(Pair::closed).orElse(0L);
    long failed = pair.failed() - before.map(Pair::failed).orElse(0L);
    long sent = pair.sentBytes() - before.map(Pair::sentBytes).orElse(0L);
    long received = pair.receivedBytes() - before.map(Pair::receivedBytes).orElse(0L);
    long retransmits = pair.retransmits() - before.map(Pair::retransmits).orElse(0L);
    boolean carried = sent != 0 || received != 0 || retransmits != 0;
    if (opened == 0 && closed == 0 && failed == 0 && !carried) {
      return Optional.empty();
    }
    Map<String, Object> line = new LinkedHashMap<>();
    Optional<Map<String, Object>> told = Optional.ofNullable(audited.get(key));
    if (told.isEmpty()) {
      line.put("time", now.toString());
      if (pair.isOverflow()) {
        line.put("source", "overflow"); // of many: replay passes it over, since nobody is called so
        line.put("event", "overflow");
      } else {
        ends(line, pair.source(), pair.destination(), names);
      }
      line.put("direction", direction(pair.accepted()));
      line.put("protocol", word(pair.protocol()));
      line.put("port", pair.port());
      if (!pair.isOverflow()) {
        line.put("verdict", word(pair.verdict()));
      }
      line.put("generation", generation);
      line.put("count", pair.verdict() == Decision.AUDIT ? 0L : opened);
    }
    Map<String, Object> to = told.orElse(line);
    if (failed > 0) {
      to.put("failed", failed);
    }
    if (timed > 0) {
      to.put(
          "connect_us",
          (pair.connectMicrosSum() - before.map(Pair::connectMicrosSum).orElse(0L)) / timed);
    }
    if (closed > 0) {
      to.put("closed", closed);
    }
    if (closed > 0 || carried) {
      to.put("bytes_sent", sent);
      to.put("bytes_received", received);
      to.put("retransmits", retransmits);
    }
    long samples = pair.roundTripSamples() - before.map(Pair::roundTripSamples).orElse(0L);
    if (samples > 0) {
      to.put(
          "rtt_us",
          (pair.roundTripMicrosSum() - before.map(Pair::roundTripMicrosSum).orElse(0L)) / samples);
    }
    return told.isPresent() ? Optional.empty() : Optional.of(line);
  }

  private static void ends(Map<String, Object> line, int source, int destination, Names names) {
    line.put("source", names.workloadText(source));
    line.put("destination", names.destinationText(destination));
  }

  private static String direction(boolean accepted) {
    return accepted ? "ingress" : "egress";
  }

  private static String word(Enum<?> value) {
    return value.name().toLowerCase(Locale.ROOT);
  }
}
