// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.telemetry;

import dev.weir.node.kernel.Snapshot;
import dev.weir.node.kernel.Snapshot.Pair;
import dev.weir.node.kernel.Snapshot.Refusal;
import dev.weir.policy.plan.Protocol;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.OptionalLong;

/**
 * What happened between two snapshots.
 *
 * @param seconds between them
 * @param rows by pair, port, protocol and verdict; refusals are rows of verdict {@code refuse}
 */
public record Rates(double seconds, List<Row> rows) {

  /** Copies the list. */
  public Rates {
    rows = List.copyOf(rows);
  }

  /**
   * One pair.
   *
   * @param source {@code namespace/name}
   * @param destination {@code namespace/name}, or {@code service/namespace/name}
   * @param port of the destination
   * @param protocol in lower case
   * @param verdict in lower case
   * @param opened since the pins are there
   * @param open now
   * @param refused since the pins are there
   * @param openedPerSecond in between
   * @param refusedPerSecond in between
   * @param sentPerSecond bytes in between
   * @param receivedPerSecond bytes in between
   * @param connectMicros mean time to connect of those opened in between
   * @param roundTripMicros mean smoothed round trip of those open or closed in between
   * @param retransmits since the pins are there
   */
  public record Row(
      String source,
      String destination,
      int port,
      String protocol,
      String verdict,
      long opened,
      long open,
      long refused,
      double openedPerSecond,
      double refusedPerSecond,
      double sentPerSecond,
      double receivedPerSecond,
      OptionalLong connectMicros,
      OptionalLong roundTripMicros,
      long retransmits) {

    private Map<String, Object> json() {
      Map<String, Object> json = new LinkedHashMap<>();
      json.put("source", source);
      json.put("destination", destination);
      json.put("port", port);
      json.put("protocol", protocol);
      json.put("verdict", verdict);
      json.put("opened", opened);
      json.put("open", open);
      json.put("refused", refused);
      json.put("retransmits", retransmits);
      json.put("opened_per_second", openedPerSecond);
      json.put("refused_per_second", refusedPerSecond);
      json.put("bytes_sent_per_second", sentPerSecond);
      json.put("bytes_received_per_second", receivedPerSecond);
      connectMicros.ifPresent(micros -> json.put("connect_us", micros));
      roundTripMicros.ifPresent(micros -> json.put("rtt_us", micros));
      return json;
    }
  }

  private record Key(
      int source, int destination, int port, Protocol protocol, Object verdict, boolean accepted) {}

  /** The difference of two snapshots of one mesh. */
  public static Rates between(Snapshot before, Snapshot now, Duration time, Names names) {
    double seconds = Math.max(time.toNanos() / 1e9, 1e-3);
    List<Row> rows = new ArrayList<>();
    Map<Key, Pair> pairs = new HashMap<>();
    before.pairs().forEach(pair -> pairs.put(key(pair), pair));
    for (Pair pair : now.pairs()) {
      rows.add(row(pair, pairs.getOrDefault(key(pair), none(pair)), seconds, names));
    }
    Map<Key, Long> refused = new HashMap<>();
    before.refusals().forEach(row -> refused.merge(key(row), row.count(), Long::sum));
    Map<Key, Long> refusedNow = new LinkedHashMap<>();
    now.refusals().stream()
        .filter(row -> !row.audited())
        .forEach(row -> refusedNow.merge(key(row), row.count(), Long::sum));
    refusedNow.forEach(
        (key, count) ->
            rows.add(
                new Row(
                    source(key.source(), key.destination(), names),
                    destination(key.source(), key.destination(), names),
                    key.port(),
                    word(key.protocol()),
                    "refuse",
                    0,
                    0,
                    count,
                    0,
                    Math.max(0, count - refused.getOrDefault(key, 0L)) / seconds,
                    0,
                    0,
                    OptionalLong.empty(),
                    OptionalLong.empty(),
                    0)));
    return new Rates(seconds, rows);
  }

  private static Key key(Pair pair) {
    return new Key(
        pair.source(),
        pair.destination(),
        pair.port(),
        pair.protocol(),
        pair.verdict(),
        pair.accepted());
  }

  private static Key key(Refusal row) {
    return new Key(
        row.source(), row.destination(), row.port(), row.protocol(), row.audited(), false);
  }

  private static Pair none(Pair pair) {
    return new Pair(
        pair.source(),
        pair.destination(),
        pair.port(),
        pair.protocol(),
        pair.verdict(),
        pair.accepted(),
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        List.of());
  }

  private static Row row(Pair pair, Pair before, double seconds, Names names) {
    long opened = pair.opened() - before.opened();
    long timed = pair.timed() - before.timed();
    long samples = pair.roundTripSamples() - before.roundTripSamples();
    return new Row(
        source(pair.source(), pair.destination(), names),
        destination(pair.source(), pair.destination(), names),
        pair.port(),
        word(pair.protocol()),
        pair.isOverflow() ? "-" : word(pair.verdict()),
        pair.opened(),
        pair.open(),
        0,
        opened / seconds,
        0,
        (pair.sentBytes() - before.sentBytes()) / seconds,
        (pair.receivedBytes() - before.receivedBytes()) / seconds,
        timed > 0
            ? OptionalLong.of((pair.connectMicrosSum() - before.connectMicrosSum()) / timed)
            : OptionalLong.empty(),
        samples > 0
            ? OptionalLong.of((pair.roundTripMicrosSum() - before.roundTripMicrosSum()) / samples)
            : OptionalLong.empty(),
        pair.retransmits());
  }

  private static String source(int source, int destination, Names names) {
    return source == 0 && destination == 0 ? KernelMetrics.OVERFLOW : names.workloadText(source);
  }

  private static String destination(int source, int destination, Names names) {
    return source == 0 && destination == 0
        ? KernelMetrics.OVERFLOW
        : names.destinationText(destination);
  }

  private static String word(Enum<?> value) {
    return value.name().toLowerCase(Locale.ROOT);
  }

  /** Connections per second, of all pairs. */
  public double openedPerSecond() {
    return rows.stream().mapToDouble(Row::openedPerSecond).sum();
  }

  /** Refusals per second, of all pairs. */
  public double refusedPerSecond() {
    return rows.stream().mapToDouble(Row::refusedPerSecond).sum();
  }

  /** Connections that are open. */
  public long open() {
    return rows.stream().mapToLong(Row::open).sum();
  }

  /** All of it, rows in this order. */
  public Map<String, Object> json(List<Row> sorted) {
    Map<String, Object> json = new LinkedHashMap<>();
    json.put("seconds", seconds);
    json.put("opened_per_second", openedPerSecond());
    json.put("refused_per_second", refusedPerSecond());
    json.put("open", open());
    json.put("pairs", sorted.stream().map(Row::json).toList());
    return json;
  }
}
