// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.ProxyPlan.Match;
import dev.weir.policy.plan.ProxyPlan.PathMatch;
import dev.weir.policy.plan.ProxyPlan.Route;
import dev.weir.policy.plan.ProxyPlan.ValueMatch;
import dev.weir.policy.plan.ProxyUpdate;
import dev.weir.policy.plan.Rule;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** What the proxy tells of itself. */
@Timeout(60)
final class StatusTest {

  private static RawBackend.Behaviour echo() {
    return connection -> {
      byte[] piece = new byte[1024];
      for (int n = connection.in.read(piece); n >= 0; n = connection.in.read(piece)) {
        connection.out.write(piece, 0, n);
      }
    };
  }

  private static void until(Mesh mesh, String part) throws InterruptedException {
    for (int i = 0; i < 200 && !mesh.proxy.status().contains(part); i++) {
      Thread.sleep(50);
    }
    assertThat(mesh.proxy.status()).contains(part);
  }

  @Test
  void clientsAreCountedByListenerAndProtocol() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh(2, System::nanoTime)) {
      mesh.serve(backend.port());
      assertThat(mesh.proxy.status()).contains("\"clients\":[],\"tunnel_peers\":[]");
      try (Client first = mesh.client();
          Client second = mesh.client()) {
        first.get("/");
        second.get("/");
        try (Http2Peer third = Http2Peer.client(mesh.port)) {
          third.get(1, "/");
          third.answer(1);
          until(
              mesh,
              "\"clients\":[{\"listener\":\"outbound\",\"protocol\":\"http/1.1\",\"open\":2},"
                  + "{\"listener\":\"outbound\",\"protocol\":\"http/2\",\"open\":1}]");
        }
      }
      until(mesh, "\"clients\":[]");
    }
  }

  @Test
  void connectionsThatAreLedOnAreNoRequests() throws Exception {
    try (RawBackend backend = new RawBackend(echo());
        Mesh mesh = new Mesh()) {
      Streams.serve(mesh, Streams.route("all", List.of(), 1), backend.port());
      try (Client client = mesh.client()) {
        client.send("x");
        assertThat(client.in().read()).isEqualTo('x');
        until(
            mesh,
            "\"clients\":[{\"listener\":\"outbound\",\"protocol\":\"tls"
                + " passthrough\",\"open\":1}]");
      }
    }
  }

  @Test
  void routesAreToldWithWhereTheyAreWrittenAndWhatTheyHadToDo() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh()) {
      mesh.distinct = true;
      Match match =
          new Match(
              new PathMatch.Exact("/a\"b"),
              List.of(new ValueMatch("x-canary", "yes", false)),
              List.of(new ValueMatch("v", "[0-9]+", true)),
              Optional.of("GET"));
      mesh.serve(
          new Route(
              "shop/cart",
              1,
              List.of("cart"),
              List.of(Mesh.weighted(List.of(match), 1, 0), Mesh.weighted(Mesh.any(), 99, 1))),
          backend.port(),
          backend.port());
      try (Client client = mesh.client()) {
        for (int i = 0; i < 3; i++) {
          assertThat(client.get("/").status()).isEqualTo(200);
        }
      }
      assertThat(mesh.proxy.status())
          .contains(
              "\"routes\":[{\"kind\":\"HTTPRoute\",\"name\":\"shop/cart\",\"source\":\"route.yaml:1\",\"parents\":[{\"name\":\"Service"
                  + " shop/cart:80\",\"hostnames\":[\"cart\"]}],\"rules\":[{\"name\":\"\",\"matches\":[\"GET"
                  + " Exact /a\\\"b, header x-canary=yes, query v~[0-9]+\"],\"backends\":["
                  + "{\"cluster\":\"shop/cart-v1:80\",\"weight\":1,\"weight_now\":1},"
                  + "{\"cluster\":\"shop/cart-v2:80\",\"weight\":0,\"weight_now\":0}]},{\"name\":\"\",\"matches\":[\"PathPrefix"
                  + " /\"],\"backends\":["
                  + "{\"cluster\":\"shop/cart-v1:80\",\"weight\":99,\"weight_now\":99},"
                  + "{\"cluster\":\"shop/cart-v2:80\",\"weight\":1,\"weight_now\":1}]}],"
                  + "\"requests\":3}],\"routes_total\":1");
    }
  }

  @Test
  void ofThousandsOfRoutesAFewHundredAreToldAndHowManyThereAre() throws Exception {
    try (Mesh mesh = new Mesh()) {
      ProxyUpdate update =
          mesh.update(
              IntStream.range(0, 1000)
                  .mapToObj(
                      i ->
                          new Route(
                              "shop/r" + i,
                              2 + i,
                              List.of("r" + i),
                              List.of(Mesh.weighted(Mesh.any(), 1))))
                  .toList(),
              List.of(),
              List.of(),
              List.of(),
              FreePorts.next());
      mesh.proxy.update(withRules(update, 1000));
      String status = mesh.proxy.status();
      assertThat(status.split("\"kind\":\"HTTPRoute\"", -1)).hasSize(501);
      assertThat(status).contains("\"routes_total\":1000");
    }
  }

  /** Routes beyond the first have rules of the plan too. */
  private static ProxyUpdate withRules(ProxyUpdate update, int more) {
    Plan plan = update.plan();
    List<Rule> rules = new ArrayList<>(plan.rules().subList(0, 2));
    for (int i = 0; i < more; i++) {
      rules.add(new Rule("HTTPRoute", "shop", "r" + i, "", "routes.yaml", i + 1));
    }
    return new ProxyUpdate(
        update.generation(),
        new Plan(
            plan.settings(),
            plan.workloads(),
            plan.identities(),
            rules,
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
        update.keyPairs());
  }
}
