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
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.ToLongFunction;

/**
 * A snapshot of the kernel's counters as Prometheus families: Istio's TCP families with Istio's
 * labels (istio.io, Istio Standard Metrics), and {@code weir_} families for what Istio has none.
 */
public final class KernelMetrics {

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
          "destination_port",
          "protocol");

  private static final List<String> REFUSAL_LABELS =
      List.of(
          "source_workload",
          "source_workload_namespace",
          "destination_workload",
          "destination_workload_namespace",
          "destination_port",
          "protocol",
          "rule",
          "reason");

  private static final double MICRO = 1e-6;

  private final Names names;

  /** Families with these names. */
  public KernelMetrics(Names names) {
    this.names = names;
  }

  /** All families of a snapshot. */
  public List<MetricFamilySamples> families(Snapshot snapshot) {
    List<MetricFamilySamples> families = new ArrayList<>();
    families.add(istio(snapshot, "connections_opened", "Connections opened.", Pair::opened));
    families.add(istio(snapshot, "connections_closed", "Connections closed.", Pair::closed));
    families.add(
        istio(
            snapshot,
            "sent_bytes",
            "Bytes sent as response by the destination, counted when a connection closes.",
            Pair::receivedBytes));
    families.add(
        istio(
            snapshot,
            "received_bytes",
            "Bytes received as request by the destination, counted when a connection closes.",
            Pair::sentBytes));
    families.add(refusals(snapshot, false));
    families.add(refusals(snapshot, true));
    families.add(latency(snapshot));
    families.add(
        pairCounter(
            snapshot,
            "weir_tcp_retransmits",
            "Segments sent again, counted when a connection closes.",
            Pair::retransmits));
    families.add(
        pairCounter(
            snapshot,
            "weir_connections_failed",
            "Connections that policy allowed and the peer refused or did not answer.",
            Pair::failed));
    families.add(
        pairSeconds(
            snapshot,
            "weir_connection_duration_seconds",
            "Time from established to closed of connections that have closed, summed.",
            Pair::durationMicrosSum));
    families.add(
        pairSeconds(
            snapshot,
            "weir_tcp_round_trip_seconds",
            "Smoothed round-trip time at close of connections that have closed, summed.",
            Pair::roundTripMicrosSum));
    snapshot.counters().entrySet().stream()
        .sorted(Map.Entry.comparingByKey())
        .forEach(entry -> families.add(counter(entry.getKey(), entry.getValue())));
    return families;
  }

  /**
   * Istio counts by pair without the port, so rows of one pair are added. {@code sent} is Istio's:
   * what the destination sent as its response.
   */
  private MetricFamilySamples istio(
      Snapshot snapshot, String name, String help, ToLongFunction<Pair> value) {
    Map<List<String>, Long> sums = new LinkedHashMap<>();
    for (Pair pair : snapshot.pairs()) {
      if (pair.protocol() == Protocol.TCP || isOverflow(pair)) {
        sums.merge(istioLabels(pair), value.applyAsLong(pair), Long::sum);
      }
    }
    return counters("istio_tcp_" + name, help, ISTIO_LABELS, sums);
  }

  private List<String> istioLabels(Pair pair) {
    Workload source = names.workload(pair.source());
    Workload destination = names.workload(pair.destination());
    boolean service = destination.kind().equals("Service");
    List<String> labels = new ArrayList<>(ISTIO_LABELS.size());
    labels.add("source");
    addIstioLabels(labels, source);
    addIstioLabels(labels, destination);
    labels.add(
        service
            ? destination.name() + "." + destination.namespace() + ".svc.cluster.local"
            : Names.UNKNOWN);
    labels.add(service ? destination.name() : Names.UNKNOWN);
    labels.add(service ? destination.namespace() : Names.UNKNOWN);
    labels.add("tcp");
    labels.add("-");
    labels.add("none");
    return labels;
  }

  private static void addIstioLabels(List<String> labels, Workload workload) {
    String app = known(workload.app());
    labels.add(workload.name());
    labels.add(known(workload.namespace()));
    labels.add(
        workload.serviceAccount().isEmpty()
            ? Names.UNKNOWN
            : "spiffe://cluster.local/ns/"
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
    for (Refusal refusal : snapshot.refusals()) {
      if (refusal.audited() == audited) {
        Workload source = names.workload(refusal.source());
        Workload destination = names.workload(refusal.destination());
        sums.merge(
            List.of(
                source.name(),
                known(source.namespace()),
                destination.name(),
                known(destination.namespace()),
                Integer.toString(refusal.port()),
                word(refusal.protocol()),
                names.ruleKey(refusal.rule()),
                word(refusal.reason())),
            refusal.count(),
            Long::sum);
      }
    }
    return audited
        ? counters(
            "weir_connections_audited",
            "Connections that a policy in audit mode would have refused.",
            REFUSAL_LABELS,
            sums)
        : counters(
            "weir_connections_refused",
            "Connections, datagrams and binds that policy refused.",
            REFUSAL_LABELS,
            sums);
  }

  private MetricFamilySamples latency(Snapshot snapshot) {
    List<Sample> samples = new ArrayList<>();
    String name = "weir_connect_latency_seconds";
    for (Pair pair : snapshot.pairs()) {
      List<String> labels = pairLabels(pair);
      List<Long> histogram = pair.connectHistogram();
      long cumulative = 0;
      for (int i = 0; i < histogram.size(); i++) {
        cumulative += histogram.get(i);
        boolean last = i == histogram.size() - 1;
        samples.add(
            new Sample(
                name + "_bucket",
                append(PAIR_LABELS, "le"),
                append(labels, last ? "+Inf" : seconds(i)),
                cumulative));
      }
      samples.add(new Sample(name + "_sum", PAIR_LABELS, labels, pair.connectMicrosSum() * MICRO));
      samples.add(new Sample(name + "_count", PAIR_LABELS, labels, cumulative));
    }
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

  private MetricFamilySamples pairCounter(
      Snapshot snapshot, String name, String help, ToLongFunction<Pair> value) {
    Map<List<String>, Long> sums = new LinkedHashMap<>();
    for (Pair pair : snapshot.pairs()) {
      sums.merge(pairLabels(pair), value.applyAsLong(pair), Long::sum);
    }
    return counters(name, help, PAIR_LABELS, sums);
  }

  private MetricFamilySamples pairSeconds(
      Snapshot snapshot, String name, String help, ToLongFunction<Pair> micros) {
    List<Sample> samples = new ArrayList<>();
    for (Pair pair : snapshot.pairs()) {
      samples.add(
          new Sample(
              name + "_total", PAIR_LABELS, pairLabels(pair), micros.applyAsLong(pair) * MICRO));
    }
    return new MetricFamilySamples(name, Collector.Type.COUNTER, help, samples);
  }

  private List<String> pairLabels(Pair pair) {
    Workload source = names.workload(pair.source());
    Workload destination = names.workload(pair.destination());
    return List.of(
        source.name(),
        known(source.namespace()),
        destination.name(),
        known(destination.namespace()),
        Integer.toString(pair.port()),
        word(pair.protocol()));
  }

  /** The row in which pairs are counted that found no room for one of their own. */
  private static boolean isOverflow(Pair pair) {
    return pair.source() == 0 && pair.destination() == 0 && pair.port() == 0;
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

  private static MetricFamilySamples counters(
      String name, String help, List<String> labelNames, Map<List<String>, Long> sums) {
    List<Sample> samples = new ArrayList<>();
    sums.forEach(
        (labels, value) -> samples.add(new Sample(name + "_total", labelNames, labels, value)));
    return new MetricFamilySamples(name, Collector.Type.COUNTER, help, samples);
  }
}
