// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** WebSockets at backends of HTTP/2 (RFC 8441), for clients of either version. */
@Timeout(60)
final class WebSocketToHttp2BackendTest {

  private static final int ENABLE_CONNECT_PROTOCOL = 8;
  private static final int CANCEL = 8;

  private static final String ASKED =
      """
      GET /chat HTTP/1.1\r
      Host: cart.shop\r
      Connection: Upgrade\r
      Upgrade: WebSocket\r
      Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r
      Sec-WebSocket-Version: 13\r
      Sec-WebSocket-Protocol: chat\r
      \r
      """;

  /** The example of RFC 6455 1.3. */
  private static final String ACCEPT = "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";

  private final LinkedBlockingQueue<Http2Peer.Frame> frames = new LinkedBlockingQueue<>();

  /** One that keeps every frame, and answers it. */
  private RawBackend backend(Http2BackendTest.Answering answering) throws IOException {
    return Http2BackendTest.backend(
        (peer, frame) -> {
          frames.add(frame);
          answering.frame(peer, frame);
        },
        ENABLE_CONNECT_PROTOCOL,
        1);
  }

  private static void agree(Http2Peer peer, Http2Peer.Frame frame) throws IOException {
    peer.headers(frame.stream(), false, ":status", "200", "sec-websocket-protocol", "chat");
    peer.data(frame.stream(), "hello", false);
  }

  /** Agrees, says hello, sends back what it gets, and ends when that ends. */
  private RawBackend echo() throws IOException {
    return backend(
        (peer, frame) -> {
          if (frame.type() == Http2Peer.HEADERS) {
            agree(peer, frame);
          } else if (frame.type() == Http2Peer.DATA) {
            int size = frame.payload().length;
            if (size > 0) {
              peer.windowUpdate(0, size);
              if (!frame.ends()) {
                peer.windowUpdate(frame.stream(), size);
              }
            }
            peer.data(frame.stream(), frame.text(), frame.ends());
          }
        });
  }

  private static Mesh meshOf(RawBackend backend) throws Exception {
    Mesh mesh = new Mesh();
    Http2BackendTest.serve(mesh, "kubernetes.io/h2c", backend.port());
    return mesh;
  }

  private Http2Peer.Frame nextFrame() throws InterruptedException {
    Http2Peer.Frame frame = frames.poll(10, TimeUnit.SECONDS);
    assertThat(frame).isNotNull();
    return frame;
  }

  @Test
  void aGetOfHttp1IsAnExtendedConnectThere() throws Exception {
    try (RawBackend backend = echo();
        Mesh mesh = meshOf(backend);
        Client client = mesh.client()) {
      client.send(ASKED);
      assertThat(client.head())
          .startsWith("HTTP/1.1 101 ")
          .containsIgnoringCase(ACCEPT)
          .containsIgnoringCase("connection: upgrade\r\n")
          .containsIgnoringCase("upgrade: websocket\r\n")
          .containsIgnoringCase("sec-websocket-protocol: chat\r\n");
      assertThat(client.text(5)).isEqualTo("hello");
      assertThat(nextFrame().fields())
          .containsEntry(":method", "CONNECT")
          .containsEntry(":protocol", "websocket")
          .containsEntry(":scheme", "http")
          .containsEntry(":path", "/chat")
          .containsEntry(":authority", "cart.shop")
          .containsEntry("sec-websocket-version", "13")
          .containsEntry("sec-websocket-protocol", "chat")
          .containsKey("x-request-id")
          .doesNotContainKeys("sec-websocket-key", "upgrade", "connection", "host");
    }
  }

  @Test
  void bytesOfAnyLengthGoBothWays() throws Exception {
    try (RawBackend backend = echo();
        Mesh mesh = meshOf(backend);
        Client client = mesh.client()) {
      client.send(ASKED);
      client.head();
      assertThat(client.text(5)).isEqualTo("hello");
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
  }

  @Test
  void aConnectOfHttp2IsOneThereToo() throws Exception {
    try (RawBackend backend = echo();
        Mesh mesh = meshOf(backend);
        Http2Peer client = Http2Peer.client(mesh.port)) {
      client.connect(1, "websocket");
      // Before it is known whether anybody agrees.
      client.data(1, " early", false);
      assertThat(client.nextOfInterest().fields())
          .containsEntry(":status", "200")
          .containsEntry("sec-websocket-protocol", "chat")
          .doesNotContainKeys("sec-websocket-accept", "upgrade", "connection");
      assertThat(client.nextOfInterest().text()).isEqualTo("hello");
      assertThat(client.nextOfInterest().text()).isEqualTo(" early");
      client.data(1, "", true);
      assertThat(client.nextOfInterest().ends()).isTrue();
      assertThat(nextFrame().fields()).containsEntry(":protocol", "websocket");
      assertThat(nextFrame().text()).isEqualTo(" early");
      assertThat(nextFrame().ends()).isTrue();
    }
  }

  @Test
  void theClientsEndIsTheStreams() throws Exception {
    try (RawBackend backend = echo();
        Mesh mesh = meshOf(backend)) {
      try (Client client = mesh.client()) {
        client.send(ASKED);
        client.head();
        assertThat(client.text(5)).isEqualTo("hello");
        client.send("bye");
        assertThat(client.text(3)).isEqualTo("bye");
      }
      assertThat(nextFrame().type()).isEqualTo(Http2Peer.HEADERS);
      assertThat(nextFrame().text()).isEqualTo("bye");
      Http2Peer.Frame end = nextFrame();
      assertThat(end.type()).isEqualTo(Http2Peer.DATA);
      assertThat(end.ends()).isTrue();
      // The backend ended too: there is nothing to be reset.
      assertThat(frames.poll(500, TimeUnit.MILLISECONDS)).isNull();
    }
  }

  @Test
  void aBackendThatDoesNotEndWithItsClientIsReset() throws Exception {
    try (RawBackend backend =
            backend(
                (peer, frame) -> {
                  if (frame.type() == Http2Peer.HEADERS) {
                    agree(peer, frame);
                  }
                });
        Mesh mesh = meshOf(backend)) {
      try (Client client = mesh.client()) {
        client.send(ASKED);
        client.head();
        assertThat(client.text(5)).isEqualTo("hello");
      }
      assertThat(nextFrame().type()).isEqualTo(Http2Peer.HEADERS);
      assertThat(nextFrame().ends()).isTrue();
      Http2Peer.Frame reset = nextFrame();
      assertThat(reset.type()).isEqualTo(Http2Peer.RST_STREAM);
      assertThat(reset.code()).isEqualTo(CANCEL);
    }
  }

  @Test
  void theBackendsEndIsTheClients() throws Exception {
    try (RawBackend backend =
            backend(
                (peer, frame) -> {
                  if (frame.type() == Http2Peer.HEADERS) {
                    agree(peer, frame);
                    peer.data(frame.stream(), " and bye", true);
                  }
                });
        Mesh mesh = meshOf(backend);
        Client client = mesh.client()) {
      client.send(ASKED);
      client.head();
      assertThat(new String(client.in().readAllBytes(), StandardCharsets.US_ASCII))
          .isEqualTo("hello and bye");
      assertThat(nextFrame().type()).isEqualTo(Http2Peer.HEADERS);
      assertThat(nextFrame().ends()).isTrue();
    }
  }

  @Test
  void aBackendsResetIsTheClients() throws Exception {
    try (RawBackend backend =
            backend(
                (peer, frame) -> {
                  if (frame.type() == Http2Peer.HEADERS) {
                    agree(peer, frame);
                  } else {
                    peer.reset(frame.stream(), CANCEL);
                  }
                });
        Mesh mesh = meshOf(backend);
        Http2Peer client = Http2Peer.client(mesh.port)) {
      client.connect(1, "websocket");
      assertThat(client.nextOfInterest().fields()).containsEntry(":status", "200");
      assertThat(client.nextOfInterest().text()).isEqualTo("hello");
      client.data(1, "x", false);
      Http2Peer.Frame frame = client.nextOfInterest();
      assertThat(frame.type()).isEqualTo(Http2Peer.RST_STREAM);
      assertThat(frame.code()).isEqualTo(CANCEL);
    }
  }

  @Test
  void whereTheBackendDoesNotAgreeItsAnswerIsTheAnswer() throws Exception {
    try (RawBackend backend =
            backend(
                (peer, frame) -> {
                  if (frame.type() == Http2Peer.HEADERS) {
                    peer.headers(frame.stream(), false, ":status", "403");
                    peer.data(frame.stream(), "no", true);
                  }
                });
        Mesh mesh = meshOf(backend);
        Client client = mesh.client()) {
      client.send(ASKED);
      Client.Response response = client.read(false);
      assertThat(response.status()).isEqualTo(403);
      assertThat(response.text()).isEqualTo("no");
    }
  }

  @Test
  void othersShareTheConnection() throws Exception {
    try (RawBackend backend =
            backend(
                (peer, frame) -> {
                  if (frame.type() == Http2Peer.HEADERS) {
                    if (frame.ends()) {
                      peer.headers(frame.stream(), true, ":status", "204");
                    } else {
                      agree(peer, frame);
                    }
                  }
                });
        Mesh mesh = meshOf(backend);
        Http2Peer client = Http2Peer.client(mesh.port)) {
      client.connect(1, "websocket");
      assertThat(client.nextOfInterest().fields()).containsEntry(":status", "200");
      assertThat(client.nextOfInterest().text()).isEqualTo("hello");
      client.get(3, "/");
      assertThat(client.answer(3).status()).isEqualTo("204");
      assertThat(backend.accepted()).isEqualTo(1);
    }
  }

  @Test
  void aBackendThatCarriesNoneIsAskedInHttp1() throws Exception {
    var heads = new LinkedBlockingQueue<String>();
    try (RawBackend backend =
            new RawBackend(
                connection -> {
                  ByteArrayOutputStream first = new ByteArrayOutputStream();
                  while (!first.toString(StandardCharsets.US_ASCII).endsWith("\r\n\r\n")) {
                    first.write(connection.in.read());
                  }
                  String head = first.toString(StandardCharsets.US_ASCII);
                  if (head.startsWith("PRI ")) {
                    connection.in.readNBytes(6);
                    // Settings without anything in them.
                    connection.out.write(new byte[] {0, 0, 0, Http2Peer.SETTINGS, 0, 0, 0, 0, 0});
                    connection.out.flush();
                    connection.in.readAllBytes();
                    return;
                  }
                  heads.add(head);
                  connection.send(
                      "HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                          + ACCEPT
                          + "\r\nhi");
                  connection.in.readAllBytes();
                });
        Mesh mesh = meshOf(backend);
        Client client = mesh.client()) {
      client.send(ASKED);
      assertThat(client.head()).startsWith("HTTP/1.1 101 ").containsIgnoringCase(ACCEPT);
      assertThat(client.text(2)).isEqualTo("hi");
      assertThat(heads.poll(10, TimeUnit.SECONDS))
          .startsWith("GET /chat HTTP/1.1\r\n")
          .containsIgnoringCase("sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n");
    }
  }

  @Test
  void withoutAKeyItIsNoWebSocketToThem() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("plain"));
        Mesh mesh = meshOf(backend);
        Client client = mesh.client()) {
      client.send(ASKED.replaceAll("Sec-WebSocket-Key: .*\r\n", ""));
      assertThat(client.read(false).text()).isEqualTo("plain GET /chat HTTP/1.1");
    }
  }
}
