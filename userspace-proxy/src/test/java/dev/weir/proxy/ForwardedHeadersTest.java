// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.ProxyPlan.Listener;
import dev.weir.proxy.listen.OriginSource;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * What the backend is told about who asks: {@code x-forwarded-for}, {@code -proto} and {@code
 * -client-cert}, {@code x-request-id}.
 */
@Timeout(30)
final class ForwardedHeadersTest {

  private static final String UUID_4 =
      "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}";

  private RawBackend backend;
  private Mesh mesh;
  private int gateway;

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
    gateway = FreePorts.next();
    Listener outside =
        new Listener(
            "shop/edge",
            "http",
            Optional.of(Address.LOOPBACK4),
            gateway,
            "",
            Optional.empty(),
            List.of(Mesh.route(Mesh.weighted(Mesh.any(), 1))));
    mesh.proxy.update(
        mesh.update(
            List.of(Mesh.route(Mesh.weighted(Mesh.any(), 1))),
            List.of(outside),
            List.of(),
            List.of(),
            backend.port()));
  }

  @AfterEach
  void stop() throws Exception {
    mesh.close();
    backend.close();
  }

  /** What the backend got of a header that a workload sent, its values joined with a bar. */
  private String fromWorkload(String name, String headers) throws Exception {
    mesh.origin = Optional.of(new OriginSource.Handover(Mesh.VIP, 80, Mesh.WEB));
    return seen(mesh.port, name, headers);
  }

  /** The same of somebody whom the kernel did not name. */
  private String fromOutside(String name, String headers) throws Exception {
    mesh.origin = Optional.empty();
    return seen(gateway, name, headers);
  }

  private static String seen(int port, String name, String headers) throws Exception {
    try (Client client = new Client(port)) {
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

  @Test
  void aWorkloadsAddressIsAppended() throws Exception {
    assertThat(fromWorkload("x-forwarded-for", "")).isEqualTo("127.0.0.1");
    assertThat(
            fromWorkload(
                "x-forwarded-for",
                "X-Forwarded-For: 192.0.2.1, 192.0.2.2\r\nx-forwarded-for: 192.0.2.3\r\n"))
        .isEqualTo("192.0.2.1, 192.0.2.2, 192.0.2.3, 127.0.0.1");
  }

  @Test
  void nobodyOutsideIsBelievedWhomHeAsksFor() throws Exception {
    assertThat(
            fromOutside(
                "x-forwarded-for", "X-Forwarded-For: 192.0.2.1\r\nx-forwarded-for: 10.0.0.1\r\n"))
        .isEqualTo("127.0.0.1");
  }

  @Test
  void theProtocolIsTheOneThatTheProxyWasSpokenTo() throws Exception {
    assertThat(fromWorkload("x-forwarded-proto", "")).isEqualTo("http");
    String claim = "X-Forwarded-Proto: https\r\nx-forwarded-proto: wss\r\n";
    assertThat(fromWorkload("x-forwarded-proto", claim)).isEqualTo("http");
    assertThat(fromOutside("x-forwarded-proto", claim)).isEqualTo("http");
  }

  @Test
  void nobodyBringsACertificateInAHeader() throws Exception {
    String claim =
        "X-Forwarded-Client-Cert: By=spiffe://a;URI=spiffe://b\r\nx-forwarded-client-cert: x\r\n";
    assertThat(fromWorkload("x-forwarded-client-cert", claim)).isEmpty();
    assertThat(fromOutside("x-forwarded-client-cert", claim)).isEmpty();
  }

  @Test
  void aRequestIsGivenAnIdUnlessItHasOne() throws Exception {
    assertThat(fromWorkload("x-request-id", "")).matches(UUID_4);
    assertThat(fromOutside("x-request-id", "")).matches(UUID_4);
    assertThat(fromWorkload("x-request-id", "X-Request-Id: a-B_9.:=+/\r\n"))
        .isEqualTo("a-B_9.:=+/");
    assertThat(fromOutside("x-request-id", "X-Request-Id: kept\r\n")).isEqualTo("kept");
    String longest = "a".repeat(128);
    assertThat(fromWorkload("x-request-id", "x-request-id: " + longest + "\r\n"))
        .isEqualTo(longest);
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "two words", "a,b", "\"quoted\"", "{x}", "a\tb", "LONG"})
  void anIdThatIsNotWellFormedIsReplaced(String id) throws Exception {
    String sent = id.equals("LONG") ? "a".repeat(129) : id;
    assertThat(fromWorkload("x-request-id", "x-request-id: " + sent + "\r\n")).matches(UUID_4);
  }

  @Test
  void ofTwoIdsNoneIsMeant() throws Exception {
    assertThat(fromWorkload("x-request-id", "x-request-id: one\r\nx-request-id: two\r\n"))
        .matches(UUID_4);
  }
}
