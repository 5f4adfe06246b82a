// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.telemetry;

import dev.weir.node.kernel.Snapshot;
import dev.weir.node.kernel.Snapshot.Pair;
import dev.weir.node.kernel.Snapshot.Refusal;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.Workload;
import io.prometheus.client.Collector;
import io.prometheus.client.Collector.MetricFamilySamples;
import io.prometheus.client.Collector.MetricFamilySamples.Sample;
import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.ToLongFunction;

/**
 * A snapshot of the kernel's counters as Prometheus families: Istio's TCP families with Istio's
 * labels (istio.io, Istio Standard Metrics), and {@code weir_} families for what Istio has none.
 *
 * <p>Series are bounded: beyond a number of pairs, and of kinds of refusals, the rest is added up
 * in one series whose labels say {@code overflow}. Which ones have series of their own depends on
 * their numbers alone (older workloads first), so a series never grows back out of the overflow and
 * no counter ever falls, not even across a restart of the agent; the kernel's rows live as long as
 * the pins.
 */
public final class KernelMetrics {

  /** Pairs with series of their own, unless somebody says otherwise. */
  public static final int DEFAULT_SERIES = 500;

  /** Stands in every label of the series for whatever has none of its own. */
  static final String OVERFLOW = "overflow";

  private static final String DESTINATION = "destination";

  private static final List<String> ISTIO_LABELS =
      List.of(
          "reporter",
          "source_workload",
          "source_workload_namespace",
          "source_principal",
          "source_app",
          "source_version",
          "source_cluster",
          "source_canonical_service",
          "source_canonical_revision",
          "destination_workload",
          "destination_workload_namespace",
          "destination_principal",
          "destination_app",
          "destination_version",
          "destination_cluster",
          "destination_canonical_service",
          "destination_canonical_revision",
          "destination_service",
          "destination_service_name",
          "destination_service_namespace",
          "request_protocol",
          "response_flags",
          "connection_security_policy");

  private static final List<String> PAIR_LABELS =
      List.of(
          "source_workload",
          "source_workload_namespace",
          "destination_workload",
          "destination_workload_namespace",
          "destination_service",
          "destination_port",
          "protocol",
          "verdict",
          "reporter");

  private static final List<String> REFUSAL_LABELS =
      List.of(
          "source_workload",
          "source_workload_namespace",
          "destination_workload",
          "destination_workload_namespace",
          "destination_service",
          "destination_port",
          "protocol",
          "rule",
          "rule_position",
          "reason",
          "reporter");

  private static final Comparator<Pair> PAIR_ORDER =
      Comparator.comparingInt(Pair::source)
          .thenComparingInt(Pair::destination)
          .thenComparing(Pair::accepted)
          .thenComparingInt(Pair::port)
          .thenComparing(Pair::protocol)
          .thenComparing(Pair::verdict);

  private static final Comparator<Refusal> REFUSAL_ORDER =
      Comparator.comparingInt(Refusal::source)
          .thenComparingInt(Refusal::destination)
          .thenComparingInt(Refusal::port)
          .thenComparing(Refusal::protocol)
          .thenComparingInt(Refusal::rule)
          .thenComparing(Refusal::reason)
          .thenComparing(Refusal::turnedAway);

  private static final double MICRO = 1e-6;

  private final Names names;
  private final int series;

  /** Families with these names, and the default bound. */
  public KernelMetrics(Names names) {
    this(names, DEFAULT_SERIES);
  }

  /**
   * Families with these names.
   *
   * @param series how many pairs, and how many kinds of refusals, have series of their own; at
   *     least 0
   */
  public KernelMetrics(Names names, int series) {
    if (series < 0) {
      throw new IllegalArgumentException("series: " + series + " (expected: 0 or more)");
    }
    this.names = names;
    this.series = series;
  }

  /** Rows that are one series: added up under their labels. */
  private static final class Sum {
    private long opened;
    private long closed;
    private long open;
    private long sentBytes;
    private long receivedBytes;
    private long retransmits;
    private long failed;
    private long roundTripMicros;
    private long roundTripSamples;
    private long durationMicros;
    private long connectMicros;
    private List<Long> histogram = List.of();

    private void add(Pair pair) {
      opened += pair.opened();
      closed += pair.closed();
      open += pair.open();
      sentBytes += pair.sentBytes();
      receivedBytes += pair.receivedBytes();
      retransmits += pair.retransmits();
      failed += pair.failed();
      roundTripMicros += pair.roundTripMicrosSum();
      roundTripSamples += pair.roundTripSamples();
      durationMicros += pair.durationMicrosSum();
      connectMicros += pair.connectMicrosSum();
      histogram = sum(histogram, pair.connectHistogram());
    }

    private static List<Long> sum(List<Long> one, List<Long> other) {
      if (one.isEmpty()) {
        return other;
      }
      List<Long> both = new ArrayList<>(one.size());
      for (int i = 0; i < one.size(); i++) {
        both.add(one.get(i) + other.get(i));
      }
      return both;
    }
  }

  /** All families of a snapshot. */
  public List<MetricFamilySamples> families(Snapshot snapshot) {
    List<MetricFamilySamples> families = new ArrayList<>();
    istio(snapshot, families);
    families.add(refusals(snapshot, false));
    families.add(refusals(snapshot, true));
    pairs(snapshot, families);
    snapshot.counters().entrySet().stream()
        .sorted(Map.Entry.comparingByKey())
        .forEach(entry -> families.add(counter(entry.getKey(), entry.getValue())));
    families.add(
        new MetricFamilySamples(
            "weir_telemetry_rows",
            Collector.Type.GAUGE,
            "Rows in use of the kernel's tables for telemetry.",
            List.of(
                new Sample(
                    "weir_telemetry_rows",
                    List.of("table"),
                    List.of("pairs"),
                    snapshot.pairs().size()),
                new Sample(
                    "weir_telemetry_rows",
                    List.of("table"),
                    List.of("refusals"),
                    snapshot.refusals().size()))));
    return families;
  }

  /**
   * Istio counts by pair, without port or verdict, so rows of one pair are added; the bound is one
   * of pairs as well, since a cut through one pair's rows would take from a series what it had.
   * {@code sent} is Istio's: what the destination sent as its response.
   */
  private void istio(Snapshot snapshot, List<MetricFamilySamples> families) {
    Map<List<String>, Sum> sums = new LinkedHashMap<>();
    Set<Ends> own = new HashSet<>();
    for (Pair pair : sorted(snapshot.pairs(), PAIR_ORDER)) {
      if (pair.protocol() != Protocol.TCP && !pair.isOverflow()) {
        continue;
      }
      Ends ends = new Ends(pair.source(), pair.destination(), pair.accepted());
      boolean hasSeries = !pair.isOverflow() && (own.contains(ends) || own.size() < series);
      if (hasSeries) {
        own.add(ends);
      }
      List<String> labels = hasSeries ? istioLabels(pair) : overflow(ISTIO_LABELS);
      sums.computeIfAbsent(labels, key -> new Sum()).add(pair);
    }
    families.add(istio("connections_opened", "Connections opened.", sums, sum -> sum.opened));
    families.add(istio("connections_closed", "Connections closed.", sums, sum -> sum.closed));
    families.add(
        istio(
            "sent_bytes",
            "Bytes sent as response by the destination, open connections included.",
            sums,
            sum -> sum.receivedBytes));
    families.add(
        istio(
            "received_bytes",
            "Bytes received as request by the destination, open connections included.",
            sums,
            sum -> sum.sentBytes));
  }

  private record Ends(int source, int destination, boolean accepted) {}

  private static MetricFamilySamples istio(
      String name, String help, Map<List<String>, Sum> sums, ToLongFunction<Sum> value) {
    return counters("istio_tcp_" + name, help, ISTIO_LABELS, sums, value);
  }

  private static <T> List<T> sorted(List<T> rows, Comparator<T> order) {
    List<T> sorted = new ArrayList<>(rows);
    sorted.sort(order);
    return sorted;
  }

  /** All labels of an overflow series; who reports it is known. */
  private static List<String> overflow(List<String> labelNames) {
    List<String> labels = new ArrayList<>(Collections.nCopies(labelNames.size(), OVERFLOW));
    int reporter = labelNames.indexOf("reporter");
    if (reporter >= 0) {
      labels.set(reporter, "source");
    }
    return labels;
  }

  private List<String> istioLabels(Pair pair) {
    Workload source = names.workload(pair.source());
    Workload destination = names.workload(pair.destination());
    Optional<Workload> service =
        isService(destination) ? Optional.of(destination) : names.onlyServiceOf(pair.destination());
    List<String> labels = new ArrayList<>(ISTIO_LABELS.size());
    labels.add(reporter(pair.accepted()));
    addIstioLabels(labels, source);
    addIstioLabels(labels, destination);
    labels.add(service.map(KernelMetrics::service).orElse(Names.UNKNOWN));
    labels.add(service.map(Workload::name).orElse(Names.UNKNOWN));
    labels.add(service.map(Workload::namespace).orElse(Names.UNKNOWN));
    labels.add("tcp");
    labels.add("-");
    // Istio: "set to unknown when report is from source, since it cannot be populated there"; what
    // a workload accepts itself came without mutual TLS of the mesh.
    labels.add(pair.accepted() ? "none" : Names.UNKNOWN);
    return labels;
  }

  private static boolean isService(Workload workload) {
    return workload.kind().equals("Service");
  }

  /** The host name of a service; what is none, or not known to be one, is unknown. */
  private static String service(Workload workload) {
    return isService(workload)
        ? workload.name() + "." + workload.namespace() + ".svc.cluster.local"
        : Names.UNKNOWN;
  }

  /** Behind a service that leads to the proxy, the proxy chooses the workload: not known here. */
  private static String name(Workload workload) {
    return isService(workload) ? Names.UNKNOWN : workload.name();
  }

  private void addIstioLabels(List<String> labels, Workload workload) {
    String app = known(workload.app());
    labels.add(name(workload));
    labels.add(known(workload.namespace()));
    labels.add(
        workload.serviceAccount().isEmpty()
            ? Names.UNKNOWN
            : "spiffe://"
                + names.trustDomain()
                + "/ns/"
                + workload.namespace()
                + "/sa/"
                + workload.serviceAccount());
    labels.add(app);
    labels.add(known(workload.version()));
    labels.add(Names.UNKNOWN);
    labels.add(app.equals(Names.UNKNOWN) ? workload.name() : app);
    labels.add(workload.version().isEmpty() ? "latest" : workload.version());
  }

  private static String known(String value) {
    return value.isEmpty() ? Names.UNKNOWN : value;
  }

  private MetricFamilySamples refusals(Snapshot snapshot, boolean audited) {
    Map<List<String>, Long> sums = new LinkedHashMap<>();
    int own = 0;
    for (Refusal refusal : sorted(snapshot.refusals(), REFUSAL_ORDER)) {
      if (refusal.audited() == audited) {
        boolean hasSeries = !refusal.isOverflow() && own < series;
        own += hasSeries ? 1 : 0;
        sums.merge(
            hasSeries ? refusalLabels(refusal) : overflow(REFUSAL_LABELS),
            refusal.count(),
            Long::sum);
      }
    }
    return audited
        ? counters(
            "weir_connections_audited",
            "Connections that a policy in audit mode would have refused.",
            REFUSAL_LABELS,
            sums,
            Long::longValue)
        : counters(
            "weir_connections_refused",
            "Connections, datagrams and binds that policy refused.",
            REFUSAL_LABELS,
            sums,
            Long::longValue);
  }

  private List<String> refusalLabels(Refusal refusal) {
    Workload source = names.workload(refusal.source());
    Workload destination = names.workload(refusal.destination());
    return List.of(
        source.name(),
        known(source.namespace()),
        name(destination),
        known(destination.namespace()),
        service(destination),
        Integer.toString(refusal.port()),
        word(refusal.protocol()),
        names.ruleKey(refusal.rule()),
        known(names.rulePosition(refusal.rule())),
        word(refusal.reason()),
        reporter(refusal.turnedAway()));
  }

  private void pairs(Snapshot snapshot, List<MetricFamilySamples> families) {
    Map<List<String>, Sum> sums = new LinkedHashMap<>();
    int own = 0;
    for (Pair pair : sorted(snapshot.pairs(), PAIR_ORDER)) {
      boolean hasSeries = !pair.isOverflow() && own < series;
      own += hasSeries ? 1 : 0;
      sums.computeIfAbsent(
              hasSeries ? pairLabels(pair) : overflow(PAIR_LABELS), labels -> new Sum())
          .add(pair);
    }
    families.add(latency(sums));
    families.add(
        counters(
            "weir_connections_opened",
            "Connections established; of UDP, sockets that turned to a destination.",
            PAIR_LABELS,
            sums,
            sum -> sum.opened));
    families.add(
        new MetricFamilySamples(
            "weir_connections_open",
            Collector.Type.GAUGE,
            "TCP connections that are open now.",
            samples("weir_connections_open", PAIR_LABELS, sums, sum -> sum.open)));
    families.add(
        counters(
            "weir_tcp_retransmits",
            "Segments sent again.",
            PAIR_LABELS,
            sums,
            sum -> sum.retransmits));
    families.add(
        counters(
            "weir_connections_failed",
            "Connections that policy allowed and the peer refused or did not answer.",
            PAIR_LABELS,
            sums,
            sum -> sum.failed));
    families.add(
        seconds(
            "weir_connection_duration_seconds",
            "Time since they were established, of all connections: until they closed, or until"
                + " now.",
            sums,
            sum -> sum.durationMicros,
            sum -> sum.opened));
    families.add(
        seconds(
            "weir_tcp_round_trip_seconds",
            "Smoothed round-trip times: of each connection at every scrape, and at its close.",
            sums,
            sum -> sum.roundTripMicros,
            sum -> sum.roundTripSamples));
  }

  private static MetricFamilySamples latency(Map<List<String>, Sum> sums) {
    List<Sample> samples = new ArrayList<>();
    String name = "weir_connect_latency_seconds";
    List<String> bucketLabels = append(PAIR_LABELS, "le");
    int reporter = PAIR_LABELS.indexOf("reporter");
    sums.forEach(
        (labels, sum) -> {
          if (labels.get(reporter).equals(DESTINATION)) {
            return; // when the connect began, who accepts does not know
          }
          long cumulative = 0;
          for (int i = 0; i < sum.histogram.size(); i++) {
            cumulative += sum.histogram.get(i);
            boolean last = i == sum.histogram.size() - 1;
            samples.add(
                new Sample(
                    name + "_bucket",
                    bucketLabels,
                    append(labels, last ? "+Inf" : seconds(i)),
                    cumulative));
          }
          samples.add(new Sample(name + "_sum", PAIR_LABELS, labels, sum.connectMicros * MICRO));
          samples.add(new Sample(name + "_count", PAIR_LABELS, labels, cumulative));
        });
    return new MetricFamilySamples(
        name,
        Collector.Type.HISTOGRAM,
        "Time from connect() until the connection was established.",
        samples);
  }

  /**
   * The upper bound of a bucket, 2^i microseconds, without the rounding of a product of doubles.
   */
  private static String seconds(int i) {
    return BigDecimal.valueOf(1L << i, 6).stripTrailingZeros().toPlainString();
  }

  private static <T> List<T> append(List<T> list, T last) {
    List<T> longer = new ArrayList<>(list);
    longer.add(last);
    return longer;
  }

  /** A sum of seconds and of how many it is. */
  private static MetricFamilySamples seconds(
      String name,
      String help,
      Map<List<String>, Sum> sums,
      ToLongFunction<Sum> micros,
      ToLongFunction<Sum> count) {
    List<Sample> samples = new ArrayList<>();
    sums.forEach(
        (labels, sum) -> {
          samples.add(
              new Sample(name + "_sum", PAIR_LABELS, labels, micros.applyAsLong(sum) * MICRO));
          samples.add(new Sample(name + "_count", PAIR_LABELS, labels, count.applyAsLong(sum)));
        });
    return new MetricFamilySamples(name, Collector.Type.SUMMARY, help, samples);
  }

  private List<String> pairLabels(Pair pair) {
    Workload source = names.workload(pair.source());
    Workload destination = names.workload(pair.destination());
    return List.of(
        source.name(),
        known(source.namespace()),
        name(destination),
        known(destination.namespace()),
        service(destination),
        Integer.toString(pair.port()),
        word(pair.protocol()),
        word(pair.verdict()),
        reporter(pair.accepted()));
  }

  private static String reporter(boolean destination) {
    return destination ? DESTINATION : "source";
  }

  private static String word(Enum<?> value) {
    return value.name().toLowerCase(Locale.ROOT);
  }

  private static MetricFamilySamples counter(String name, long value) {
    String full = "weir_kernel_" + name;
    return new MetricFamilySamples(
        full,
        Collector.Type.COUNTER,
        "Kernel counter " + name + " (enum weir_counter in weir/types.h).",
        List.of(new Sample(full + "_total", List.of(), List.of(), value)));
  }

  private static <T> MetricFamilySamples counters(
      String name,
      String help,
      List<String> labelNames,
      Map<List<String>, T> sums,
      ToLongFunction<T> value) {
    return new MetricFamilySamples(
        name, Collector.Type.COUNTER, help, samples(name + "_total", labelNames, sums, value));
  }

  private static <T> List<Sample> samples(
      String name, List<String> labelNames, Map<List<String>, T> sums, ToLongFunction<T> value) {
    List<Sample> samples = new ArrayList<>();
    sums.forEach(
        (labels, sum) -> samples.add(new Sample(name, labelNames, labels, value.applyAsLong(sum))));
    return samples;
  }
}
