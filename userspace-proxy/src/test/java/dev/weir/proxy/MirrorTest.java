// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.ProxyPlan.Filter;
import dev.weir.policy.plan.ProxyPlan.Header;
import dev.weir.policy.plan.ProxyPlan.HeaderEdit;
import dev.weir.policy.plan.ProxyPlan.RouteRule;
import dev.weir.policy.plan.ProxyPlan.WeightedBackend;
import io.netty.util.internal.PlatformDependent;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
// Line ends are part of what is tested.
@SuppressWarnings("StringConcatToTextBlock")
final class MirrorTest {

  /** What one request of a mirror was. */
  private record Seen(String head, String body) {
    String header(String name) {
      return RawBackend.Connection.value(head, name);
    }
  }

  private static RouteRule rule(int numerator, int denominator, Filter... more) {
    List<Filter> filters =
        Stream.concat(Stream.of(new Filter.Mirror(1, numerator, denominator)), Stream.of(more))
            .toList();
    return new RouteRule(
        Mesh.any(),
        filters,
        List.of(
            new WeightedBackend(
                0,
                1,
                List.of(
                    new Filter.RequestHeaders(
                        new HeaderEdit(
                            List.of(new Header("x-backend", "main")), List.of(), List.of()))))),
        0,
        0);
  }

  /** Answers with a lot that nobody reads. */
  private static RawBackend mirror(LinkedBlockingQueue<Seen> seen) throws IOException {
    return new RawBackend(
        connection -> {
          for (String head = connection.head(); !head.isEmpty(); head = connection.head()) {
            String length = RawBackend.Connection.value(head, "content-length");
            int size = length.isEmpty() ? 0 : Integer.parseInt(length);
            byte[] body = connection.in.readNBytes(size);
            if (body.length == size) {
              seen.add(new Seen(head, new String(body, StandardCharsets.ISO_8859_1)));
            }
            connection.respond("x-version: mirror\r\n", "m".repeat(100_000));
          }
        });
  }

  private static Seen next(LinkedBlockingQueue<Seen> seen) throws InterruptedException {
    Seen one = seen.poll(5, TimeUnit.SECONDS);
    assertThat(one).as("what the mirror got").isNotNull();
    return one == null ? new Seen("", "") : one;
  }

  @Test
  void aMirrorGetsWhatTheRuleMakesOfTheRequestAndItsAnswerIsThrownAway() throws Exception {
    LinkedBlockingQueue<Seen> seen = new LinkedBlockingQueue<>();
    Filter set =
        new Filter.RequestHeaders(
            new HeaderEdit(List.of(new Header("x-rule", "yes")), List.of(), List.of()));
    try (RawBackend main = new RawBackend(RawBackend.named("main"));
        RawBackend mirror = mirror(seen);
        Mesh mesh = new Mesh()) {
      mesh.serve(Mesh.route(rule(1, 1, set)), main.port(), mirror.port());
      try (Client client = mesh.client()) {
        for (int i = 0; i < 20; i++) {
          Client.Response response = client.get("/path?q=" + i);
          assertThat(response.header("x-version")).isEqualTo("main");
          Seen copy = next(seen);
          assertThat(copy.head()).startsWith("GET /path?q=" + i + " HTTP/1.1\r\n");
          assertThat(copy.header("host")).isEqualTo("cart");
          assertThat(copy.header("x-rule")).isEqualTo("yes");
          assertThat(copy.header("x-request-id")).hasSize(36);
          assertThat(copy.header("x-backend")).isEmpty();
        }
      }
      assertThat(mesh.proxy.metrics())
          .contains("weir_proxy_mirrored_requests_total 20")
          .contains("weir_proxy_mirrored_requests_lost_total 0");
      // What it answers is read to the end: its connections serve more than one copy.
      assertThat(mirror.accepted()).isLessThan(20);
    }
  }

  @Test
  void theShareIsExact() throws Exception {
    LinkedBlockingQueue<Seen> seen = new LinkedBlockingQueue<>();
    try (RawBackend main = new RawBackend(RawBackend.named("main"));
        RawBackend mirror = mirror(seen);
        Mesh mesh = new Mesh(2, System::nanoTime)) {
      mesh.serve(Mesh.route(rule(20, 100)), main.port(), mirror.port());
      for (int connection = 0; connection < 4; connection++) {
        try (Client client = mesh.client()) {
          for (int i = 0; i < 50; i++) {
            assertThat(client.get("/").status()).isEqualTo(200);
          }
        }
      }
      assertThat(mesh.proxy.metrics()).contains("weir_proxy_mirrored_requests_total 40");
      for (int i = 0; i < 40; i++) {
        assertThat(next(seen).head()).startsWith("GET / ");
      }
    }
  }

  @Test
  void bodiesAreCopiedWholeWhereTheMirrorKeepsUp() throws Exception {
    LinkedBlockingQueue<Seen> seen = new LinkedBlockingQueue<>();
    try (RawBackend main = new RawBackend(RawBackend.echo());
        RawBackend mirror = mirror(seen);
        Mesh mesh = new Mesh()) {
      mesh.serve(Mesh.route(rule(1, 1)), main.port(), mirror.port());
      try (Client client = mesh.client()) {
        for (int i = 1; i <= 5; i++) {
          String body = ("body" + i + " ").repeat(1_000 * i);
          client.send(
              "PUT / HTTP/1.1\r\nHost: cart\r\nExpect: 100-continue\r\nContent-Length: "
                  + body.length()
                  + "\r\n\r\n"
                  + body);
          assertThat(client.read(false).text()).isEqualTo(body);
          Seen copy = next(seen);
          assertThat(copy.body()).isEqualTo(body);
          assertThat(copy.header("expect")).isEmpty();
        }
      }
    }
  }

  @Test
  void aMirrorThatDoesNotReadLosesTheRestAndHoldsNobodyUp() throws Exception {
    int size = 32 << 20;
    CompletableFuture<Boolean> cut = new CompletableFuture<>();
    try (RawBackend main =
            new RawBackend(
                connection -> {
                  connection.head();
                  connection.in.skipNBytes(size);
                  connection.respond("", "done");
                });
        RawBackend mirror =
            new RawBackend(
                connection -> {
                  connection.head();
                  try {
                    Thread.sleep(1_500);
                  } catch (InterruptedException e) {
                    Thread.currentThread().interrupt();
                  }
                  long got = 0;
                  try {
                    byte[] buffer = new byte[65_536];
                    for (int n = 0; n >= 0; n = connection.in.read(buffer)) {
                      got += n;
                    }
                  } catch (IOException reset) {
                    // Cut off: that is what is waited for.
                  }
                  cut.complete(got < size);
                });
        Mesh mesh = new Mesh()) {
      mesh.serve(Mesh.route(rule(1, 1)), main.port(), mirror.port());
      try (Client client = mesh.client()) {
        long before = PlatformDependent.usedDirectMemory();
        long start = System.nanoTime();
        client.send("PUT / HTTP/1.1\r\nHost: cart\r\nContent-Length: " + size + "\r\n\r\n");
        byte[] chunk = new byte[65_536];
        for (int at = 0; at < size; at += chunk.length) {
          client.socket().getOutputStream().write(chunk);
        }
        assertThat(client.read(false).text()).isEqualTo("done");
        assertThat(System.nanoTime() - start).isLessThan(TimeUnit.SECONDS.toNanos(20));
        assertThat(PlatformDependent.usedDirectMemory() - before).isLessThan(4L << 20);
      }
      assertThat(cut.get(10, TimeUnit.SECONDS)).isTrue();
      assertThat(mesh.proxy.metrics()).contains("weir_proxy_mirrored_requests_lost_total 1");
    }
  }

  @Test
  void aMirrorThatIsNotThereChangesNothing() throws Exception {
    try (RawBackend main = new RawBackend(RawBackend.named("main"));
        Mesh mesh = new Mesh()) {
      mesh.serve(Mesh.route(rule(1, 1)), main.port(), FreePorts.next());
      try (Client client = mesh.client()) {
        for (int i = 0; i < 5; i++) {
          assertThat(client.get("/").status()).isEqualTo(200);
        }
      }
      assertThat(mesh.proxy.metrics()).contains("weir_proxy_mirrored_requests_lost_total 5");
    }
  }

  @Test
  void aMirrorThatTheClientMayNotReachGetsNothing() throws Exception {
    LinkedBlockingQueue<Seen> seen = new LinkedBlockingQueue<>();
    try (RawBackend main = new RawBackend(RawBackend.named("main"));
        RawBackend mirror = mirror(seen);
        Mesh mesh = new Mesh()) {
      mesh.proxy.update(
          mesh.update(
              List.of(Mesh.route(rule(1, 1))),
              List.of(),
              List.of(),
              List.of(Mesh.verdict(8, main.port())),
              main.port(),
              mirror.port()));
      try (Client client = mesh.client()) {
        assertThat(client.get("/").status()).isEqualTo(200);
      }
      assertThat(mirror.accepted()).isZero();
      assertThat(seen).isEmpty();
      assertThat(mesh.log()).contains("not mirrored: shop/web may not reach shop/cart-v2");
    }
  }

  @Test
  void aRequestThatIsNotFinishedIsNotFinishedForTheMirrorEither() throws Exception {
    CompletableFuture<String> got = new CompletableFuture<>();
    AtomicInteger asked = new AtomicInteger();
    try (RawBackend main = new RawBackend(RawBackend.echo());
        RawBackend mirror =
            new RawBackend(
                connection -> {
                  connection.head();
                  asked.incrementAndGet();
                  got.complete(
                      new String(connection.in.readAllBytes(), StandardCharsets.ISO_8859_1));
                });
        Mesh mesh = new Mesh()) {
      mesh.serve(Mesh.route(rule(1, 1)), main.port(), mirror.port());
      try (Client client = mesh.client()) {
        client.send("PUT / HTTP/1.1\r\nHost: cart\r\nContent-Length: 100\r\n\r\nhalf");
        Thread.sleep(300);
      }
      assertThat(got.get(5, TimeUnit.SECONDS)).isEqualTo("half");
      assertThat(asked).hasValue(1);
    }
  }
}
