// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.ProxyPlan.Listener;
import dev.weir.policy.plan.ProxyPlan.RouteRule;
import dev.weir.policy.plan.ProxyPlan.WeightedBackend;
import dev.weir.policy.plan.TrafficPolicy;
import dev.weir.policy.plan.TrafficPolicy.RequestKey;
import dev.weir.policy.plan.TrafficPolicy.RequestRate;
import dev.weir.policy.plan.TrafficPolicy.RequestRates;
import dev.weir.policy.plan.TrafficPolicy.Target;
import dev.weir.policy.plan.TrafficPolicy.TargetKind;
import dev.weir.proxy.listen.OriginSource;
import java.io.IOException;
import java.net.InetAddress;
import java.net.Socket;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
final class RateLimitTest {

  private static final RouteRule ALL = Mesh.weighted(Mesh.any(), 1);

  private static RequestRates rates(RequestKey key, int burst) {
    return new RequestRates(
        List.of(
            new RequestRate(burst, 3600, burst, key, key == RequestKey.HEADER ? "x-tenant" : "")));
  }

  private static TrafficPolicy at(TargetKind kind, int index, String section, RequestRates rates) {
    return new TrafficPolicy(
        Mesh.TRAFFIC_RULE, List.of(new Target(kind, index, section)), List.of(rates));
  }

  private static TrafficPolicy atRoute(String section, RequestRates rates) {
    return at(TargetKind.ROUTE, 1, section, rates);
  }

  private static int served(Client client, int requests, String headers) throws IOException {
    int served = 0;
    for (int i = 0; i < requests; i++) {
      served += client.get("/", headers).status() == 200 ? 1 : 0;
    }
    return served;
  }

  @Test
  void beyondTheRateIs429WithWhenToComeAgain() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh()) {
      mesh.traffic = List.of(atRoute("", rates(RequestKey.TOTAL, 2)));
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        Client.Response first = client.get("/");
        assertThat(first.status()).isEqualTo(200);
        assertThat(first.header("ratelimit-policy")).isEqualTo("\"limits\";q=2;w=3600");
        assertThat(first.header("ratelimit")).isEqualTo("\"limits\";r=1;t=1800");
        assertThat(first.header("retry-after")).isEmpty();
        assertThat(client.get("/").header("ratelimit")).startsWith("\"limits\";r=0;t=1");
        Client.Response refused = client.get("/");
        assertThat(refused.status()).isEqualTo(429);
        assertThat(refused.text()).isEqualTo("too many requests\n");
        assertThat(refused.header("ratelimit-policy")).isEqualTo("\"limits\";q=2;w=3600");
        int wait = Integer.parseInt(refused.header("retry-after"));
        assertThat(wait).isBetween(1700, 1800);
        assertThat(refused.header("ratelimit")).isEqualTo("\"limits\";r=0;t=" + wait);
      }
      assertThat(mesh.proxy.metrics())
          .contains("weir_proxy_requests_rate_limited_total 1\n")
          .containsPattern("istio_requests_total.*response_code=\"429\".*response_flags=\"RL\"");
    }
  }

  @Test
  void eventLoopsShareOneCount() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh(4, System::nanoTime)) {
      mesh.traffic = List.of(Mesh.ofService(rates(RequestKey.TOTAL, 50)));
      mesh.serve(backend.port());
      AtomicInteger served = new AtomicInteger();
      List<Thread> clients =
          IntStream.range(0, 8)
              .mapToObj(
                  i ->
                      Thread.ofVirtual()
                          .start(
                              () -> {
                                try (Client client = mesh.client()) {
                                  served.addAndGet(served(client, 20, ""));
                                } catch (IOException e) {
                                  served.set(-1000);
                                }
                              }))
              .toList();
      for (Thread client : clients) {
        client.join();
      }
      assertThat(served).hasValue(50);
    }
  }

  @Test
  void eachTenantHasItsOwnCountAndWhoIsNoneShareOne() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh()) {
      mesh.traffic = List.of(atRoute("", rates(RequestKey.HEADER, 3)));
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        assertThat(served(client, 5, "X-Tenant: a\r\n")).isEqualTo(3);
        assertThat(served(client, 5, "x-tenant: b\r\n")).isEqualTo(3);
        assertThat(served(client, 5, "")).isEqualTo(3);
        assertThat(served(client, 1, "X-Tenant: a\r\n")).isZero();
      }
    }
  }

  @Test
  void eachWorkloadHasItsOwnCount() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh()) {
      mesh.traffic = List.of(Mesh.ofService(rates(RequestKey.SOURCE_IDENTITY, 3)));
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        assertThat(served(client, 5, "")).isEqualTo(3);
      }
      mesh.origin = Optional.of(new OriginSource.Handover(Mesh.VIP, 80, Mesh.STRANGER));
      try (Client client = mesh.client()) {
        assertThat(served(client, 5, "")).isEqualTo(3);
      }
    }
  }

  @Test
  void aRuleOfItsOwnGoesBeforeTheRoutes() throws Exception {
    RouteRule named =
        new RouteRule(
            "small",
            List.of(Mesh.prefix("/small")),
            List.of(),
            List.of(new WeightedBackend(0, 1, List.of())),
            0,
            0,
            Optional.empty(),
            Optional.empty());
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh()) {
      mesh.traffic =
          List.of(
              atRoute("", rates(RequestKey.TOTAL, 4)),
              atRoute("small", rates(RequestKey.TOTAL, 2)));
      mesh.serve(Mesh.route(named, ALL), backend.port());
      try (Client client = mesh.client()) {
        int small = 0;
        for (int i = 0; i < 6; i++) {
          small += client.get("/small").status() == 200 ? 1 : 0;
        }
        assertThat(small).isEqualTo(2);
        assertThat(served(client, 6, "")).isEqualTo(4);
      }
    }
  }

  @Test
  void whatOneRateRefusesIsCountedByNone() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh()) {
      mesh.traffic =
          List.of(
              Mesh.ofService(rates(RequestKey.TOTAL, 5)), atRoute("", rates(RequestKey.HEADER, 2)));
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        assertThat(served(client, 10, "X-Tenant: a\r\n")).isEqualTo(2);
        assertThat(served(client, 10, "X-Tenant: b\r\n")).isEqualTo(2);
        assertThat(served(client, 10, "X-Tenant: c\r\n")).isEqualTo(1);
      }
    }
  }

  @Test
  void whatPolicyRefusesIsCountedByNone() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh()) {
      mesh.traffic = List.of(Mesh.ofService(rates(RequestKey.TOTAL, 3)));
      mesh.proxy.update(
          mesh.update(
              List.of(Mesh.route(ALL)),
              List.of(),
              List.of(),
              List.of(Mesh.verdict(8, backend.port())),
              backend.port()));
      mesh.origin = Optional.of(new OriginSource.Handover(Mesh.VIP, 80, Mesh.STRANGER));
      try (Client client = mesh.client()) {
        for (int i = 0; i < 10; i++) {
          assertThat(client.get("/").status()).isEqualTo(403);
        }
      }
      mesh.origin = Optional.of(new OriginSource.Handover(Mesh.VIP, 80, Mesh.WEB));
      try (Client client = mesh.client()) {
        assertThat(served(client, 5, "")).isEqualTo(3);
      }
    }
  }

  @Test
  void whatWasUsedUpStaysSoWhenPlansChange() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh()) {
      mesh.traffic = List.of(atRoute("", rates(RequestKey.TOTAL, 4)));
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        assertThat(served(client, 3, "")).isEqualTo(3);
        mesh.serve(backend.port());
        assertThat(served(client, 3, "")).isEqualTo(1);
        // Another rate begins anew.
        mesh.traffic = List.of(atRoute("", rates(RequestKey.TOTAL, 5)));
        mesh.serve(backend.port());
        assertThat(served(client, 8, "")).isEqualTo(5);
      }
    }
  }

  @Test
  void aGatewayHasOneCountForAllItsListenersAndAListenerMayHaveItsOwn() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh()) {
      mesh.origin = Optional.empty();
      mesh.traffic =
          List.of(
              at(TargetKind.GATEWAY, Mesh.GATEWAY_RULE, "", rates(RequestKey.TOTAL, 4)),
              at(TargetKind.GATEWAY, Mesh.GATEWAY_RULE, "third", rates(RequestKey.TOTAL, 1)));
      List<Integer> ports = List.of(FreePorts.next(), FreePorts.next(), FreePorts.next());
      List<String> names = List.of("first", "second", "third");
      mesh.proxy.update(
          mesh.update(
              List.of(),
              IntStream.range(0, 3)
                  .mapToObj(
                      i ->
                          new Listener(
                              "shop/edge",
                              names.get(i),
                              Optional.of(Address.LOOPBACK4),
                              ports.get(i),
                              "",
                              Optional.empty(),
                              List.of(Mesh.route(ALL))))
                  .toList(),
              List.of(),
              List.of(),
              backend.port()));
      int served = 0;
      for (int port : ports.subList(0, 2)) {
        try (Client client = new Client(new Socket(InetAddress.getLoopbackAddress(), port))) {
          served += served(client, 3, "");
        }
      }
      assertThat(served).isEqualTo(4);
      try (Client client = new Client(new Socket(InetAddress.getLoopbackAddress(), ports.get(2)))) {
        assertThat(served(client, 3, "")).isEqualTo(1);
      }
    }
  }

  @Test
  void whatABackendSaysOfItsOwnLimitsStays() throws Exception {
    try (RawBackend backend =
            new RawBackend(
                connection -> {
                  while (!connection.head().isEmpty()) {
                    connection.respond("RateLimit: \"own\";r=7;t=1\r\n", "");
                  }
                });
        Mesh mesh = new Mesh()) {
      mesh.traffic = List.of(atRoute("", rates(RequestKey.TOTAL, 4)));
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        Client.Response response = client.get("/");
        assertThat(response.header("ratelimit")).isEqualTo("\"own\";r=7;t=1");
        assertThat(response.header("ratelimit-policy")).isEmpty();
      }
    }
  }
}
