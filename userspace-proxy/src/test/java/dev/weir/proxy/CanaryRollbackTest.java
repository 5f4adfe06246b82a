// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.ProxyPlan.RouteRule;
import dev.weir.policy.plan.ProxyPlan.SessionPersistence;
import dev.weir.policy.plan.ProxyPlan.WeightedBackend;
import dev.weir.policy.plan.TrafficPolicy;
import dev.weir.policy.plan.TrafficPolicy.CanaryRollback;
import dev.weir.policy.plan.TrafficPolicy.StickyKey;
import dev.weir.policy.plan.TrafficPolicy.StickySplit;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(60)
final class CanaryRollbackTest {

  private static final RouteRule SPLIT = Mesh.weighted(Mesh.any(), 3, 1);
  private static final CanaryRollback BY_ERRORS =
      new CanaryRollback("shop/cart-v2", 10, -1, 3600, 20);
  private static final CanaryRollback BY_P99 =
      new CanaryRollback("shop/cart-v2", -1, 100, 3600, 20);

  /** Of what each answer of a backend is made. */
  private static RawBackend answering(String name, AtomicInteger status, AtomicInteger delayMillis)
      throws IOException {
    return new RawBackend(
        connection -> {
          while (!connection.head().isEmpty()) {
            try {
              Thread.sleep(delayMillis.get());
            } catch (InterruptedException e) {
              return;
            }
            connection.send(
                "HTTP/1.1 "
                    + status
                    + " As-It-Is\r\nContent-Length: 0\r\nx-version: "
                    + name
                    + "\r\n\r\n");
          }
        });
  }

  private static TrafficPolicy onRoute(TrafficPolicy.Setting... settings) {
    return new TrafficPolicy(
        Mesh.TRAFFIC_RULE,
        List.of(new TrafficPolicy.Target(TrafficPolicy.TargetKind.ROUTE, 1, "")),
        List.of(settings));
  }

  private final AtomicInteger fine = new AtomicInteger(200);
  private final AtomicInteger canaryStatus = new AtomicInteger(200);
  private final AtomicInteger atOnce = new AtomicInteger();
  private final AtomicInteger canaryDelay = new AtomicInteger();

  private static Map<String, Integer> versions(Client client, int requests) throws IOException {
    Map<String, Integer> versions = new HashMap<>();
    for (int i = 0; i < requests; i++) {
      versions.merge(client.get("/").header("x-version"), 1, Integer::sum);
    }
    return versions;
  }

  private static void untilRolledBack(Mesh mesh, Client client) throws Exception {
    long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
    while (!mesh.proxy.canaries().contains("\"rolled_back\":true")) {
      assertThat(System.nanoTime()).isLessThan(deadline);
      client.get("/");
    }
  }

  @Test
  void aCanaryThatFailsMoreThanTheOthersGetsNoMoreRequestsUntilItIsReleased() throws Exception {
    try (RawBackend stable = answering("v1", fine, atOnce);
        RawBackend canary = answering("v2", canaryStatus, atOnce);
        Mesh mesh = new Mesh(2, System::nanoTime)) {
      mesh.distinct = true;
      mesh.traffic = List.of(onRoute(BY_ERRORS));
      mesh.serve(Mesh.route(SPLIT), stable.port(), canary.port());
      try (Client client = mesh.client()) {
        assertThat(versions(client, 200)).containsEntry("v2", 50);
        assertThat(mesh.proxy.canaries())
            .isEqualTo(
                "{\"canaries\":[{\"policy\":\"shop/limits\",\"route\":\"HTTPRoute shop/cart\","
                    + "\"rule\":\"\",\"backend\":\"shop/cart-v2\",\"rolled_back\":false}]}");
        canaryStatus.set(503);
        untilRolledBack(mesh, client);
        assertThat(versions(client, 100)).containsEntry("v1", 100);
        assertThat(mesh.log())
            .containsPattern(
                "rolled back shop/cart-v2 of HTTPRoute shop/cart: [0-9.]+ % of [0-9]+ requests"
                    + " failed, of the others' [0-9]+ it was 0.0 % \\(margin: 10\\): by"
                    + " TrafficPolicy shop/limits \\(limits.yaml:3\\); `weir canary release"
                    + " shop/cart`");
        assertThat(mesh.proxy.status())
            .contains("\"canaries\":[{\"policy\":\"shop/limits\"")
            .contains("\"rolled_back\":true,\"at\":\"20")
            .contains("{\"cluster\":\"shop/cart-v2:80\",\"weight\":1,\"weight_now\":0}");
        assertThat(mesh.proxy.metrics())
            .contains("weir_proxy_canary_rollbacks_total 1\n")
            .contains("backend=\"shop/cart-v2\"} 1\n");
        // Also with other weights.
        mesh.serve(Mesh.route(Mesh.weighted(Mesh.any(), 1, 1)), stable.port(), canary.port());
        assertThat(versions(client, 20)).containsEntry("v1", 20);
        assertThat(mesh.proxy.release("shop/other", "")).isZero();
        assertThat(mesh.proxy.release("shop/cart", "shop/cart-v1")).isZero();
        assertThat(mesh.proxy.release("shop/cart", "shop/cart-v2")).isEqualTo(1);
        canaryStatus.set(200);
        assertThat(versions(client, 20)).containsEntry("v2", 10);
        assertThat(mesh.log()).contains("released shop/cart-v2 of HTTPRoute shop/cart");
      }
    }
  }

  @Test
  void theOthersKeepTheirProportions() throws Exception {
    try (RawBackend a = answering("a", fine, atOnce);
        RawBackend b = answering("b", canaryStatus, atOnce);
        RawBackend c = answering("c", fine, atOnce);
        Mesh mesh = new Mesh()) {
      mesh.distinct = true;
      mesh.traffic = List.of(onRoute(BY_ERRORS));
      mesh.serve(Mesh.route(Mesh.weighted(Mesh.any(), 3, 4, 1)), a.port(), b.port(), c.port());
      canaryStatus.set(500);
      try (Client client = mesh.client()) {
        untilRolledBack(mesh, client);
        assertThat(versions(client, 80)).isEqualTo(Map.of("a", 60, "c", 20));
      }
    }
  }

  @Test
  void aCanaryThatIsSlowerThanTheOthersIsRolledBack() throws Exception {
    atOnce.set(5);
    canaryDelay.set(40);
    try (RawBackend stable = answering("v1", fine, atOnce);
        RawBackend canary = answering("v2", fine, canaryDelay);
        Mesh mesh = new Mesh()) {
      mesh.distinct = true;
      mesh.traffic = List.of(onRoute(BY_P99));
      mesh.serve(Mesh.route(Mesh.weighted(Mesh.any(), 1, 1)), stable.port(), canary.port());
      try (Client client = mesh.client()) {
        untilRolledBack(mesh, client);
        assertThat(versions(client, 20)).containsEntry("v1", 20);
        assertThat(mesh.log()).contains("the 99th percentile of");
      }
    }
  }

  @Test
  void whatFailsEverywhereIsNotTheCanarysFault() throws Exception {
    fine.set(500);
    canaryStatus.set(500);
    try (RawBackend stable = answering("v1", fine, atOnce);
        RawBackend canary = answering("v2", canaryStatus, atOnce);
        Mesh mesh = new Mesh()) {
      mesh.distinct = true;
      mesh.traffic = List.of(onRoute(BY_ERRORS));
      mesh.serve(Mesh.route(Mesh.weighted(Mesh.any(), 1, 1)), stable.port(), canary.port());
      try (Client client = mesh.client()) {
        for (int i = 0; i < 5; i++) {
          assertThat(versions(client, 40)).containsEntry("v2", 20);
          Thread.sleep(250);
        }
        assertThat(mesh.proxy.canaries()).contains("\"rolled_back\":false");
      }
    }
  }

  @Test
  void fewerRequestsThanTheMinimumJudgeNobody() throws Exception {
    canaryStatus.set(500);
    try (RawBackend stable = answering("v1", fine, atOnce);
        RawBackend canary = answering("v2", canaryStatus, atOnce);
        Mesh mesh = new Mesh()) {
      mesh.distinct = true;
      mesh.traffic = List.of(onRoute(BY_ERRORS));
      mesh.serve(Mesh.route(SPLIT), stable.port(), canary.port());
      try (Client client = mesh.client()) {
        for (int i = 0; i < 19; i++) {
          versions(client, 4);
          Thread.sleep(20);
        }
        assertThat(mesh.proxy.canaries()).contains("\"rolled_back\":false");
      }
    }
  }

  @Test
  void aProxyThatIsStartedAnewKnowsWhatWasRolledBackAndForgetsWhatNobodySaysAnyMore(
      @TempDir Path directory) throws Exception {
    Path file = directory.resolve("rollbacks");
    canaryStatus.set(500);
    try (RawBackend stable = answering("v1", fine, atOnce);
        RawBackend canary = answering("v2", canaryStatus, atOnce)) {
      try (Mesh mesh = remembering(file)) {
        mesh.traffic = List.of(onRoute(BY_ERRORS));
        mesh.serve(Mesh.route(SPLIT), stable.port(), canary.port());
        try (Client client = mesh.client()) {
          untilRolledBack(mesh, client);
        }
        assertThat(Files.readAllLines(file))
            .singleElement()
            .asString()
            .startsWith("shop/limits\tHTTPRoute shop/cart\t\tshop/cart-v2\t20");
      }
      canaryStatus.set(200);
      try (Mesh mesh = remembering(file)) {
        mesh.traffic = List.of(onRoute(BY_ERRORS));
        mesh.serve(Mesh.route(SPLIT), stable.port(), canary.port());
        try (Client client = mesh.client()) {
          assertThat(versions(client, 40)).containsEntry("v1", 40);
          mesh.traffic = List.of();
          mesh.serve(Mesh.route(SPLIT), stable.port(), canary.port());
          assertThat(versions(client, 40)).containsEntry("v2", 10);
          assertThat(Files.readAllLines(file)).isEmpty();
        }
      }
    }
  }

  private static Mesh remembering(Path file) throws IOException {
    Mesh mesh = new Mesh(1, System::nanoTime, OutputStream.nullOutputStream(), Optional.of(file));
    mesh.distinct = true;
    return mesh;
  }

  @Test
  void clientsOfTheCanaryMoveAndNobodyElse() throws Exception {
    try (RawBackend a = answering("a", fine, atOnce);
        RawBackend b = answering("b", canaryStatus, atOnce);
        RawBackend c = answering("c", fine, atOnce);
        Mesh mesh = new Mesh()) {
      mesh.distinct = true;
      mesh.traffic = List.of(onRoute(BY_ERRORS, new StickySplit(StickyKey.HEADER, "x-user", 0)));
      mesh.serve(Mesh.route(Mesh.weighted(Mesh.any(), 1, 1, 1)), a.port(), b.port(), c.port());
      try (Client client = mesh.client()) {
        Map<Integer, String> before = places(client);
        canaryStatus.set(500);
        while (!mesh.proxy.canaries().contains("\"rolled_back\":true")) {
          places(client);
        }
        Map<Integer, String> after = places(client);
        Set<String> moved = new HashSet<>();
        before.forEach(
            (user, place) -> {
              if (place.equals("b")) {
                moved.add(after.getOrDefault(user, ""));
              } else {
                assertThat(after).containsEntry(user, place);
              }
            });
        assertThat(moved).containsExactlyInAnyOrder("a", "c");
      }
    }
  }

  private static Map<Integer, String> places(Client client) throws IOException {
    Map<Integer, String> places = new HashMap<>();
    for (int user : IntStream.range(0, 60).toArray()) {
      places.put(user, client.get("/", "X-User: " + user + "\r\n").header("x-version"));
    }
    return places;
  }

  @Test
  void sessionsOfTheCanaryEnd() throws Exception {
    try (RawBackend stable = answering("v1", fine, atOnce);
        RawBackend canary = answering("v2", canaryStatus, atOnce);
        Mesh mesh = new Mesh()) {
      mesh.distinct = true;
      mesh.traffic = List.of(onRoute(BY_ERRORS));
      mesh.serve(
          Mesh.route(
              new RouteRule(
                  "",
                  Mesh.any(),
                  List.of(),
                  List.of(
                      new WeightedBackend(0, 1, List.of()), new WeightedBackend(1, 1, List.of())),
                  0,
                  0,
                  Optional.empty(),
                  Optional.of(
                      new SessionPersistence(
                          SessionPersistence.Type.HEADER, "x-session", 0, 0, false)))),
          stable.port(),
          canary.port());
      try (Client client = mesh.client()) {
        String session = "";
        while (session.isEmpty()) {
          Client.Response response = client.get("/");
          if (response.header("x-version").equals("v2")) {
            session = "X-Session: " + response.header("x-session") + "\r\n";
          }
        }
        assertThat(client.get("/", session).header("x-version")).isEqualTo("v2");
        canaryStatus.set(500);
        untilRolledBack(mesh, client);
        assertThat(client.get("/", session).header("x-version")).isEqualTo("v1");
      }
    }
  }
}
