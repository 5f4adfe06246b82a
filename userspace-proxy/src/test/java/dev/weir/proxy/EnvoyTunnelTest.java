// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Hbone;
import dev.weir.policy.plan.TlsKeyPair;
import java.io.IOException;
import java.net.InetAddress;
import java.net.Socket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/**
 * Envoy at the other end of a tunnel, with mutual TLS. Where it is not installed ({@code
 * WEIR_ENVOY}, or what the benchmarks have fetched) these are skipped.
 */
@Timeout(90)
final class EnvoyTunnelTest {

  private static final Path ENVOY =
      Path.of(
          System.getenv()
              .getOrDefault(
                  "WEIR_ENVOY", System.getProperty("user.home") + "/.cache/weir/bench/bin/envoy"));

  @TempDir static Path directory;

  private static Authority authority;

  @TempDir Path files;

  @BeforeAll
  static void issue() throws Exception {
    assumeTrue(Files.isExecutable(ENVOY));
    authority = new Authority(directory, "envoys");
    Identities.issue(authority, "shop/web");
    Identities.issue(authority, "shop/cart");
  }

  private Process envoy(String config) throws IOException {
    Path file = Files.writeString(files.resolve("envoy.yaml"), config);
    return new ProcessBuilder(
            ENVOY.toString(), "-c", file.toString(), "--use-dynamic-base-id", "--concurrency", "1")
        .redirectErrorStream(true)
        .redirectOutput(files.resolve("envoy.log").toFile())
        .start();
  }

  private String files(String account) throws Exception {
    TlsKeyPair pair = authority.keyPair(account);
    Files.writeString(files.resolve("tls.crt"), pair.chainPem());
    Files.writeString(files.resolve("tls.key"), pair.keyPem());
    Files.writeString(files.resolve("ca.crt"), authority.pem());
    return """
    tls_certificates:
    - certificate_chain: {filename: %1$s/tls.crt}
      private_key: {filename: %1$s/tls.key}
    """
        .formatted(files);
  }

  private String tls(String account, String peer) throws Exception {
    String certificates = files(account);
    return """
    common_tls_context:
      alpn_protocols: [h2]
      tls_params:
        tls_minimum_protocol_version: TLSv1_3
        tls_maximum_protocol_version: TLSv1_3
    %s
      validation_context:
        trusted_ca: {filename: %s/ca.crt}
        match_typed_subject_alt_names:
        - san_type: URI
          matcher: {exact: "spiffe://cluster.local/ns/shop/sa/%s"}
    """
        .formatted(certificates.indent(2).stripTrailing(), files, peer);
  }

  private void listening(int port) throws Exception {
    for (int i = 0; i < 600; i++) {
      try (Socket socket = new Socket(InetAddress.getLoopbackAddress(), port)) {
        assertThat(socket.isConnected()).isTrue();
        return;
      } catch (IOException notYet) {
        Thread.sleep(50);
      }
    }
    throw new AssertionError(
        "nobody listens at " + port + ":\n" + Files.readString(files.resolve("envoy.log")));
  }

  @Test
  void envoyMakesATunnelToUs() throws Exception {
    Identities identities =
        new Identities(Files.createDirectories(files.resolve("west")))
            .believe(authority)
            .put(authority, "shop/cart");
    int port = FreePorts.next();
    try (RawBackend cart = new RawBackend(RawBackend.named("v1"));
        TunnelNode west = new TunnelNode(identities)) {
      TunnelNode.Policy policy = new TunnelNode.Policy();
      policy.port = cart.port();
      policy.cart = true;
      west.apply(policy);
      Process envoy =
          envoy(
              """
              static_resources:
                listeners:
                - address: {socket_address: {address: 127.0.0.1, port_value: %d}}
                  filter_chains:
                  - filters:
                    - name: tcp
                      typed_config:
                        "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
                        stat_prefix: tunnel
                        cluster: west
                        tunneling_config: {hostname: "127.0.0.1:%d"}
                clusters:
                - name: west
                  connect_timeout: 5s
                  type: STATIC
                  typed_extension_protocol_options:
                    envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
                      "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
                      explicit_http_config: {http2_protocol_options: {}}
                  load_assignment:
                    cluster_name: west
                    endpoints:
                    - lb_endpoints:
                      - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}
                  transport_socket:
                    name: tls
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
                      sni: cart.shop
              %s
              """
                  .formatted(
                      port,
                      cart.port(),
                      west.tunnels,
                      tls("shop/web", "cart").indent(8).stripTrailing()));
      try {
        listening(port);
        for (int i = 0; i < 3; i++) {
          try (Client client = new Client(port)) {
            assertThat(client.get("/" + i).header("x-version"))
                .as(Files.readString(files.resolve("envoy.log")) + west.log())
                .isEqualTo("v1");
          }
        }
        assertThat(west.sample("weir_proxy_tunnels_accepted_total")).isEqualTo(1);
      } finally {
        envoy.destroyForcibly().waitFor();
      }
    }
  }

  @Test
  void weMakeATunnelToEnvoy() throws Exception {
    Identities identities =
        new Identities(Files.createDirectories(files.resolve("east")))
            .believe(authority)
            .put(authority, "shop/web");
    int port = FreePorts.next();
    try (RawBackend cart = new RawBackend(RawBackend.named("v1"));
        TunnelNode east = new TunnelNode(identities)) {
      TunnelNode.Policy policy = new TunnelNode.Policy();
      policy.port = cart.port();
      policy.requests = true;
      policy.peer = Optional.of(new Hbone.Peer("envoy", Address.LOOPBACK4, port, ""));
      east.apply(policy);
      Process envoy =
          envoy(
              """
              static_resources:
                listeners:
                - address: {socket_address: {address: 127.0.0.1, port_value: %d}}
                  filter_chains:
                  - transport_socket:
                      name: tls
                      typed_config:
                        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
                        require_client_certificate: true
              %s
                    filters:
                    - name: http
                      typed_config:
                        "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                        stat_prefix: tunnel
                        codec_type: HTTP2
                        http2_protocol_options: {allow_connect: true}
                        upgrade_configs: [{upgrade_type: CONNECT}]
                        http_filters:
                        - name: router
                          typed_config:
                            "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
                        route_config:
                          virtual_hosts:
                          - name: all
                            domains: ["*"]
                            routes:
                            - match: {connect_matcher: {}}
                              route:
                                cluster: cart
                                upgrade_configs:
                                - {upgrade_type: CONNECT, connect_config: {}}
                clusters:
                - name: cart
                  connect_timeout: 5s
                  type: STATIC
                  load_assignment:
                    cluster_name: cart
                    endpoints:
                    - lb_endpoints:
                      - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}
              """
                  .formatted(
                      port, tls("shop/cart", "web").indent(10).stripTrailing(), cart.port()));
      try {
        listening(port);
        for (String path : List.of("/", "/a", "/b")) {
          try (Client client = east.client()) {
            assertThat(client.get(path).header("x-version"))
                .as(Files.readString(files.resolve("envoy.log")) + east.log())
                .isEqualTo("v1");
          }
        }
        assertThat(east.sample("weir_proxy_tunnels_opened_total")).isEqualTo(1);
      } finally {
        envoy.destroyForcibly().waitFor();
      }
    }
  }
}
