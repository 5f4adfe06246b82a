// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.ProxyPlan.ValueMatch;
import dev.weir.policy.plan.TrafficPolicy;
import dev.weir.policy.plan.TrafficPolicy.StickyKey;
import dev.weir.policy.plan.TrafficPolicy.StickySplit;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

final class WeightsTest {

  @Test
  void oneInAHundredGoesToTheCanaryExactly() throws Exception {
    try (RawBackend v1 = new RawBackend(RawBackend.named("v1"));
        RawBackend v2 = new RawBackend(RawBackend.named("v2"));
        Mesh mesh = new Mesh(2, System::nanoTime)) {
      mesh.serve(Mesh.route(Mesh.weighted(Mesh.any(), 99, 1)), v1.port(), v2.port());
      int canary = 0;
      for (int connection = 0; connection < 10; connection++) {
        try (Client client = mesh.client()) {
          for (int i = 0; i < 100; i++) {
            canary += client.get("/").header("x-version").equals("v2") ? 1 : 0;
          }
        }
      }
      assertThat(canary).isEqualTo(10);
    }
  }

  @Test
  void aHeaderAlwaysGetsTheSecondVersion() throws Exception {
    try (RawBackend v1 = new RawBackend(RawBackend.named("v1"));
        RawBackend v2 = new RawBackend(RawBackend.named("v2"));
        Mesh mesh = new Mesh()) {
      mesh.serve(
          Mesh.route(
              Mesh.weighted(
                  List.of(Mesh.prefix("/", new ValueMatch("x-canary", "always", false))), 0, 1),
              Mesh.weighted(Mesh.any(), 1, 0)),
          v1.port(),
          v2.port());
      try (Client client = mesh.client()) {
        for (int i = 0; i < 20; i++) {
          assertThat(client.get("/", "X-Canary: always\r\n").header("x-version")).isEqualTo("v2");
          assertThat(client.get("/", "X-Canary: never\r\n").header("x-version")).isEqualTo("v1");
        }
      }
    }
  }

  @Test
  void newWeightsApplyToTheNextRequestAndNoRequestFails() throws Exception {
    try (RawBackend v1 = new RawBackend(RawBackend.named("v1"));
        RawBackend v2 = new RawBackend(RawBackend.named("v2"));
        Mesh mesh = new Mesh(2, System::nanoTime)) {
      mesh.serve(Mesh.route(Mesh.weighted(Mesh.any(), 1, 0)), v1.port(), v2.port());
      AtomicInteger failed = new AtomicInteger();
      AtomicInteger served = new AtomicInteger();
      List<Thread> clients =
          IntStream.range(0, 8)
              .mapToObj(i -> Thread.ofVirtual().start(() -> load(mesh, served, failed)))
              .toList();
      for (int i = 0; i < 200; i++) {
        mesh.serve(Mesh.route(Mesh.weighted(Mesh.any(), i % 2, 1 - i % 2)), v1.port(), v2.port());
        Thread.sleep(5);
      }
      mesh.serve(Mesh.route(Mesh.weighted(Mesh.any(), 0, 1)), v1.port(), v2.port());
      try (Client client = mesh.client()) {
        assertThat(client.get("/").header("x-version")).isEqualTo("v2");
      }
      for (Thread client : clients) {
        client.interrupt();
        client.join();
      }
      assertThat(failed).hasValue(0);
      assertThat(served.get()).isGreaterThan(1000);
    }
  }

  private static TrafficPolicy ofRoute(TrafficPolicy.Setting... settings) {
    return new TrafficPolicy(
        Mesh.TRAFFIC_RULE,
        List.of(new TrafficPolicy.Target(TrafficPolicy.TargetKind.ROUTE, 1, "")),
        List.of(settings));
  }

  @Test
  void anyHundredRequestsInARowAreWithinOneOfTheShareOverSeveralEventLoops() throws Exception {
    // The backends tell the order in which they were asked, whatever loop asked them.
    ConcurrentLinkedQueue<String> asked = new ConcurrentLinkedQueue<>();
    try (RawBackend v1 = noting("v1", asked);
        RawBackend v2 = noting("v2", asked);
        Mesh mesh = new Mesh(3, System::nanoTime)) {
      mesh.serve(Mesh.route(Mesh.weighted(Mesh.any(), 93, 7)), v1.port(), v2.port());
      List<Client> clients = new ArrayList<>();
      for (int i = 0; i < 9; i++) {
        clients.add(mesh.client());
      }
      for (int i = 0; i < 900; i++) {
        clients.get(i % 9).get("/");
      }
      for (Client client : clients) {
        client.close();
      }
    }
    List<String> order = List.copyOf(asked);
    assertThat(order).hasSize(900);
    for (int i = 0; i + 100 <= order.size(); i++) {
      assertThat(Collections.frequency(order.subList(i, i + 100), "v2")).isBetween(6, 8);
    }
  }

  private static RawBackend noting(String name, Queue<String> asked) throws IOException {
    return new RawBackend(
        connection -> {
          while (!connection.head().isEmpty()) {
            asked.add(name);
            connection.respond("x-version: " + name + "\r\n", "");
          }
        });
  }

  @Test
  void clientsWithACookieStayWhereTheyAreAndMoreForTheCanaryOnlyMovesStableOnes() throws Exception {
    try (RawBackend v1 = new RawBackend(RawBackend.named("v1"));
        RawBackend v2 = new RawBackend(RawBackend.named("v2"));
        Mesh mesh = new Mesh(2, System::nanoTime)) {
      mesh.distinct = true;
      mesh.traffic = List.of(ofRoute(new StickySplit(StickyKey.COOKIE, "user", 0)));
      Set<Integer> before = Set.of();
      for (int weight : List.of(0, 5, 30, 100)) {
        mesh.serve(
            Mesh.route(Mesh.weighted(Mesh.any(), 100 - weight, weight)), v1.port(), v2.port());
        Set<Integer> canaries = new HashSet<>();
        try (Client client = mesh.client();
            Client other = mesh.client()) {
          for (int user = 0; user < 1000; user++) {
            String cookie = "Cookie: a=b; user=" + user + "\r\n";
            String version = client.get("/", cookie).header("x-version");
            assertThat(other.get("/", cookie).header("x-version")).isEqualTo(version);
            if (version.equals("v2")) {
              canaries.add(user);
            }
          }
        }
        double share = weight / 100.0;
        assertThat(Math.abs(canaries.size() - 1000 * share))
            .isLessThan(3 * Math.sqrt(1000 * share * (1 - share)) + 1);
        assertThat(canaries).containsAll(before);
        before = canaries;
      }
    }
  }

  @Test
  void whoHasNoCookieIsGivenOneThatKeepsItWhereItWas() throws Exception {
    try (RawBackend v1 = new RawBackend(RawBackend.named("v1"));
        RawBackend v2 = new RawBackend(RawBackend.named("v2"));
        Mesh mesh = new Mesh()) {
      mesh.distinct = true;
      mesh.traffic = List.of(ofRoute(new StickySplit(StickyKey.COOKIE, "user", 7200)));
      mesh.serve(Mesh.route(Mesh.weighted(Mesh.any(), 1, 1)), v1.port(), v2.port());
      Set<String> versions = new HashSet<>();
      try (Client client = mesh.client()) {
        for (int i = 0; i < 50; i++) {
          Client.Response first = client.get("/");
          String set = first.header("set-cookie");
          assertThat(set)
              .matches("user=[-0-9a-f]{36}; Path=/; Max-Age=7200; HttpOnly; SameSite=Lax");
          Client.Response next =
              client.get("/", "Cookie: " + set.substring(0, set.indexOf(';')) + "\r\n");
          assertThat(next.header("x-version")).isEqualTo(first.header("x-version"));
          assertThat(next.header("set-cookie")).isEmpty();
          versions.add(first.header("x-version"));
        }
      }
      assertThat(versions).containsExactlyInAnyOrder("v1", "v2");
    }
  }

  @Test
  void aCookieThatTheBackendSetsItselfIsNotSetTwice() throws Exception {
    try (RawBackend login =
            new RawBackend(
                connection -> {
                  while (!connection.head().isEmpty()) {
                    connection.respond("Set-Cookie: user=mine; Path=/\r\n", "");
                  }
                });
        Mesh mesh = new Mesh()) {
      mesh.traffic = List.of(ofRoute(new StickySplit(StickyKey.COOKIE, "user", 7200)));
      mesh.serve(login.port());
      try (Client client = mesh.client()) {
        assertThat(client.get("/").headers())
            .filteredOn(line -> line.startsWith("Set-Cookie") || line.startsWith("set-cookie"))
            .containsExactly("Set-Cookie: user=mine; Path=/");
      }
    }
  }

  @Test
  void aWorkloadStaysAndWithoutAKeyRequestsTakeTurns() throws Exception {
    try (RawBackend v1 = new RawBackend(RawBackend.named("v1"));
        RawBackend v2 = new RawBackend(RawBackend.named("v2"));
        Mesh mesh = new Mesh()) {
      mesh.distinct = true;
      mesh.traffic = List.of(ofRoute(new StickySplit(StickyKey.SOURCE_IDENTITY, "", 0)));
      mesh.serve(Mesh.route(Mesh.weighted(Mesh.any(), 1, 1)), v1.port(), v2.port());
      Set<String> versions = new HashSet<>();
      try (Client client = mesh.client()) {
        for (int i = 0; i < 20; i++) {
          versions.add(client.get("/").header("x-version"));
        }
      }
      assertThat(versions).hasSize(1);
      mesh.traffic = List.of(ofRoute(new StickySplit(StickyKey.HEADER, "x-user", 0)));
      mesh.serve(Mesh.route(Mesh.weighted(Mesh.any(), 1, 1)), v1.port(), v2.port());
      int second = 0;
      try (Client client = mesh.client()) {
        for (int i = 0; i < 20; i++) {
          second += client.get("/").header("x-version").equals("v2") ? 1 : 0;
        }
      }
      assertThat(second).isEqualTo(10);
    }
  }

  private static void load(Mesh mesh, AtomicInteger served, AtomicInteger failed) {
    try (Client client = mesh.client()) {
      while (!Thread.currentThread().isInterrupted()) {
        if (client.get("/").status() != 200) {
          failed.incrementAndGet();
        }
        served.incrementAndGet();
      }
    } catch (IOException e) {
      if (!Thread.currentThread().isInterrupted()) {
        failed.incrementAndGet();
      }
    }
  }
}
