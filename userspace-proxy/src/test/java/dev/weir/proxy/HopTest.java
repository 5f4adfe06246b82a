// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.ProxyPlan.Filter;
import dev.weir.policy.plan.ProxyPlan.Header;
import dev.weir.policy.plan.ProxyPlan.HeaderEdit;
import dev.weir.policy.plan.ProxyPlan.PathEdit;
import dev.weir.policy.plan.ProxyPlan.RouteRule;
import dev.weir.policy.plan.ProxyPlan.WeightedBackend;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** What the backend and the client see of each other's headers. */
@Timeout(30)
// Line ends are part of what is tested.
@SuppressWarnings("StringConcatToTextBlock")
final class HopTest {

  /** Answers with the request's head as its body. */
  private static RawBackend echo() throws IOException {
    return new RawBackend(
        connection -> {
          for (String head = connection.head(); !head.isEmpty(); head = connection.head()) {
            connection.respond(
                "Connection: x-hop\r\nx-hop: 1\r\nKeep-Alive: timeout=5\r\nx-end: 1\r\n", head);
          }
        });
  }

  @Test
  void whatIsForOneHopGoesNoFurther() throws Exception {
    try (RawBackend backend = echo();
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        Client.Response response =
            client.get(
                "/",
                "Connection: keep-alive, x-mine, host, x-request-id\r\n"
                    + "Keep-Alive: 5\r\n"
                    + "x-mine: 1\r\n"
                    + "Proxy-Connection: x\r\n"
                    + "Proxy-Authorization: x\r\n"
                    + "TE: trailers, gzip\r\n"
                    + "x-request-id: kept\r\n"
                    + "x-other: 1\r\n");
        assertThat(response.text().lines().map(line -> line.replaceAll(":.*", "")))
            .containsExactlyInAnyOrder(
                "GET / HTTP/1.1",
                "Host",
                "x-request-id",
                "x-other",
                "te",
                "x-forwarded-for",
                "x-forwarded-proto",
                "traceparent",
                "");
        assertThat(response.text()).contains("te: trailers\r\n", "x-request-id: kept\r\n");
        assertThat(response.headers())
            .containsExactlyInAnyOrder(response.headers().getFirst(), "x-end: 1");
      }
    }
  }

  @Test
  void aWorkloadsForwardedForIsKeptAndItsCertificateClaimIsNot() throws Exception {
    try (RawBackend backend = echo();
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        String seen =
            client
                .get(
                    "/",
                    "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Client-Cert: URI=spiffe://x\r\n"
                        + "X-Request-Id: not well formed\r\n")
                .text();
        assertThat(seen).contains("x-forwarded-for: 192.0.2.1, 127.0.0.1\r\n");
        assertThat(seen.toLowerCase(Locale.ROOT)).doesNotContain("client-cert");
        assertThat(seen)
            .containsPattern(
                "x-request-id:"
                    + " [0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\r\n");
      }
    }
  }

  @Test
  void filtersEditHeadersAndPath() throws Exception {
    HeaderEdit request =
        new HeaderEdit(
            List.of(new Header("x-set", "new")),
            List.of(new Header("x-add", "2")),
            List.of("x-gone"));
    HeaderEdit response = new HeaderEdit(List.of(new Header("x-end", "2")), List.of(), List.of());
    RouteRule rule =
        new RouteRule(
            List.of(Mesh.prefix("/api")),
            List.of(
                new Filter.RequestHeaders(request),
                new Filter.ResponseHeaders(response),
                new Filter.Rewrite(
                    Optional.of("inner.test"), Optional.of(new PathEdit.Prefix("/v2")))),
            List.of(new WeightedBackend(0, 1, List.of())),
            0,
            0);
    try (RawBackend backend = echo();
        Mesh mesh = new Mesh()) {
      mesh.serve(Mesh.route(rule), backend.port());
      try (Client client = mesh.client()) {
        Client.Response answer =
            client.get("/api/x/../y?q=1", "x-set: old\r\nx-add: 1\r\nx-gone: 1\r\n");
        assertThat(answer.text())
            .startsWith("GET /v2/y?q=1 HTTP/1.1\r\n")
            .contains("inner.test", "x-set: new", "x-add: 1", "x-add: 2")
            .doesNotContain("x-gone", "old");
        assertThat(answer.header("x-end")).isEqualTo("2");
      }
    }
  }

  @Test
  void aRedirectAnswersWithoutABackend() throws Exception {
    RouteRule rule =
        new RouteRule(
            Mesh.any(),
            List.of(
                new Filter.Redirect(
                    Optional.of("https"),
                    Optional.empty(),
                    Optional.empty(),
                    Optional.empty(),
                    301)),
            List.of(),
            0,
            0);
    try (Mesh mesh = new Mesh()) {
      mesh.serve(Mesh.route(rule));
      try (Client client = mesh.client()) {
        Client.Response response = client.get("/a?b=c");
        assertThat(response.status()).isEqualTo(301);
        assertThat(response.header("location")).isEqualTo("https://cart/a?b=c");
      }
    }
  }

  @Test
  void anHttp10ClientGetsWhatItCanRead() throws Exception {
    try (RawBackend backend =
            new RawBackend(
                connection -> {
                  connection.head();
                  connection.send(
                      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
                });
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        String all = new String(client.in().readAllBytes(), StandardCharsets.ISO_8859_1);
        assertThat(all)
            .endsWith("\r\n\r\nabc")
            .contains("connection: close")
            .doesNotContain("chunked");
      }
    }
  }

  @Test
  void anHttp10ClientMayKeepItsConnection() throws Exception {
    try (RawBackend backend = echo();
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        for (int i = 0; i < 2; i++) {
          client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
          Client.Response response = client.read(false);
          assertThat(response.header("connection")).isEqualTo("keep-alive");
          assertThat(response.text()).contains("host: cart.shop.svc.cluster.local\r\n");
        }
      }
    }
  }

  @Test
  void aClientThatClosesItsSideGetsItsResponse() throws Exception {
    try (RawBackend backend = echo();
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        client.send("GET / HTTP/1.1\r\nHost: cart\r\n\r\n");
        client.socket().shutdownOutput();
        assertThat(client.read(false).status()).isEqualTo(200);
        assertThat(client.closed()).isTrue();
      }
    }
  }

  @Test
  void connectionCloseIsHonoured() throws Exception {
    try (RawBackend backend = echo();
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        assertThat(client.get("/", "Connection: close\r\n").header("connection"))
            .isEqualTo("close");
        assertThat(client.closed()).isTrue();
      }
    }
  }
}
