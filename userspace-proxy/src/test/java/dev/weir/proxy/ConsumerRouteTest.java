// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.ProxyPlan;
import dev.weir.policy.plan.ProxyPlan.ConsumerRoutes;
import dev.weir.policy.plan.ProxyPlan.L4Route;
import dev.weir.policy.plan.ProxyPlan.Route;
import dev.weir.policy.plan.ProxyPlan.VirtualService;
import dev.weir.policy.plan.ProxyUpdate;
import dev.weir.policy.plan.Workload;
import dev.weir.proxy.listen.OriginSource;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Routes of a namespace for the clients there (Gateway API, consumer routes). */
@Timeout(60)
final class ConsumerRouteTest {

  private static final int STRANGERS_PLACE = 6;

  private RawBackend first;
  private RawBackend second;
  private Mesh mesh;

  @BeforeEach
  void start() throws Exception {
    first = new RawBackend(RawBackend.named("v1"));
    second = new RawBackend(RawBackend.named("v2"));
    mesh = new Mesh();
  }

  @AfterEach
  void stop() throws Exception {
    mesh.close();
    first.close();
    second.close();
  }

  /** Workload {@code stranger} lives in namespace {@code away}, {@code web} in {@code shop}. */
  private void serve(List<Route> everybodys, List<L4Route> l4, ConsumerRoutes... consumers)
      throws Exception {
    ProxyUpdate update =
        Streams.with(
            mesh.update(List.of(), List.of(), List.of(), List.of(), first.port(), second.port()),
            proxy ->
                new ProxyPlan(
                    List.of(),
                    List.of(
                        new VirtualService(
                            Mesh.SERVICE,
                            List.of(Mesh.VIP),
                            80,
                            everybodys,
                            l4,
                            List.of(consumers))),
                    proxy.clusters()));
    Plan plan = update.plan();
    List<Workload> workloads = new ArrayList<>(plan.workloads());
    workloads.set(
        STRANGERS_PLACE,
        new Workload("away", "stranger", "Workload", 9, List.of(), false, "", "stranger", ""));
    mesh.proxy.update(
        new ProxyUpdate(
            update.generation(),
            new Plan(
                plan.settings(),
                workloads,
                plan.identities(),
                plan.rules(),
                plan.verdicts(),
                plan.portClasses(),
                plan.services(),
                plan.backends(),
                plan.endpoints(),
                plan.cidrs(),
                plan.ports(),
                plan.proxy(),
                plan.traffic()),
            update.workloadNumbers(),
            update.keyPairs()));
  }

  private Client client(int workload) throws Exception {
    mesh.origin = Optional.of(new OriginSource.Handover(Mesh.VIP, 80, workload));
    return mesh.client();
  }

  private static Route to(String name, int... weights) {
    return new Route(name, 1, List.of(), List.of(Mesh.weighted(Mesh.any(), weights)));
  }

  private static ConsumerRoutes away(Route... routes) {
    return new ConsumerRoutes("away", List.of(routes), List.of());
  }

  private String version(int workload) throws Exception {
    try (Client client = client(workload)) {
      return String.valueOf(client.get("/").header("x-version"));
    }
  }

  @Test
  void clientsOfTheRoutesNamespaceGetItAndOthersDoNot() throws Exception {
    serve(List.of(to("shop/cart", 1, 0)), List.of(), away(to("away/cart", 0, 1)));
    for (int i = 0; i < 3; i++) {
      assertThat(version(Mesh.WEB)).isEqualTo("v1");
      assertThat(version(Mesh.STRANGER)).isEqualTo("v2");
    }
  }

  @Test
  void whatNoRouteOfTheirNamespaceMatchesIsNotServedByTheServicesOwn() throws Exception {
    Route onlyCart =
        new Route(
            "away/cart", 1, List.of(), List.of(Mesh.weighted(List.of(Mesh.prefix("/cart")), 0, 1)));
    serve(List.of(to("shop/cart", 1, 0)), List.of(), away(onlyCart));
    try (Client client = client(Mesh.STRANGER)) {
      assertThat(client.get("/cart").header("x-version")).isEqualTo("v2");
      assertThat(client.get("/other").status()).isEqualTo(404);
    }
    try (Client client = client(Mesh.WEB)) {
      assertThat(client.get("/other").header("x-version")).isEqualTo("v1");
    }
  }

  @Test
  void aRouteThatComesAndGoesHoldsForTheNextRequestOfAConnection() throws Exception {
    serve(List.of(to("shop/cart", 1, 0)), List.of());
    try (Client client = client(Mesh.STRANGER)) {
      assertThat(client.get("/").header("x-version")).isEqualTo("v1");
      serve(List.of(to("shop/cart", 1, 0)), List.of(), away(to("away/cart", 0, 1)));
      assertThat(client.get("/").header("x-version")).isEqualTo("v2");
      serve(List.of(to("shop/cart", 1, 0)), List.of());
      assertThat(client.get("/").header("x-version")).isEqualTo("v1");
    }
  }

  @Test
  void itsWeightsAreExactOverUpdates() throws Exception {
    int canary = 0;
    for (int i = 0; i < 100; i++) {
      if (i % 10 == 0) {
        serve(List.of(to("shop/cart", 1, 0)), List.of(), away(to("away/cart", 9, 1)));
      }
      canary += version(Mesh.STRANGER).equals("v2") ? 1 : 0;
    }
    assertThat(canary).isEqualTo(10);
  }

  @Test
  void requestsAndConnectionsAreToldApartByClientToo() throws Exception {
    ConsumerRoutes bytes =
        new ConsumerRoutes("away", List.of(), List.of(Streams.route("all", List.of(), 0, 1)));
    serve(List.of(to("shop/cart", 1, 0)), List.of(), bytes);
    assertThat(version(Mesh.WEB)).isEqualTo("v1");
    try (Client client = client(Mesh.STRANGER)) {
      // As bytes: nothing is added to it, and the backend's own answer comes back.
      client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
      assertThat(client.read(false).header("x-version")).isEqualTo("v2");
    }
    assertThat(mesh.proxy.metrics()).contains("istio_tcp_connections_opened_total{");
  }

  @Test
  void theStatusSaysWhoseRoutesTheyAre() throws Exception {
    serve(List.of(to("shop/a", 1, 0)), List.of(), away(to("shop/cart", 0, 1)));
    assertThat(mesh.proxy.status())
        .contains(
            "\"kind\":\"HTTPRoute\",\"name\":\"shop/cart\",\"source\":\"route.yaml:1\",\"parents\":"
                + "[{\"name\":\"Service shop/cart:80 for clients of away\",\"hostnames\":[]}]")
        // What a Service does without routes is none that is written anywhere.
        .contains(
            "\"kind\":\"Service\",\"name\":\"shop/a\",\"source\":\"\",\"parents\":"
                + "[{\"name\":\"Service shop/cart:80\",\"hostnames\":[]}]");
  }
}
