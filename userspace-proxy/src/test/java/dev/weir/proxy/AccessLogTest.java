// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.json.JsonObject;
import dev.weir.policy.plan.Telemetry;
import dev.weir.policy.plan.Telemetry.AccessLog;
import dev.weir.policy.plan.Verdict;
import dev.weir.proxy.listen.OriginSource;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Lines about single requests: what they tell, which requests have one, and what they may cost. */
@Timeout(60)
// Line ends are part of what is tested.
@SuppressWarnings("StringConcatToTextBlock")
final class AccessLogTest {

  private static final AccessLog ALL = new AccessLog(1, true, 1_000_000, false);

  private static final List<String> FIELDS =
      List.of(
          "start_time",
          "method",
          "path",
          "protocol",
          "response_code",
          "response_flags",
          "response_code_details",
          "bytes_received",
          "bytes_sent",
          "duration",
          "upstream_host",
          "user_agent",
          "request_id",
          "authority",
          "x_forwarded_for",
          "downstream_remote_address",
          "route_name",
          "requested_server_name",
          "source_workload",
          "source_workload_namespace",
          "destination_workload",
          "destination_workload_namespace",
          "destination_service",
          "trace_id",
          "span_id");

  private final ByteArrayOutputStream written = new ByteArrayOutputStream();

  private Mesh mesh(AccessLog rules) throws IOException {
    Mesh mesh = new Mesh(1, System::nanoTime, written);
    mesh.telemetry = new Telemetry(rules, Telemetry.DEFAULT.tracing());
    return mesh;
  }

  /** The lines there are, once there are that many; each is an object. */
  private List<Map<String, Object>> lines(int wanted) throws InterruptedException {
    long deadline = System.nanoTime() + Duration.ofSeconds(10).toNanos();
    while (text().lines().count() < wanted && System.nanoTime() < deadline) {
      Thread.sleep(20);
    }
    String text = text();
    assertThat(text).endsWith("\n");
    List<Map<String, Object>> lines =
        text.lines().map(line -> JsonObject.parse(line, "line").toMap()).toList();
    assertThat(lines).hasSize(wanted);
    return lines;
  }

  private String text() {
    return written.toString(UTF_8);
  }

  @Test
  void aLineHasEnvoysFieldsInTheirOrder() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.echo());
        Mesh mesh = mesh(ALL)) {
      mesh.serve(backend.port());
      int port;
      Instant before = Instant.now();
      try (Client client = mesh.client()) {
        port = client.socket().getLocalPort();
        client
            .send(
                "POST /a/../b?token=secret HTTP/1.1\r\nHost: Cart:80\r\nContent-Length: 5\r\n"
                    + "User-Agent: test/1\r\nx-request-id: id-1\r\nAuthorization: Bearer secret\r\n"
                    + "Cookie: session=secret\r\nX-Forwarded-For: 192.0.2.1\r\n"
                    + "traceparent: 00-12345678901234567890123456789012-1234567890123456-01\r\n"
                    + "\r\nhello")
            .read(false);
      }
      Map<String, Object> line = lines(1).getFirst();
      for (int i = 1; i < FIELDS.size(); i++) {
        assertThat(text().indexOf("\"" + FIELDS.get(i) + "\":"))
            .isGreaterThan(text().indexOf("\"" + FIELDS.get(i - 1) + "\":"));
      }
      assertThat(text()).doesNotContain("secret").contains("\"requested_server_name\":null");
      assertThat(line)
          .containsEntry("method", "POST")
          .containsEntry("path", "/b")
          .containsEntry("protocol", "HTTP/1.1")
          .containsEntry("response_flags", "-")
          .containsEntry("upstream_host", "127.0.0.1:" + backend.port())
          .containsEntry("user_agent", "test/1")
          .containsEntry("request_id", "id-1")
          .containsEntry("authority", "cart")
          .containsEntry("x_forwarded_for", "192.0.2.1, 127.0.0.1")
          .containsEntry("downstream_remote_address", "127.0.0.1:" + port)
          .containsEntry("route_name", "shop/cart")
          .containsEntry("source_workload", "web")
          .containsEntry("source_workload_namespace", "shop")
          .containsEntry("destination_workload", "cart-v1")
          .containsEntry("destination_service", "cart.shop.svc.cluster.local")
          .containsEntry("trace_id", "12345678901234567890123456789012");
      assertThat(String.valueOf(line.get("response_code"))).isEqualTo("200");
      assertThat(String.valueOf(line.get("bytes_received"))).isEqualTo("5");
      assertThat(String.valueOf(line.get("bytes_sent"))).isEqualTo("5");
      assertThat(String.valueOf(line.get("span_id"))).hasSize(16).isNotEqualTo("1234567890123456");
      assertThat(Instant.parse(String.valueOf(line.get("start_time"))))
          .isBetween(before.minusMillis(5), Instant.now());
    }
  }

  @Test
  void aQueryIsToldWhereTheMeshSaysSo() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = mesh(new AccessLog(1, true, 1000, true))) {
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        client.get("/b?q=1");
      }
      assertThat(lines(1).getFirst()).containsEntry("path", "/b?q=1");
    }
  }

  @Test
  void aHeaderIsWrittenSoThatJsonGivesItBack() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = mesh(ALL)) {
      mesh.serve(backend.port());
      String odd = "a\"b\\c\td/é\u00ff~{}";
      try (Client client = mesh.client()) {
        assertThat(client.get("/", "User-Agent: " + odd + "\r\n").status()).isEqualTo(200);
        assertThat(client.get("/", "User-Agent: " + "x".repeat(3000) + "\r\n").status())
            .isEqualTo(200);
      }
      List<Map<String, Object>> lines = lines(2);
      assertThat(lines.get(0)).containsEntry("user_agent", odd);
      assertThat(lines.get(1)).containsEntry("user_agent", "x".repeat(2048) + "...");
    }
  }

  @Test
  void withoutARuleNothingIsWritten() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = mesh(AccessLog.OFF)) {
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        client.get("/");
        client.send("BROKEN\r\n\r\n").read(false);
      }
    }
    // The proxy is closed, and has nothing left to say.
    assertThat(text()).isEmpty();
  }

  @Test
  void oneInTenIsWrittenAndEveryError() throws Exception {
    try (RawBackend backend =
            new RawBackend(
                connection -> {
                  for (String head = connection.head(); !head.isEmpty(); head = connection.head()) {
                    connection.send(
                        "HTTP/1.1 "
                            + (head.startsWith("GET /missing") ? "404 x" : "200 OK")
                            + "\r\nContent-Length: 0\r\n\r\n");
                  }
                });
        Mesh mesh = mesh(new AccessLog(10, true, 1_000_000, false))) {
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        for (int i = 0; i < 100; i++) {
          client.get("/");
        }
        // Takes the turn of the 101st, then two that have none.
        for (int i = 0; i < 3; i++) {
          client.get("/missing");
        }
      }
      List<Map<String, Object>> lines = lines(13);
      assertThat(lines.stream().filter(l -> "/missing".equals(l.get("path")))).hasSize(3);
    }
  }

  @Test
  void beyondTheLinesOfASecondTheyAreCounted() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh(1, () -> 5_000_000_000L, written)) {
      mesh.telemetry = new Telemetry(new AccessLog(1, true, 7, false), Telemetry.DEFAULT.tracing());
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        for (int i = 0; i < 20; i++) {
          client.get("/");
        }
      }
      lines(7);
      assertThat(mesh.proxy.metrics())
          .contains(
              "weir_proxy_access_log_lines_total 7\n", "weir_proxy_access_log_lost_total 13\n");
    }
  }

  @Test
  void aRefusalNamesItsRuleWithFileAndLine() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = mesh(new AccessLog(0, true, 1000, false))) {
      mesh.proxy.update(
          mesh.update(
              List.of(Mesh.route(Mesh.weighted(Mesh.any(), 1))),
              List.of(),
              List.of(),
              List.of(Mesh.verdict(8, backend.port())),
              backend.port()));
      mesh.origin = Optional.of(new OriginSource.Handover(Mesh.VIP, 80, Mesh.STRANGER));
      try (Client client = mesh.client()) {
        assertThat(client.get("/x?y").status()).isEqualTo(403);
      }
      Map<String, Object> line = lines(1).getFirst();
      assertThat(String.valueOf(line.get("response_code"))).isEqualTo("403");
      assertThat(line)
          .containsEntry("path", "/x")
          .containsEntry("source_workload", "stranger")
          .containsEntry(
              "response_code_details",
              Verdict.Decision.REFUSE + " by NetworkPolicy shop/cart (policy.yaml:12)");
    }
  }

  @Test
  void aRequestThatCannotBeReadHasALineToo() throws Exception {
    try (Mesh mesh = mesh(ALL)) {
      mesh.serve(1);
      try (Client client = mesh.client()) {
        client.send("GET /a?b HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
        assertThat(client.read(false).status()).isEqualTo(400);
      }
      Map<String, Object> line = lines(1).getFirst();
      assertThat(line)
          .containsEntry("path", "/a")
          .containsEntry("response_flags", "DPE")
          .containsEntry("source_workload", "web");
    }
  }

  @Test
  void aConnectionThatIsLedOnAsItIsHasALineWhenItEnds() throws Exception {
    try (RawBackend backend =
            new RawBackend(
                connection -> {
                  byte[] asked = connection.in.readNBytes(4);
                  connection.send(new String(asked, UTF_8) + "!");
                });
        Mesh mesh = mesh(ALL)) {
      Streams.serve(mesh, Streams.route("tcp", List.of(), 1), backend.port());
      try (Client client = mesh.client()) {
        client.send("ping");
        assertThat(new String(client.in().readAllBytes(), UTF_8)).isEqualTo("ping!");
      }
      Map<String, Object> line = lines(1).getFirst();
      assertThat(String.valueOf(line.get("bytes_received"))).isEqualTo("4");
      assertThat(String.valueOf(line.get("bytes_sent"))).isEqualTo("5");
      assertThat(line)
          .containsEntry("upstream_host", "127.0.0.1:" + backend.port())
          .containsEntry("destination_workload", "cart-v1")
          .containsEntry("response_flags", "-");
    }
  }

  /** Takes nothing until it is let. */
  private static final class Stuck extends OutputStream {
    private final CountDownLatch released = new CountDownLatch(1);

    @Override
    public void write(int b) throws IOException {
      write(new byte[] {(byte) b}, 0, 1);
    }

    @Override
    public void write(byte[] bytes, int offset, int length) throws IOException {
      try {
        released.await();
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
        throw new IOException(e);
      }
    }
  }

  @Test
  void aStreamThatTakesNothingHoldsNoRequestUp() throws Exception {
    var stuck = new Stuck();
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh(1, System::nanoTime, stuck)) {
      mesh.telemetry = new Telemetry(ALL, Telemetry.DEFAULT.tracing());
      mesh.serve(backend.port());
      String long2000 = "User-Agent: " + "x".repeat(2000) + "\r\n";
      try (Client client = mesh.client()) {
        for (int i = 0; i < 300; i++) {
          assertThat(client.get("/", long2000).status()).isEqualTo(200);
        }
      }
      // 256 KiB of lines wait and no more.
      long lost = Streams.sample(mesh, "weir_proxy_access_log_lost_total");
      long taken = Streams.sample(mesh, "weir_proxy_access_log_lines_total");
      assertThat(taken).isBetween(80L, 131L);
      assertThat(lost).isEqualTo(300 - taken);
      stuck.released.countDown();
    }
  }

  @Test
  void aStreamThatIsBrokenIsCounted() throws Exception {
    OutputStream broken =
        new OutputStream() {
          @Override
          public void write(int b) throws IOException {
            throw new IOException("EPIPE");
          }
        };
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh(1, System::nanoTime, broken)) {
      mesh.telemetry = new Telemetry(ALL, Telemetry.DEFAULT.tracing());
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        for (int i = 0; i < 5; i++) {
          assertThat(client.get("/").status()).isEqualTo(200);
        }
      }
      long deadline = System.nanoTime() + Duration.ofSeconds(10).toNanos();
      while (Streams.sample(mesh, "weir_proxy_access_log_lost_total") < 5
          && System.nanoTime() < deadline) {
        Thread.sleep(20);
      }
      assertThat(Streams.sample(mesh, "weir_proxy_access_log_lost_total")).isEqualTo(5);
    }
  }
}
