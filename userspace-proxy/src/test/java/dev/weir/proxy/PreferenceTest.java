// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.ProxyPlan;
import dev.weir.policy.plan.ProxyPlan.Cluster;
import dev.weir.policy.plan.ProxyPlan.RouteRule;
import dev.weir.policy.plan.ProxyUpdate;
import dev.weir.policy.plan.TrafficPolicy.Level;
import dev.weir.policy.plan.TrafficPolicy.Locality;
import dev.weir.policy.plan.TrafficPolicy.OutlierEjection;
import dev.weir.policy.plan.TrafficPolicy.SlowStart;
import java.io.IOException;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Which endpoints get more than others: slow start and locality. */
@Timeout(60)
final class PreferenceTest {

  private static final RouteRule ALL = Mesh.weighted(Mesh.any(), 1);

  private static int answeredBy(Client client, int requests, String version) throws IOException {
    int answered = 0;
    for (int i = 0; i < requests; i++) {
      answered += client.get("/").header("x-version").equals(version) ? 1 : 0;
    }
    return answered;
  }

  @Test
  void anEndpointThatIsNewGetsAShareThatGrows() throws Exception {
    try (RawBackend a = new RawBackend(RawBackend.named("a"));
        RawBackend b = new RawBackend(RawBackend.named("b"));
        Mesh mesh = new Mesh()) {
      mesh.traffic = List.of(Mesh.ofService(new SlowStart(86_400_000)));
      mesh.serveTogether(ALL, a.port());
      mesh.serveTogether(ALL, a.port(), b.port());
      try (Client client = mesh.client()) {
        // A tenth of the other's share is an eleventh of all.
        assertThat(answeredBy(client, 500, "b")).isBetween(15, 90);
        mesh.traffic = List.of(Mesh.ofService(new SlowStart(1)));
        mesh.serveTogether(ALL, a.port(), b.port());
        Thread.sleep(2);
        assertThat(answeredBy(client, 500, "b")).isBetween(249, 251);
      }
    }
  }

  @Test
  void thoseOfTheFirstPlanBeginAsEquals() throws Exception {
    try (RawBackend a = new RawBackend(RawBackend.named("a"));
        RawBackend b = new RawBackend(RawBackend.named("b"));
        Mesh mesh = new Mesh()) {
      mesh.traffic = List.of(Mesh.ofService(new SlowStart(86_400_000)));
      mesh.serveTogether(ALL, a.port(), b.port());
      mesh.serveTogether(ALL, a.port(), b.port());
      try (Client client = mesh.client()) {
        assertThat(answeredBy(client, 100, "b")).isEqualTo(50);
      }
    }
  }

  @Test
  void anEndpointThatComesBackGetsAShareThatGrows() throws Exception {
    AtomicInteger status = new AtomicInteger(500);
    try (RawBackend a = new RawBackend(RawBackend.named("a"));
        RawBackend b =
            new RawBackend(
                connection -> {
                  while (!connection.head().isEmpty()) {
                    connection.send(
                        "HTTP/1.1 "
                            + status
                            + " As-It-Is\r\nx-version: b\r\nContent-Length: 0\r\n\r\n");
                  }
                });
        Mesh mesh = new Mesh()) {
      mesh.traffic =
          List.of(
              Mesh.ofService(new OutlierEjection(1, 10_000, 200, 50), new SlowStart(86_400_000)));
      mesh.serveTogether(ALL, a.port(), b.port());
      try (Client client = mesh.client()) {
        assertThat(answeredBy(client, 10, "b")).isEqualTo(1);
        status.set(200);
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
        while (Streams.sample(mesh, "weir_proxy_endpoints_ejected") > 0) {
          assertThat(System.nanoTime()).isLessThan(deadline);
          Thread.sleep(10);
        }
        assertThat(answeredBy(client, 500, "b")).isBetween(15, 90);
      }
    }
  }

  /** The first endpoint is on this node. */
  private static ProxyUpdate firstNear(ProxyUpdate update) {
    return Streams.with(
        update,
        proxy -> {
          Cluster all = proxy.clusters().getFirst();
          return new ProxyPlan(
              proxy.listeners(),
              proxy.virtualServices(),
              List.of(
                  new Cluster(
                      all.workload(),
                      all.port(),
                      all.name(),
                      all.endpoints(),
                      all.workloads(),
                      all.appProtocol(),
                      all.tls(),
                      List.of(all.endpoints().getFirst()))));
        });
  }

  private static void serveFirstNear(Mesh mesh, int... ports) throws Exception {
    mesh.proxy.update(
        firstNear(
            Streams.together(
                mesh.update(List.of(Mesh.route(ALL)), List.of(), List.of(), List.of(), ports))));
  }

  @Test
  void whoIsOnThisNodeGoesFirstAndTheOthersWhenNoneIsWell() throws Exception {
    AtomicInteger status = new AtomicInteger(200);
    try (RawBackend near =
            new RawBackend(
                connection -> {
                  while (!connection.head().isEmpty()) {
                    connection.send(
                        "HTTP/1.1 "
                            + status
                            + " As-It-Is\r\nx-version: near\r\nContent-Length: 0\r\n\r\n");
                  }
                });
        RawBackend far = new RawBackend(RawBackend.named("far"));
        Mesh mesh = new Mesh()) {
      serveFirstNear(mesh, near.port(), far.port());
      Client client = mesh.client();
      // Nobody says that it is to go first.
      assertThat(answeredBy(client, 20, "near")).isEqualTo(10);
      mesh.traffic =
          List.of(
              Mesh.ofService(
                  new Locality(List.of(Level.NODE)), new OutlierEjection(1, 10_000, 60_000, 50)));
      serveFirstNear(mesh, near.port(), far.port());
      assertThat(answeredBy(client, 20, "near")).isEqualTo(20);
      status.set(500);
      assertThat(client.get("/").status()).isEqualTo(500);
      assertThat(answeredBy(client, 20, "far")).isEqualTo(20);
      client.close();
    }
  }
}
