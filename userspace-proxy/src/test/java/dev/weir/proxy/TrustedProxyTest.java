// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.AccessPlan;
import dev.weir.policy.plan.AccessPlan.Action;
import dev.weir.policy.plan.AccessPlan.Attribute;
import dev.weir.policy.plan.AccessPlan.Clause;
import dev.weir.policy.plan.AccessPlan.Condition;
import dev.weir.policy.plan.AccessPlan.GatewayGuard;
import dev.weir.policy.plan.AccessPlan.Policy;
import dev.weir.policy.plan.AccessPlan.Term;
import dev.weir.policy.plan.Block;
import dev.weir.policy.plan.ProxyPlan.Listener;
import dev.weir.policy.plan.ProxyPlan.ListenerProtocol;
import dev.weir.proxy.listen.OriginSource;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What a proxy before a Gateway is believed of the client that it asks for. */
@Timeout(30)
final class TrustedProxyTest {

  private RawBackend backend;
  private Mesh mesh;
  private int port;

  @BeforeEach
  void start() throws Exception {
    backend =
        new RawBackend(
            connection -> {
              for (String head = connection.head(); !head.isEmpty(); head = connection.head()) {
                connection.respond("", head);
              }
            });
    mesh = new Mesh();
    mesh.origin = Optional.empty();
    port = FreePorts.next();
  }

  @AfterEach
  void stop() throws Exception {
    mesh.close();
    backend.close();
  }

  /** A Gateway that the client with this address alone may ask. */
  private void gateway(String allowed, String... trusted) throws Exception {
    mesh.trustedProxies = List.of(trusted).stream().map(b -> Block.parse(b).orElseThrow()).toList();
    Listener listener =
        new Listener(
            "shop/front",
            "http",
            Optional.empty(),
            port,
            "",
            ListenerProtocol.HTTP,
            Optional.empty(),
            List.of(Mesh.route(Mesh.weighted(Mesh.any(), 1))),
            List.of());
    Condition client = new Condition(Attribute.REMOTE_IP, List.of(), List.of(allowed), List.of());
    Policy policy =
        new Policy(
            3,
            Action.ALLOW,
            false,
            List.of(new Clause(4, List.of(), List.of(), new Term(List.of(client)))));
    mesh.proxy.update(
        AuthorizationTest.with(
            mesh.update(
                List.of(Mesh.route(Mesh.weighted(Mesh.any(), 1))),
                List.of(listener),
                List.of(),
                List.of(),
                backend.port()),
            new AccessPlan(
                "cluster.local",
                List.of(policy),
                List.of(),
                List.of(new GatewayGuard("shop/front", List.of(0)))),
            false));
  }

  private int status(String headers) throws Exception {
    try (Client client = new Client(port)) {
      return client.get("/", headers).status();
    }
  }

  private String seen(int at, String name, String headers) throws Exception {
    try (Client client = new Client(at)) {
      Client.Response response = client.get("/", headers);
      assertThat(response.status()).isEqualTo(200);
      return String.join(
          "|",
          response
              .text()
              .lines()
              .filter(line -> line.toLowerCase(Locale.ROOT).startsWith(name + ":"))
              .map(line -> line.substring(name.length() + 1).strip())
              .toList());
    }
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "192.0.2.7 | 200",
        "192.0.2.7:4711 | 200",
        "203.0.113.9, 192.0.2.7 | 200",
        "192.0.2.7, 203.0.113.9 | 403",
        "192.0.2.7, 10.1.2.3 | 200",
        "192.0.2.7,10.1.2.3 ,\t10.9.9.9 | 200",
        "192.0.2.7, unknown | 403",
        "192.0.2.7, | 403",
        "for=192.0.2.7 | 403",
        "192.0.2.70 | 403",
        "[192.0.2.7 | 403"
      })
  void theLastAddressThatIsNoTrustedProxysIsTheClients(String told, int status) throws Exception {
    gateway("192.0.2.7", "127.0.0.0/8", "10.0.0.0/8");
    assertThat(status("X-Forwarded-For: " + told + "\r\n")).isEqualTo(status);
  }

  @Test
  void severalFieldsAreOneList() throws Exception {
    gateway("192.0.2.7", "127.0.0.0/8", "10.0.0.0/8");
    assertThat(status("X-Forwarded-For: 203.0.113.9, 192.0.2.7\r\nX-Forwarded-For: 10.1.2.3\r\n"))
        .isEqualTo(200);
    assertThat(status("X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-For: 203.0.113.9\r\n"))
        .isEqualTo(403);
  }

  @Test
  void anAddressOfIpv6HasBracketsWhenItHasAPort() throws Exception {
    gateway("2001:db8::7", "127.0.0.0/8");
    assertThat(status("X-Forwarded-For: 2001:db8::7\r\n")).isEqualTo(200);
    assertThat(status("X-Forwarded-For: [2001:db8::7]:4711\r\n")).isEqualTo(200);
    assertThat(status("X-Forwarded-For: 2001:db8::8\r\n")).isEqualTo(403);
  }

  @Test
  void aProxyThatTellsNothingIsTheClientItself() throws Exception {
    gateway("127.0.0.1", "127.0.0.0/8");
    assertThat(status("")).isEqualTo(200);
  }

  @Test
  void nobodyElseIsBelieved() throws Exception {
    gateway("192.0.2.7", "10.0.0.0/8");
    assertThat(status("X-Forwarded-For: 192.0.2.7\r\n")).isEqualTo(403);
  }

  @Test
  void theBackendHearsWhatTheProxyBeforeSaidAndWhoThatWas() throws Exception {
    gateway("192.0.2.7", "127.0.0.0/8");
    String told = "X-Forwarded-For: 203.0.113.9, 192.0.2.7\r\nX-Forwarded-Proto: https\r\n";
    assertThat(seen(port, "x-forwarded-for", told)).isEqualTo("203.0.113.9, 192.0.2.7, 127.0.0.1");
    assertThat(seen(port, "x-forwarded-proto", told)).isEqualTo("https");
  }

  @Test
  void aProtocolThatIsNeitherHttpNorHttpsIsNotPassedOn() throws Exception {
    gateway("192.0.2.7", "127.0.0.0/8");
    String client = "X-Forwarded-For: 192.0.2.7\r\n";
    assertThat(seen(port, "x-forwarded-proto", client + "X-Forwarded-Proto: gopher\r\n"))
        .isEqualTo("http");
    assertThat(
            seen(
                port,
                "x-forwarded-proto",
                client + "X-Forwarded-Proto: https\r\nX-Forwarded-Proto: https\r\n"))
        .isEqualTo("http");
  }

  @Test
  void aWorkloadIsNoProxyBeforeAGateway() throws Exception {
    gateway("192.0.2.7", "127.0.0.0/8");
    mesh.origin = Optional.of(new OriginSource.Handover(Mesh.VIP, 80, Mesh.WEB));
    assertThat(seen(mesh.port, "x-forwarded-proto", "X-Forwarded-Proto: https\r\n"))
        .isEqualTo("http");
  }
}
