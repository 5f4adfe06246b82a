// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.ProxyPlan.Match;
import dev.weir.policy.plan.ProxyPlan.PathMatch;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.Base64;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** WebSockets of clients of HTTP/2 (RFC 8441). */
@Timeout(60)
final class WebSocketOverHttp2Test {

  private static final int ENABLE_CONNECT_PROTOCOL = 8;
  private static final int PROTOCOL_ERROR = 1;
  private static final int CANCEL = 8;

  private final LinkedBlockingQueue<String> heads = new LinkedBlockingQueue<>();

  private static String accept(String head) throws IOException {
    try {
      String key = RawBackend.Connection.value(head, "sec-websocket-key");
      return Base64.getEncoder()
          .encodeToString(
              MessageDigest.getInstance("SHA-1")
                  .digest(
                      (key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")
                          .getBytes(StandardCharsets.US_ASCII)));
    } catch (java.security.NoSuchAlgorithmException e) {
      throw new IOException(e);
    }
  }

  private static void agree(RawBackend.Connection connection, String head) throws IOException {
    connection.send(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            + "Sec-WebSocket-Accept: "
            + accept(head)
            + "\r\nSec-WebSocket-Protocol: chat\r\n\r\nhello");
  }

  /** Agrees, says hello, sends back what it gets, and tells when that ends. */
  private RawBackend echo() throws IOException {
    return new RawBackend(
        connection -> {
          String head = connection.head();
          heads.add(head);
          agree(connection, head);
          byte[] some = new byte[4096];
          for (int n = connection.in.read(some); n > 0; n = connection.in.read(some)) {
            connection.out.write(some, 0, n);
            connection.out.flush();
          }
          heads.add("ended");
        });
  }

  /** Content of a stream, of exactly this size. */
  private static String bytes(Http2Peer client, int stream, int size) throws IOException {
    ByteArrayOutputStream all = new ByteArrayOutputStream();
    while (all.size() < size) {
      Http2Peer.Frame frame = client.nextOfInterest();
      assertThat(frame.type()).isEqualTo(Http2Peer.DATA);
      assertThat(frame.stream()).isEqualTo(stream);
      assertThat(frame.ends()).isFalse();
      all.write(frame.payload());
      if (frame.payload().length > 0) {
        client.windowUpdate(0, frame.payload().length);
        client.windowUpdate(stream, frame.payload().length);
      }
    }
    assertThat(all.size()).isEqualTo(size);
    return all.toString(StandardCharsets.US_ASCII);
  }

  @Test
  void clientsAreToldThatTheyMayAsk() throws Exception {
    try (RawBackend backend = echo();
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      try (Http2Peer client = Http2Peer.client(mesh.port)) {
        Http2Peer.Frame settings = client.next();
        assertThat(settings.type()).isEqualTo(Http2Peer.SETTINGS);
        boolean enabled = false;
        for (ByteBuffer pairs = ByteBuffer.wrap(settings.payload()); pairs.hasRemaining(); ) {
          int identifier = pairs.getShort();
          int value = pairs.getInt();
          enabled |= identifier == ENABLE_CONNECT_PROTOCOL && value == 1;
        }
        assertThat(enabled).isTrue();
      }
    }
  }

  @Test
  void aConnectIsTheGetThatItStandsForAndBytesGoBothWays() throws Exception {
    try (RawBackend backend = echo();
        Mesh mesh = new Mesh()) {
      Match match =
          new Match(new PathMatch.Exact("/chat"), List.of(), List.of(), Optional.of("GET"));
      mesh.serve(Mesh.route(Mesh.weighted(List.of(match), 1)), backend.port());
      try (Http2Peer client = Http2Peer.client(mesh.port)) {
        client.connect(1, "websocket", "sec-websocket-protocol", "chat", "origin", "http://x");
        // Before it is known whether anybody agrees.
        client.data(1, "early ", false);
        Http2Peer.Frame head = client.nextOfInterest();
        assertThat(head.fields())
            .containsEntry(":status", "200")
            .containsEntry("sec-websocket-protocol", "chat")
            .doesNotContainKeys("sec-websocket-accept", "upgrade", "connection");
        assertThat(bytes(client, 1, 11)).isEqualTo("helloearly ");
        String asked = heads.poll(10, TimeUnit.SECONDS);
        assertThat(asked)
            .startsWith("GET /chat HTTP/1.1\r\n")
            .containsIgnoringCase("host: cart.shop\r\n")
            .containsIgnoringCase("connection: upgrade\r\n")
            .containsIgnoringCase("upgrade: websocket\r\n")
            .containsIgnoringCase("sec-websocket-version: 13\r\n")
            .containsIgnoringCase("origin: http://x\r\n")
            .doesNotContainIgnoringCase("transfer-encoding")
            .doesNotContainIgnoringCase("protocol: websocket");
        String long300 = "x".repeat(16_000);
        for (int i = 0; i < 20; i++) {
          client.data(1, long300, false);
          assertThat(bytes(client, 1, 16_000)).isEqualTo(long300);
        }
        // Others of the connection go on beside it.
        client.connect(3, "websocket");
        assertThat(client.nextOfInterest().fields()).containsEntry(":status", "200");
        assertThat(bytes(client, 3, 5)).isEqualTo("hello");
        heads.clear();
        client.data(1, "", true);
        Http2Peer.Frame end = client.nextOfInterest();
        assertThat(end.stream()).isEqualTo(1);
        assertThat(end.ends()).isTrue();
        assertThat(heads.poll(10, TimeUnit.SECONDS)).isEqualTo("ended");
        assertThat(
                Streams.sample(
                    mesh, "istio_requests_total", "response_code=\"101\"", "response_flags=\"-\""))
            .isEqualTo(1);
      }
    }
  }

  @Test
  void whereNobodyAgreesTheAnswerIsTheBackends() throws Exception {
    try (RawBackend backend =
            new RawBackend(
                connection -> {
                  connection.head();
                  connection.send("HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno");
                });
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      try (Http2Peer client = Http2Peer.client(mesh.port)) {
        client.connect(1, "websocket");
        client.data(1, "early", false);
        Http2Peer.Answer answer = client.answer(1);
        assertThat(answer.status()).isEqualTo("403");
        assertThat(answer.body()).isEqualTo("no");
      }
    }
  }

  @Test
  void whoAnswersAnotherKeyHasNotAgreed() throws Exception {
    try (RawBackend backend =
            new RawBackend(
                connection -> {
                  connection.head();
                  connection.send(
                      """
                      HTTP/1.1 101 Switching Protocols\r
                      Connection: Upgrade\r
                      Upgrade: websocket\r
                      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r
                      \r
                      """);
                });
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      try (Http2Peer client = Http2Peer.client(mesh.port)) {
        client.connect(1, "websocket");
        assertThat(client.answer(1).status()).isEqualTo("502");
      }
    }
  }

  @Test
  void theBackendsEndIsTheStreams() throws Exception {
    try (RawBackend backend =
            new RawBackend(
                connection -> {
                  agree(connection, connection.head());
                  connection.socket.close();
                });
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      try (Http2Peer client = Http2Peer.client(mesh.port)) {
        client.connect(1, "websocket");
        assertThat(client.answer(1).body()).isEqualTo("hello");
      }
    }
  }

  @Test
  void aBackendsResetIsTheStreams() throws Exception {
    try (RawBackend backend =
            new RawBackend(
                connection -> {
                  agree(connection, connection.head());
                  assertThat(connection.in.read()).isEqualTo('x');
                  connection.socket.setSoLinger(true, 0);
                  connection.socket.close();
                });
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      try (Http2Peer client = Http2Peer.client(mesh.port)) {
        client.connect(1, "websocket");
        assertThat(client.nextOfInterest().fields()).containsEntry(":status", "200");
        assertThat(bytes(client, 1, 5)).isEqualTo("hello");
        client.data(1, "x", false);
        Http2Peer.Frame frame = client.nextOfInterest();
        assertThat(frame.type()).isEqualTo(Http2Peer.RST_STREAM);
        assertThat(frame.code()).isEqualTo(CANCEL);
      }
    }
  }

  @Test
  void aClientsResetEndsTheBackendsConnection() throws Exception {
    try (RawBackend backend = echo();
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      try (Http2Peer client = Http2Peer.client(mesh.port)) {
        client.connect(1, "websocket");
        assertThat(client.nextOfInterest().fields()).containsEntry(":status", "200");
        assertThat(heads.poll(10, TimeUnit.SECONDS)).startsWith("GET /chat");
        client.reset(1, CANCEL);
        assertThat(heads.poll(10, TimeUnit.SECONDS)).isEqualTo("ended");
      }
    }
  }

  @Test
  void nothingButAWebSocketIsConnectedTo() throws Exception {
    try (RawBackend backend = echo();
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      try (Http2Peer client = Http2Peer.client(mesh.port)) {
        client.connect(1, "connect-udp");
        Http2Peer.Frame frame = client.nextOfInterest();
        assertThat(frame.type()).isEqualTo(Http2Peer.RST_STREAM);
        assertThat(frame.code()).isEqualTo(PROTOCOL_ERROR);
        // With a length it would be content.
        client.connect(3, "websocket", "content-length", "5");
        assertThat(client.nextOfInterest().type()).isEqualTo(Http2Peer.RST_STREAM);
        client.connect(5, "websocket");
        assertThat(client.nextOfInterest().fields()).containsEntry(":status", "200");
      }
    }
  }
}
