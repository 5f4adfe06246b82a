// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.ProxyPlan.Filter;
import dev.weir.policy.plan.ProxyPlan.HeaderEdit;
import dev.weir.policy.plan.ProxyPlan.RouteRule;
import dev.weir.policy.plan.ProxyPlan.WeightedBackend;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(30)
final class CorsTest {

  private static final Filter.Cors SHOP =
      new Filter.Cors(
          List.of("https://shop.example"),
          true,
          List.of("GET", "PUT"),
          List.of("x-cart"),
          List.of("x-version"),
          60);

  private static RouteRule rule(Filter... filters) {
    return new RouteRule(
        Mesh.any(), List.of(filters), List.of(new WeightedBackend(0, 1, List.of())), 0, 0);
  }

  private static Client.Response preflight(Client client, String origin) throws Exception {
    client.send(
        "OPTIONS /cart HTTP/1.1\r\nHost: cart\r\nOrigin: "
            + origin
            + "\r\nAccess-Control-Request-Method: PUT\r\n\r\n");
    return client.read(false);
  }

  @Test
  void aPreflightIsAnsweredWithoutTheBackend() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh()) {
      mesh.serve(Mesh.route(rule(SHOP)), backend.port());
      try (Client client = mesh.client()) {
        Client.Response response = preflight(client, "https://shop.example");
        assertThat(response.status()).isEqualTo(204);
        assertThat(response.header("access-control-allow-origin"))
            .isEqualTo("https://shop.example");
        assertThat(response.header("access-control-allow-methods")).isEqualTo("GET, PUT");
        assertThat(response.header("access-control-allow-headers")).isEqualTo("x-cart");
        assertThat(response.header("access-control-allow-credentials")).isEqualTo("true");
        assertThat(response.header("access-control-max-age")).isEqualTo("60");
        assertThat(response.header("content-length")).isEmpty();
        assertThat(backend.accepted()).isZero();
        // The connection goes on.
        assertThat(client.get("/").status()).isEqualTo(200);
      }
    }
  }

  @Test
  void anOriginThatIsNotAllowedIsToldNothing() throws Exception {
    try (RawBackend backend =
            new RawBackend(
                connection -> {
                  while (!connection.head().isEmpty()) {
                    connection.respond("Access-Control-Allow-Origin: *\r\n", "open");
                  }
                });
        Mesh mesh = new Mesh()) {
      mesh.serve(Mesh.route(rule(SHOP)), backend.port());
      try (Client client = mesh.client()) {
        assertThat(preflight(client, "https://evil.example").headers())
            .noneMatch(header -> header.toLowerCase(Locale.ROOT).startsWith("access-"));
        // Nor by the backend, whose own opinion does not count any more.
        assertThat(client.get("/", "Origin: https://evil.example\r\n").headers())
            .noneMatch(header -> header.toLowerCase(Locale.ROOT).startsWith("access-"));
      }
    }
  }

  @Test
  void theAnswerSaysWhoMayReadItWhateverTheFiltersMakeOfTheOrigin() throws Exception {
    List<String> heads = new ArrayList<>();
    try (RawBackend backend =
            new RawBackend(
                connection -> {
                  for (String head = connection.head(); !head.isEmpty(); head = connection.head()) {
                    heads.add(head);
                    connection.respond("Access-Control-Allow-Origin: https://a.example\r\n", "");
                  }
                });
        Mesh mesh = new Mesh()) {
      Filter removed =
          new Filter.RequestHeaders(new HeaderEdit(List.of(), List.of(), List.of("Origin")));
      mesh.serve(Mesh.route(rule(SHOP, removed)), backend.port());
      try (Client client = mesh.client()) {
        Client.Response response = client.get("/", "Origin: https://shop.example\r\n");
        assertThat(response.headers().stream().filter(h -> h.startsWith("Access-Control-Allow-O")))
            .containsExactly("Access-Control-Allow-Origin: https://shop.example");
        assertThat(response.header("access-control-expose-headers")).isEqualTo("x-version");
        assertThat(response.header("vary")).isEqualTo("Origin");
      }
      assertThat(RawBackend.Connection.value(heads.getFirst(), "origin")).isEmpty();
    }
  }

  @Test
  void aRedirectCanBeFollowedByAPageToo() throws Exception {
    try (Mesh mesh = new Mesh()) {
      Filter.Redirect redirect =
          new Filter.Redirect(
              Optional.of("https"), Optional.empty(), Optional.empty(), Optional.empty(), 308);
      mesh.serve(
          Mesh.route(new RouteRule(Mesh.any(), List.of(SHOP, redirect), List.of(), 0, 0)),
          FreePorts.next());
      try (Client client = mesh.client()) {
        Client.Response response = client.get("/", "Origin: https://shop.example\r\n");
        assertThat(response.status()).isEqualTo(308);
        assertThat(response.header("access-control-allow-origin"))
            .isEqualTo("https://shop.example");
      }
    }
  }

  @Test
  void whatIsNoPreflightReachesTheBackend() throws Exception {
    AtomicInteger asked = new AtomicInteger();
    try (RawBackend backend =
            new RawBackend(
                connection -> {
                  while (!connection.head().isEmpty()) {
                    asked.incrementAndGet();
                    connection.respond("", "options");
                  }
                });
        Mesh mesh = new Mesh()) {
      mesh.serve(Mesh.route(rule(SHOP)), backend.port());
      try (Client client = mesh.client()) {
        client.send("OPTIONS / HTTP/1.1\r\nHost: cart\r\nOrigin: https://shop.example\r\n\r\n");
        assertThat(client.read(false).status()).isEqualTo(200);
      }
      assertThat(asked).hasValue(1);
    }
  }
}
