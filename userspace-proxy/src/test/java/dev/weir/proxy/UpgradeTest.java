// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** WebSockets (RFC 6455), and whatever else a connection of HTTP/1.1 is switched to. */
@Timeout(60)
final class UpgradeTest {

  private static final String ASKED =
      """
      GET /chat HTTP/1.1\r
      Host: cart.shop\r
      Connection: keep-alive, Upgrade\r
      Upgrade: websocket\r
      Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r
      Sec-WebSocket-Version: 13\r
      \r
      """;

  /** Switches, says hello and sends back what it gets. */
  private static RawBackend.Behaviour switching(LinkedBlockingQueue<String> heads) {
    return connection -> {
      heads.add(connection.head());
      connection.send(
          """
          HTTP/1.1 101 Switching Protocols\r
          Connection: Upgrade\r
          Upgrade: WebSocket\r
          Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r
          \r
          hello\
          """);
      byte[] some = new byte[4_096];
      for (int n = connection.in.read(some); n > 0; n = connection.in.read(some)) {
        connection.out.write(some, 0, n);
        connection.out.flush();
      }
      heads.add("ended");
    };
  }

  @Test
  void aConnectionThatTheBackendSwitchesCarriesItsBytesBothWays() throws Exception {
    var heads = new LinkedBlockingQueue<String>();
    try (Mesh mesh = new Mesh();
        RawBackend backend = new RawBackend(switching(heads))) {
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        client.send(ASKED);
        assertThat(client.head())
            .startsWith("HTTP/1.1 101 ")
            .containsIgnoringCase("connection: upgrade\r\n")
            .containsIgnoringCase("upgrade: websocket\r\n")
            .contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assertThat(client.text(5)).isEqualTo("hello");
        assertThat(heads.poll(5, TimeUnit.SECONDS))
            .containsIgnoringCase("connection: upgrade\r\n")
            .containsIgnoringCase("upgrade: websocket\r\n")
            .contains("dGhlIHNhbXBsZSBub25jZQ==");
        client.send("GET / HTTP/1.1\r\n\r\n");
        assertThat(client.text(18)).isEqualTo("GET / HTTP/1.1\r\n\r\n");
        String large = "x".repeat(1_000_000);
        Thread.ofVirtual()
            .start(
                () -> {
                  try {
                    client.send(large);
                  } catch (IOException e) {
                    // The other side says what is missing.
                  }
                });
        assertThat(client.text(1_000_000)).isEqualTo(large);
      }
      assertThat(heads.poll(10, TimeUnit.SECONDS)).isEqualTo("ended");
      assertThat(mesh.proxy.metrics()).contains("response_code=\"101\"");
    }
  }

  @Test
  void whenTheBackendEndsItTheClientIsToldSo() throws Exception {
    try (Mesh mesh = new Mesh();
        RawBackend backend =
            new RawBackend(
                connection -> {
                  connection.head();
                  connection.send(
                      "HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nbye");
                })) {
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        client.send(ASKED);
        client.head();
        assertThat(new String(client.in().readAllBytes(), StandardCharsets.US_ASCII))
            .isEqualTo("bye");
      }
    }
  }

  @Test
  void aBackendMayAnswerInHttpInstead() throws Exception {
    try (Mesh mesh = new Mesh();
        RawBackend backend = new RawBackend(RawBackend.named("plain"))) {
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        client.send(ASKED);
        assertThat(client.read(false).status()).isEqualTo(200);
        assertThat(client.get("/").status()).isEqualTo(200);
      }
    }
  }

  @Test
  void aBackendThatSwitchesToSomethingElseIsA502() throws Exception {
    try (Mesh mesh = new Mesh();
        RawBackend backend =
            new RawBackend(
                connection -> {
                  connection.head();
                  connection.send("HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n");
                })) {
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        client.send(ASKED);
        assertThat(client.read(false).status()).isEqualTo(502);
      }
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"h2c", "H2C", "HTTP/2.0", "TLS/1.3", "tls", "http", "websocket, h2c"})
  void whatWouldBeHttpOrTlsAgainIsNotPassedOn(String protocol) throws Exception {
    var heads = new LinkedBlockingQueue<String>();
    try (Mesh mesh = new Mesh();
        RawBackend backend =
            new RawBackend(
                connection -> {
                  heads.add(connection.head());
                  connection.respond("", "");
                })) {
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        client.send(ASKED.replace("websocket", protocol));
        assertThat(client.read(false).status()).isEqualTo(200);
      }
      assertThat(heads.poll(5, TimeUnit.SECONDS)).doesNotContainIgnoringCase("upgrade:");
    }
  }

  @Test
  void withContentItIsAnOrdinaryRequest() throws Exception {
    var heads = new LinkedBlockingQueue<String>();
    try (Mesh mesh = new Mesh();
        RawBackend backend =
            new RawBackend(
                connection -> {
                  heads.add(connection.head());
                  connection.respond("", "");
                })) {
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        client.send(ASKED.replace("Host:", "Content-Length: 2\r\nHost:") + "ab");
        assertThat(client.read(false).status()).isEqualTo(200);
      }
      assertThat(heads.poll(5, TimeUnit.SECONDS)).doesNotContainIgnoringCase("upgrade:");
    }
  }

  @Test
  void requestsSentBeforeTheSwitchEndIt() throws Exception {
    try (Mesh mesh = new Mesh();
        RawBackend backend = new RawBackend(switching(new LinkedBlockingQueue<>()))) {
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        client.send(ASKED + "GET /second HTTP/1.1\r\nHost: cart.shop\r\n\r\n");
        String all = new String(client.in().readAllBytes(), StandardCharsets.US_ASCII);
        assertThat(all).doesNotContain("hello");
      }
    }
  }

  @Test
  void eventsArriveAsTheyAreSent() throws Exception {
    var more = new LinkedBlockingQueue<String>();
    try (Mesh mesh = new Mesh();
        RawBackend backend =
            new RawBackend(
                connection -> {
                  connection.head();
                  connection.send(
                      "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n");
                  try {
                    connection.send("data: " + more.poll(10, TimeUnit.SECONDS) + "\n\n");
                  } catch (InterruptedException e) {
                    throw new IOException(e);
                  }
                })) {
      mesh.serve(backend.port());
      try (Http2Peer client = Http2Peer.client(mesh.port)) {
        client.get(1, "/");
        assertThat(client.nextOfInterest().fields())
            .containsEntry("content-type", "text/event-stream");
        assertThat(client.nextOfInterest().text()).isEqualTo("data: 1\n\n");
        more.add("2");
        assertThat(client.nextOfInterest().text()).isEqualTo("data: 2\n\n");
      }
      try (Client client = mesh.client()) {
        client.send("GET / HTTP/1.1\r\nHost: cart.shop\r\n\r\n");
        client.head();
        assertThat(client.text(14)).contains("data: 1\n\n");
        more.add("2");
        assertThat(client.text(14)).contains("data: 2\n\n");
      }
    }
  }
}
