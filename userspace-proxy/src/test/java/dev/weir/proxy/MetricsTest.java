// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.proxy.observe.Exposition;
import dev.weir.proxy.observe.LoopMetrics;
import dev.weir.proxy.observe.Peer;
import dev.weir.proxy.observe.Reporter;
import dev.weir.proxy.observe.SeriesKey;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(30)
final class MetricsTest {

  private static final String LABELS =
      "reporter=\"source\",source_workload=\"web\",source_workload_namespace=\"shop\","
          + "source_principal=\"spiffe://cluster.local/ns/shop/sa/default\",source_app=\"web\",source_version=\"unknown\","
          + "source_canonical_service=\"web\",source_canonical_revision=\"latest\","
          + "source_cluster=\"unknown\",destination_workload=\"cart-v1\","
          + "destination_workload_namespace=\"shop\",destination_principal=\"spiffe://cluster.local/ns/shop/sa/default\","
          + "destination_app=\"cart\",destination_version=\"v1\","
          + "destination_canonical_service=\"cart\",destination_canonical_revision=\"v1\","
          + "destination_cluster=\"unknown\","
          + "destination_service=\"cart.shop.svc.cluster.local\",destination_service_name=\"cart\","
          + "destination_service_namespace=\"shop\",request_protocol=\"http\","
          + "response_code=\"200\",grpc_response_status=\"\",response_flags=\"-\","
          + "connection_security_policy=\"unknown\"";

  @Test
  void threeRequestsAreCountedInIstiosWords() throws Exception {
    try (RawBackend backend =
            new RawBackend(
                connection -> {
                  while (!connection.head().isEmpty()) {
                    connection.respond("", "x".repeat(30));
                  }
                });
        Mesh mesh = new Mesh(1, () -> 1_000_000_000L)) {
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        for (int i = 0; i < 3; i++) {
          assertThat(client.get("/").status()).isEqualTo(200);
        }
      }
      List<String> lines =
          mesh.proxy.metrics().lines().filter(line -> line.startsWith("istio_")).toList();
      assertThat(lines).contains("istio_requests_total{" + LABELS + "} 3");
      assertThat(lines).hasSize(1 + 3 * (19 + 1 + 2));
      for (String edge :
          List.of(
              "0.5", "1", "5", "10", "25", "50", "100", "250", "500", "1000", "2500", "5000",
              "10000", "30000", "60000", "300000", "600000", "1800000", "3600000", "+Inf")) {
        String le = "{" + LABELS + ",le=\"" + edge + "\"} ";
        boolean below30 = List.of("0.5", "1", "5", "10", "25").contains(edge);
        assertThat(lines)
            .contains(
                "istio_request_duration_milliseconds_bucket" + le + "3",
                "istio_request_bytes_bucket" + le + "3",
                "istio_response_bytes_bucket" + le + (below30 ? "0" : "3"));
      }
      assertThat(lines)
          .contains(
              "istio_request_duration_milliseconds_sum{" + LABELS + "} 0",
              "istio_request_duration_milliseconds_count{" + LABELS + "} 3",
              "istio_request_bytes_sum{" + LABELS + "} 0",
              "istio_response_bytes_sum{" + LABELS + "} 90",
              "istio_response_bytes_count{" + LABELS + "} 3");
    }
  }

  @Test
  void everyFamilyHasOneTypeAndSamplesFollowIt() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh(2, System::nanoTime)) {
      mesh.serve(backend.port());
      for (int i = 0; i < 8; i++) {
        try (Client client = mesh.client()) {
          assertThat(client.get("/").status()).isEqualTo(200);
          client.send("BROKEN\r\n\r\n");
          assertThat(client.read(false).status()).isEqualTo(400);
        }
      }
      String text = mesh.proxy.metrics();
      List<String> types =
          text.lines().filter(l -> l.startsWith("# TYPE ")).map(l -> l.split(" ", -1)[2]).toList();
      assertThat(types).doesNotHaveDuplicates();
      String family = "";
      for (String line : text.lines().toList()) {
        if (line.startsWith("# TYPE ")) {
          family = line.split(" ", -1)[2];
        } else if (!line.startsWith("#")) {
          assertThat(line).startsWith(family);
          assertThat(line).matches("[a-z_]+(\\{[^}]*\\})? [0-9.E+-]+");
        }
      }
      // Both loops' counts together.
      assertThat(text).contains("istio_requests_total{" + LABELS + "} 8\n");
      assertThat(text).contains("weir_proxy_requests_malformed_total 8\n");
    }
  }

  @Test
  void afterFiveHundredKindsTheRestIsCountedTogether() {
    var metrics = new LoopMetrics();
    for (int i = 0; i < 700; i++) {
      metrics
          .series(
              new SeriesKey(
                  "r",
                  Peer.NOBODY,
                  Peer.NOBODY,
                  "service" + i,
                  "",
                  "",
                  200,
                  -1,
                  "-",
                  Reporter.SOURCE))
          .record(1, 1, 1);
    }
    String text = Exposition.text(List.of(metrics.copy()), Map.of());
    assertThat(text.lines().filter(l -> l.startsWith("istio_requests_total{")).count())
        .isEqualTo(501);
    assertThat(text)
        .containsPattern("istio_requests_total\\{.*destination_service=\"overflow\".*} 200\n")
        .contains("weir_proxy_metric_overflow_total 200\n");
  }
}
