// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.telemetry;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.node.kernel.Current;
import dev.weir.node.kernel.Reason;
import dev.weir.node.kernel.Snapshot;
import dev.weir.node.kernel.Snapshot.Pair;
import dev.weir.node.kernel.Snapshot.Refusal;
import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Backend;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.ProxyPlan;
import dev.weir.policy.plan.Reserved;
import dev.weir.policy.plan.Rule;
import dev.weir.policy.plan.Service;
import dev.weir.policy.plan.Settings;
import dev.weir.policy.plan.Verdict;
import dev.weir.policy.plan.Workload;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import net.jqwik.api.constraints.Size;
import org.junit.jupiter.api.Test;

final class KernelMetricsTest {

  private static final int CART = 16;
  private static final int DB = 17;
  private static final int SERVICE = 18;
  private static final int RULE = 1;

  static Names names() {
    return names(List.of(), Settings.TRUST_DOMAIN);
  }

  /** Services of the plan, by name, lead to cart-v1. */
  private static Names names(List<Service> services, String trustDomain) {
    Settings settings =
        new Settings(
            "(default)",
            false,
            false,
            List.of(),
            List.of(),
            false,
            false,
            15001,
            15020,
            15021,
            "/p",
            Settings.MAP_BYTES,
            Settings.Icmp.POLICY,
            trustDomain,
            dev.weir.policy.plan.Telemetry.DEFAULT,
            List.of());
    Plan plan =
        new Plan(
            settings,
            List.of(
                workload("cart-v1", "Workload", "cart", "cart", "v1"),
                workload("db", "Workload", "", "db", ""),
                workload("cart", "Service", "", "", ""),
                workload("shop", "Service", "", "", "")),
            List.of(),
            List.of(new Rule("NetworkPolicy", "shop", "db", "ingress[0]", "db.yaml", 12)),
            List.of(),
            List.of(),
            services,
            List.of(
                new Backend(new Address(0, 0), 0, 0, 0), new Backend(new Address(0, 1), 80, 0, 0)),
            List.of(),
            List.of(),
            List.of(),
            ProxyPlan.NONE);
    Current current =
        new Current(
            7, 0, Optional.empty(), plan, List.of(), List.of(CART, DB, SERVICE, 19), List.of(RULE));
    return new Names(
        current,
        number ->
            number == 99
                ? Optional.of("Workload/shop/gone")
                : number > 99 ? Optional.of("Workload/shop/w" + number) : Optional.empty(),
        number -> number == 98 ? Optional.of("NetworkPolicy/shop/gone") : Optional.empty());
  }

  private static Workload workload(
      String name, String kind, String serviceAccount, String app, String version) {
    return new Workload("shop", name, kind, 0, List.of(), false, serviceAccount, app, version);
  }

  private static Pair pair(int source, int destination, int port, long opened) {
    List<Long> histogram = new ArrayList<>(Collections.nCopies(24, 0L));
    histogram.set(5, 2L);
    histogram.set(23, 1L);
    return new Pair(
        source,
        destination,
        port,
        Protocol.TCP,
        Verdict.Decision.ALLOW,
        source == Reserved.OUTSIDE.index(),
        opened,
        3,
        100,
        2000,
        1,
        60,
        3,
        5_000_000,
        150,
        4,
        histogram);
  }

  private static Service leadsToCart(int workload, int address) {
    return new Service(
        workload,
        new Address(1, address),
        80,
        Protocol.TCP,
        Service.Tier.KERNEL,
        0,
        0,
        List.of(1, 0));
  }

  private static String opened(Names names) {
    Snapshot snapshot = new Snapshot(List.of(pair(DB, CART, 80, 5)), List.of(), Map.of());
    return Exposition.text(new KernelMetrics(names).families(snapshot))
        .lines()
        .filter(line -> line.startsWith("istio_tcp_connections_opened_total{"))
        .findFirst()
        .orElseThrow();
  }

  @Test
  void aWorkloadBehindOneServiceIsCountedUnderItAndBehindTwoUnderNone() {
    String service = "destination_service=\"cart.shop.svc.cluster.local\"";
    List<Service> one = List.of(leadsToCart(2, 1), leadsToCart(2, 2));
    assertThat(opened(names(one, "cluster.local")))
        .contains(service)
        .contains("destination_service_name=\"cart\",destination_service_namespace=\"shop\"")
        .contains("destination_workload=\"cart-v1\"");
    List<Service> two = List.of(leadsToCart(2, 1), leadsToCart(3, 2));
    assertThat(opened(names(two, "cluster.local"))).contains("destination_service=\"unknown\"");
    assertThat(opened(names())).contains("destination_service=\"unknown\"");
  }

  @Test
  void principalsAreOfTheMeshsTrustDomain() {
    assertThat(opened(names(List.of(), "edge.example")))
        .contains("destination_principal=\"spiffe://edge.example/ns/shop/sa/cart\"");
  }

  private static String text(Snapshot snapshot) {
    return Exposition.text(new KernelMetrics(names()).families(snapshot));
  }

  private static String lines(String text, String beginning) {
    return text.lines()
        .filter(line -> line.startsWith(beginning))
        .collect(Collectors.joining("\n"));
  }

  @Test
  void aPairBearsIstiosNameAndAllOfIstiosLabels() {
    String text = text(new Snapshot(List.of(pair(CART, DB, 5433, 5)), List.of(), Map.of()));
    assertThat(lines(text, "istio_tcp_connections_opened_total{"))
        .isEqualTo(
            "istio_tcp_connections_opened_total{reporter=\"source\",source_workload=\"cart-v1\","
                + "source_workload_namespace=\"shop\","
                + "source_principal=\"spiffe://cluster.local/ns/shop/sa/cart\","
                + "source_app=\"cart\",source_version=\"v1\",source_cluster=\"unknown\","
                + "source_canonical_service=\"cart\",source_canonical_revision=\"v1\","
                + "destination_workload=\"db\",destination_workload_namespace=\"shop\","
                + "destination_principal=\"unknown\",destination_app=\"db\","
                + "destination_version=\"unknown\",destination_cluster=\"unknown\","
                + "destination_canonical_service=\"db\",destination_canonical_revision=\"latest\","
                + "destination_service=\"unknown\",destination_service_name=\"unknown\","
                + "destination_service_namespace=\"unknown\",request_protocol=\"tcp\","
                + "response_flags=\"-\",connection_security_policy=\"unknown\",} 5.0");
  }

  @Test
  void sentIsWhatTheDestinationSentAndReceivedWhatItReceived() {
    String text = text(new Snapshot(List.of(pair(CART, DB, 5433, 5)), List.of(), Map.of()));
    assertThat(lines(text, "istio_tcp_sent_bytes_total{")).endsWith("} 2000.0");
    assertThat(lines(text, "istio_tcp_received_bytes_total{")).endsWith("} 100.0");
  }

  @Test
  void pairsThatDifferInPortAreOneSeriesForIstio() {
    String text =
        text(
            new Snapshot(
                List.of(pair(CART, DB, 5433, 5), pair(CART, DB, 5434, 6)), List.of(), Map.of()));
    assertThat(lines(text, "istio_tcp_connections_opened_total{")).endsWith("} 11.0");
    assertThat(lines(text, "istio_tcp_connections_opened_total{").lines()).hasSize(1);
  }

  @Test
  void aServiceIsNamedAsOne() {
    String text = text(new Snapshot(List.of(pair(DB, SERVICE, 80, 1)), List.of(), Map.of()));
    assertThat(lines(text, "istio_tcp_connections_opened_total{"))
        .contains("destination_service=\"cart.shop.svc.cluster.local\"")
        .contains("destination_service_name=\"cart\",destination_service_namespace=\"shop\"");
  }

  @Test
  void aRefusalNamesBothEndsPortRuleAndReason() {
    Refusal refusal =
        new Refusal(CART, DB, 5433, Protocol.TCP, RULE, Reason.DEFAULT_DENY, false, false, 9);
    String text = text(new Snapshot(List.of(), List.of(refusal), Map.of()));
    assertThat(lines(text, "weir_connections_refused_total{"))
        .isEqualTo(
            "weir_connections_refused_total{source_workload=\"cart-v1\","
                + "source_workload_namespace=\"shop\",destination_workload=\"db\","
                + "destination_workload_namespace=\"shop\",destination_service=\"unknown\","
                + "destination_port=\"5433\",protocol=\"tcp\","
                + "rule=\"NetworkPolicy/shop/db/ingress[0]\",rule_position=\"db.yaml:12\","
                + "reason=\"default_deny\",reporter=\"source\",} 9.0");
  }

  @Test
  void whatIsOnlyAuditedIsNotCountedAsRefused() {
    Refusal refusal =
        new Refusal(CART, DB, 5433, Protocol.TCP, RULE, Reason.POLICY, true, false, 9);
    String text = text(new Snapshot(List.of(), List.of(refusal), Map.of()));
    assertThat(lines(text, "weir_connections_audited_total{")).endsWith("} 9.0");
    assertThat(lines(text, "weir_connections_refused_total{")).isEmpty();
  }

  @Test
  void latencyBucketsAreCumulativeAndInSeconds() {
    String text = text(new Snapshot(List.of(pair(CART, DB, 5433, 5)), List.of(), Map.of()));
    String buckets = lines(text, "weir_connect_latency_seconds_bucket{");
    assertThat(buckets.lines()).hasSize(24);
    assertThat(buckets)
        .contains("le=\"0.000001\",} 0.0")
        .contains("le=\"0.000016\",} 0.0")
        .contains("le=\"0.000032\",} 2.0")
        .contains("le=\"4.194304\",} 2.0")
        .contains("le=\"+Inf\",} 3.0");
    assertThat(lines(text, "weir_connect_latency_seconds_count{")).endsWith("} 3.0");
    assertThat(lines(text, "weir_connect_latency_seconds_sum{")).endsWith("} 1.5E-4");
  }

  @Test
  void aNumberThatIsNoLongerInForceIsNamedFromTheRegistry() {
    Refusal refusal = new Refusal(99, DB, 1, Protocol.UDP, 98, Reason.POLICY, false, false, 1);
    String text = text(new Snapshot(List.of(), List.of(refusal), Map.of()));
    assertThat(lines(text, "weir_connections_refused_total{"))
        .contains("source_workload=\"gone\",source_workload_namespace=\"shop\"")
        .contains("rule=\"NetworkPolicy/shop/gone\"");
  }

  @Test
  void kernelCountersAreThere() {
    String text = text(new Snapshot(List.of(), List.of(), Map.of("events_lost", 3L)));
    assertThat(lines(text, "weir_kernel_")).isEqualTo("weir_kernel_events_lost_total 3.0");
  }

  @Test
  void whoWasRefusedFromOutsideIsReportedByTheDestination() {
    Refusal refusal =
        new Refusal(3, DB, 5433, Protocol.TCP, RULE, Reason.DEFAULT_DENY, false, true, 2);
    String text = text(new Snapshot(List.of(), List.of(refusal), Map.of()));
    assertThat(lines(text, "weir_connections_refused_total{"))
        .endsWith(",reporter=\"destination\",} 2.0");
  }

  @Test
  void everythingThereIsReadsAsAWellFormedExposition() {
    Snapshot snapshot =
        new Snapshot(
            List.of(pair(0, 0, 0, 8), pair(CART, DB, 5433, 5), pair(DB, SERVICE, 80, 6)),
            List.of(
                new Refusal(0, 0, 0, Protocol.ANY, 0, Reason.NONE, false, false, 7),
                new Refusal(CART, DB, 5433, Protocol.TCP, RULE, Reason.POLICY, true, false, 9)),
            Map.of("events_lost", 3L));
    StrictExposition read = StrictExposition.read(text(snapshot));
    assertThat(read.type("istio_tcp_connections_opened_total")).isEqualTo("counter");
    assertThat(read.type("weir_connect_latency_seconds")).isEqualTo("histogram");
    assertThat(read.type("weir_tcp_round_trip_seconds")).isEqualTo("summary");
    assertThat(read.type("weir_connections_open")).isEqualTo("gauge");
    assertThat(read.value("weir_connections_refused_total", Map.of("rule", "overflow")))
        .isEqualTo(7);
    assertThat(
            read.value("istio_tcp_connections_opened_total", Map.of("source_workload", "overflow")))
        .isEqualTo(8);
  }

  @Test
  void beyondTheBoundTheRestIsOneSeriesAndTheSumStays() {
    List<Pair> pairs = new ArrayList<>();
    for (int port = 1; port <= 10; port++) {
      pairs.add(pair(CART, DB, port, 1));
      pairs.add(pair(CART, 100 + port, port, 1));
    }
    Snapshot snapshot = new Snapshot(pairs, List.of(), Map.of());
    StrictExposition read =
        StrictExposition.read(Exposition.text(new KernelMetrics(names(), 4).families(snapshot)));
    assertThat(read.series("istio_tcp_connections_opened_total")).hasSize(4 + 1);
    assertThat(read.sum("istio_tcp_connections_opened_total")).isEqualTo(20);
    assertThat(read.series("weir_connections_opened_total")).hasSize(4 + 1);
    assertThat(read.sum("weir_connections_opened_total")).isEqualTo(20);
    assertThat(read.value("weir_connections_opened_total", Map.of("destination_port", "overflow")))
        .isEqualTo(16);
  }

  @Property(tries = 200)
  void noCounterEverFallsWhateverIsAddedAndWhereverTheBoundIs(
      @ForAll @IntRange(min = 0, max = 6) int bound,
      @ForAll @Size(max = 20) List<@IntRange(min = 0, max = 255) Integer> rows) {
    Map<Integer, Long> counts = new java.util.TreeMap<>();
    Map<String, Double> before = Map.of();
    for (int row : rows) {
      counts.merge(row, 1L, Long::sum);
      List<Pair> pairs = new ArrayList<>();
      List<Refusal> refusals = new ArrayList<>();
      counts.forEach(
          (key, count) -> {
            int from = 16 + (key & 3);
            int to = 16 + (key >> 2 & 3);
            pairs.add(pair(from, to, 1 + (key >> 4), count));
            refusals.add(
                new Refusal(
                    from,
                    to,
                    1 + (key >> 4),
                    Protocol.TCP,
                    RULE,
                    Reason.POLICY,
                    false,
                    false,
                    count));
          });
      Collections.shuffle(pairs, new java.util.Random(row));
      StrictExposition read =
          StrictExposition.read(
              Exposition.text(
                  new KernelMetrics(names(), bound)
                      .families(new Snapshot(pairs, refusals, Map.of()))));
      Map<String, Double> now = read.counters();
      before.forEach(
          (series, value) ->
              assertThat(now.getOrDefault(series, Double.MAX_VALUE))
                  .as(series)
                  .isGreaterThanOrEqualTo(value));
      before = now;
    }
  }
}
