// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.weir.policy.plan.ProxyPlan.Retry;
import dev.weir.policy.plan.ProxyPlan.RouteRule;
import dev.weir.policy.plan.ProxyPlan.WeightedBackend;
import java.io.EOFException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
// Line ends are part of what is tested.
@SuppressWarnings("StringConcatToTextBlock")
final class RetryTest {

  private static RouteRule rule(Retry retry, long requestMillis, long backendMillis) {
    return new RouteRule(
        "",
        Mesh.any(),
        List.of(),
        List.of(new WeightedBackend(0, 1, List.of())),
        requestMillis,
        backendMillis,
        Optional.of(retry),
        Optional.empty());
  }

  private static RouteRule rule(int attempts, Integer... codes) {
    return rule(new Retry(List.of(codes), attempts, 0), 0, 0);
  }

  /** Answers each request of a connection with a status. */
  private static RawBackend.Behaviour status(int status, AtomicInteger asked) {
    return connection -> {
      while (!connection.head().isEmpty()) {
        asked.incrementAndGet();
        connection.send("HTTP/1.1 " + status + " As-It-Is\r\nContent-Length: 4\r\n\r\nlong");
      }
    };
  }

  private static String body(RawBackend.Connection connection, String head) throws IOException {
    String length = RawBackend.Connection.value(head, "content-length");
    return new String(
        connection.in.readNBytes(Integer.parseInt(length)), StandardCharsets.ISO_8859_1);
  }

  @Test
  void anotherBackendIsAskedWhenOneAnswersACodeOfTheRule() throws Exception {
    AtomicInteger failed = new AtomicInteger();
    try (RawBackend bad = new RawBackend(status(503, failed));
        RawBackend good = new RawBackend(RawBackend.named("good"));
        Mesh mesh = new Mesh()) {
      mesh.serveTogether(rule(1, 503), bad.port(), good.port());
      try (Client client = mesh.client()) {
        for (int i = 0; i < 20; i++) {
          assertThat(client.get("/").status()).isEqualTo(200);
        }
      }
      assertThat(failed.get()).isBetween(1, 20);
      // What it answered was read to its end, so that its connection goes on.
      assertThat(bad.accepted()).isEqualTo(1);
      assertThat(mesh.proxy.metrics())
          .contains("weir_proxy_upstream_retries_total " + failed.get());
    }
  }

  @Test
  void aCodeThatTheRuleDoesNotNameIsPassedOn() throws Exception {
    AtomicInteger asked = new AtomicInteger();
    try (RawBackend bad = new RawBackend(status(500, asked));
        Mesh mesh = new Mesh()) {
      mesh.serveTogether(rule(3, 502, 503, 504), bad.port());
      try (Client client = mesh.client()) {
        assertThat(client.get("/").status()).isEqualTo(500);
      }
      assertThat(asked).hasValue(1);
    }
  }

  @Test
  void theLastAnswerIsPassedOnWhenTheAttemptsAreUsedUp() throws Exception {
    AtomicInteger asked = new AtomicInteger();
    try (RawBackend bad = new RawBackend(status(503, asked));
        Mesh mesh = new Mesh()) {
      mesh.serveTogether(rule(2, 503), bad.port());
      try (Client client = mesh.client()) {
        Client.Response response = client.get("/");
        assertThat(response.status()).isEqualTo(503);
        assertThat(response.text()).isEqualTo("long");
      }
      assertThat(asked).hasValue(3);
      assertThat(mesh.proxy.metrics()).contains("response_flags=\"URX\"");
    }
  }

  @Test
  void aBackendThatHangsUpIsReplacedByAnotherForAPostToo() throws Exception {
    ConcurrentLinkedQueue<String> bodies = new ConcurrentLinkedQueue<>();
    AtomicInteger hungUp = new AtomicInteger();
    try (RawBackend bad =
            new RawBackend(
                connection -> {
                  String head = connection.head();
                  if (!head.isEmpty()) {
                    body(connection, head);
                    hungUp.incrementAndGet();
                  }
                });
        RawBackend good =
            new RawBackend(
                connection -> {
                  for (String head = connection.head(); !head.isEmpty(); head = connection.head()) {
                    bodies.add(body(connection, head));
                    connection.respond("", "taken");
                  }
                });
        Mesh mesh = new Mesh()) {
      mesh.serveTogether(rule(1), bad.port(), good.port());
      try (Client client = mesh.client()) {
        for (int i = 0; i < 10; i++) {
          client.send("POST / HTTP/1.1\r\nHost: cart\r\nContent-Length: 5\r\n\r\nbody" + i);
          assertThat(client.read(false).text()).isEqualTo("taken");
        }
      }
      assertThat(hungUp.get()).isPositive();
      assertThat(bodies)
          .containsExactly(
              "body0", "body1", "body2", "body3", "body4", "body5", "body6", "body7", "body8",
              "body9");
    }
  }

  @Test
  void aBodyThatIsStillComingGoesOnToTheBackendOfTheNextTry() throws Exception {
    CountDownLatch refused = new CountDownLatch(1);
    ConcurrentLinkedQueue<String> bodies = new ConcurrentLinkedQueue<>();
    try (RawBackend bad =
            new RawBackend(
                connection -> {
                  connection.head();
                  connection.in.readNBytes(5);
                  connection.send("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
                  refused.countDown();
                  connection.in.readAllBytes();
                });
        RawBackend good =
            new RawBackend(
                connection -> {
                  bodies.add(body(connection, connection.head()));
                  connection.respond("", "taken");
                });
        Mesh mesh = new Mesh()) {
      mesh.serveTogether(rule(1, 503), bad.port(), good.port());
      try (Client client = mesh.client()) {
        client.send("PUT / HTTP/1.1\r\nHost: cart\r\nContent-Length: 10\r\n\r\nfirst");
        refused.await();
        Thread.sleep(100);
        client.send("after");
        assertThat(client.read(false).text()).isEqualTo("taken");
      }
      assertThat(bodies).containsExactly("firstafter");
    }
  }

  @Test
  void aBodyThatIsTooLongToBeKeptIsSentOnce() throws Exception {
    AtomicInteger asked = new AtomicInteger();
    int size = 200_000;
    try (RawBackend bad =
            new RawBackend(
                connection -> {
                  String head = connection.head();
                  if (!head.isEmpty()) {
                    body(connection, head);
                    asked.incrementAndGet();
                    connection.send("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
                  }
                });
        Mesh mesh = new Mesh()) {
      mesh.serveTogether(rule(3, 503), bad.port());
      try (Client client = mesh.client()) {
        client.send("PUT / HTTP/1.1\r\nHost: cart\r\nContent-Length: " + size + "\r\n\r\n");
        client.socket().getOutputStream().write(new byte[size]);
        assertThat(client.read(false).status()).isEqualTo(503);
      }
      assertThat(asked).hasValue(1);
    }
  }

  @Test
  void whereNobodyListensAnotherBackendIsTried() throws Exception {
    try (RawBackend good = new RawBackend(RawBackend.named("good"));
        Mesh mesh = new Mesh()) {
      mesh.serveTogether(rule(2), FreePorts.next(), good.port());
      try (Client client = mesh.client()) {
        for (int i = 0; i < 10; i++) {
          assertThat(client.get("/").status()).isEqualTo(200);
        }
      }
    }
  }

  @Test
  void aTryThatTakesTooLongIsGivenUpForAnother() throws Exception {
    try (RawBackend slow = new RawBackend(connection -> connection.in.readAllBytes());
        RawBackend good = new RawBackend(RawBackend.named("good"));
        Mesh mesh = new Mesh()) {
      mesh.serveTogether(rule(new Retry(List.of(), 1, 0), 5_000, 150), slow.port(), good.port());
      try (Client client = mesh.client()) {
        for (int i = 0; i < 4; i++) {
          assertThat(client.get("/").status()).isEqualTo(200);
        }
      }
    }
  }

  @Test
  void allTriesTogetherEndWithTheRequestsTimeout() throws Exception {
    AtomicInteger asked = new AtomicInteger();
    try (RawBackend bad = new RawBackend(status(503, asked));
        Mesh mesh = new Mesh()) {
      mesh.serveTogether(rule(new Retry(List.of(503), 1_000, 50), 400, 0), bad.port());
      try (Client client = mesh.client()) {
        long before = System.nanoTime();
        // Not 504: the pause would outlast the request, so the last answer is the better one.
        assertThat(client.get("/").status()).isEqualTo(503);
        assertThat(System.nanoTime() - before).isLessThan(2_000_000_000L);
      }
      assertThat(asked.get()).isBetween(2, 9);
    }
  }

  @Test
  void aResponseThatHasBegunIsNeverReplaced() throws Exception {
    AtomicInteger asked = new AtomicInteger();
    try (RawBackend bad =
            new RawBackend(
                connection -> {
                  if (!connection.head().isEmpty()) {
                    asked.incrementAndGet();
                    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
                  }
                });
        Mesh mesh = new Mesh()) {
      mesh.serveTogether(rule(3, 500), bad.port());
      try (Client client = mesh.client()) {
        assertThatThrownBy(() -> client.get("/")).isInstanceOf(EOFException.class);
      }
      assertThat(asked).hasValue(1);
    }
  }

  @Test
  void aResponseThatIsNotHttpIsNotAskedForTwice() throws Exception {
    AtomicInteger asked = new AtomicInteger();
    try (RawBackend bad =
            new RawBackend(
                connection -> {
                  if (!connection.head().isEmpty()) {
                    asked.incrementAndGet();
                    connection.send("SSH-2.0-OpenSSH\r\n\r\n");
                    connection.in.readAllBytes();
                  }
                });
        Mesh mesh = new Mesh()) {
      mesh.serveTogether(rule(3, 500, 502), bad.port());
      try (Client client = mesh.client()) {
        assertThat(client.get("/").status()).isEqualTo(502);
      }
      assertThat(asked).hasValue(1);
      assertThat(mesh.proxy.metrics()).contains("response_flags=\"UPE\"");
    }
  }

  @Test
  void withoutBudgetNothingIsTriedAgain() throws Exception {
    AtomicInteger asked = new AtomicInteger();
    int clients = 12;
    try (RawBackend bad = new RawBackend(status(503, asked));
        Mesh mesh = new Mesh()) {
      // Long pauses: whoever got a place in the budget still has it when the others ask for one.
      mesh.serveTogether(rule(new Retry(List.of(503), 1, 1_500), 0, 0), bad.port());
      List<Client> open = new ArrayList<>();
      for (int i = 0; i < clients; i++) {
        open.add(mesh.client().send("GET / HTTP/1.1\r\nHost: cart\r\n\r\n"));
      }
      for (Client client : open) {
        assertThat(client.read(false).status()).isEqualTo(503);
        client.close();
      }
      // A fifth of twelve is fewer than the three that are always allowed.
      assertThat(asked).hasValue(clients + 3);
      assertThat(mesh.proxy.metrics())
          .contains("weir_proxy_upstream_retries_refused_total " + (clients - 3));
      // And the places are free again.
      try (Client client = mesh.client()) {
        client.get("/");
      }
      assertThat(asked).hasValue(clients + 5);
    }
  }

  @Test
  void aConnectionThatWasKeptCarriesTheRequestAfterARefusedOne() throws Exception {
    // No rule for retries: where nobody listens, the next backend is asked, here over a connection
    // that is open already.
    int nobody = FreePorts.next();
    try (RawBackend good = new RawBackend(RawBackend.named("good"));
        Mesh mesh = new Mesh()) {
      mesh.serveTogether(Mesh.weighted(Mesh.any(), 1), good.port(), nobody);
      try (Client client = mesh.client()) {
        for (int i = 0; i < 6; i++) {
          assertThat(client.get("/").status()).isEqualTo(200);
        }
      }
    }
  }
}
