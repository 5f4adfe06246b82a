// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
final class Http2Test {

  /** Answers each request with what it was. */
  private static RawBackend.Behaviour echo(BlockingQueue<String> heads) {
    return connection -> {
      for (String head = connection.head(); !head.isEmpty(); head = connection.head()) {
        heads.add(head);
        String length = RawBackend.Connection.value(head, "content-length");
        String body =
            length.isEmpty()
                ? head.contains("chunked") ? chunks(connection) : ""
                : new String(
                    connection.in.readNBytes(Integer.parseInt(length)), StandardCharsets.UTF_8);
        String text = head.substring(0, head.indexOf('\r')) + " [" + body + "]";
        connection.send(
            "HTTP/1.1 200 OK\r\nContent-Length: " + text.length() + "\r\nX-Who: me\r\n\r\n" + text);
      }
    };
  }

  @Test
  void aClientMayBeginWithHttp2() throws Exception {
    var heads = new LinkedBlockingQueue<String>();
    try (Mesh mesh = new Mesh();
        RawBackend backend = new RawBackend(echo(heads))) {
      mesh.serve(backend.port());
      try (Http2Peer client = Http2Peer.client(mesh.port)) {
        client.get(1, "/a?b=c", "x-mine", "yes", "cookie", "a=1", "cookie", "b=2");
        Http2Peer.Answer answer = client.answer(1);
        assertThat(answer.status()).isEqualTo("200");
        assertThat(answer.head()).containsEntry("x-who", "me");
        assertThat(answer.body()).isEqualTo("GET /a?b=c HTTP/1.1 []");
        assertThat(heads.poll(5, TimeUnit.SECONDS))
            .containsIgnoringCase("host: cart.shop\r\n")
            .contains("x-mine: yes\r\n")
            .contains("cookie: a=1; b=2\r\n")
            .doesNotContain("transfer-encoding");
      }
    }
  }

  @Test
  void aBodyOfUnknownLengthIsChunkedForTheBackend() throws Exception {
    var heads = new LinkedBlockingQueue<String>();
    try (Mesh mesh = new Mesh();
        RawBackend backend = new RawBackend(echo(heads))) {
      mesh.serve(backend.port());
      try (Http2Peer client = Http2Peer.client(mesh.port)) {
        client.request(1, "POST", "/", false);
        client.data(1, "one ", false);
        client.data(1, "two", true);
        assertThat(client.answer(1).body()).isEqualTo("POST / HTTP/1.1 [one two]");
      }
    }
  }

  @Test
  void requestsOfOneConnectionAreAnsweredAsTheyAreReady() throws Exception {
    try (Mesh mesh = new Mesh();
        RawBackend backend =
            new RawBackend(
                connection -> {
                  String head = connection.head();
                  if (head.startsWith("GET /slow")) {
                    pause(1500);
                  }
                  connection.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
                })) {
      mesh.serve(backend.port());
      try (Http2Peer client = Http2Peer.client(mesh.port)) {
        client.get(1, "/slow");
        client.get(3, "/fast");
        assertThat(client.nextOfInterest().stream()).isEqualTo(3);
        assertThat(client.nextOfInterest().stream()).isEqualTo(1);
      }
    }
  }

  @Test
  void aLargeResponseWaitsForTheClientsWindowAndNoLonger() throws Exception {
    byte[] content = new byte[1_000_000];
    Arrays.fill(content, (byte) 'x');
    try (Mesh mesh = new Mesh();
        RawBackend backend =
            new RawBackend(
                connection -> {
                  connection.head();
                  connection.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
                  connection.out.write(content);
                  connection.out.flush();
                })) {
      mesh.serve(backend.port());
      try (Http2Peer client = Http2Peer.client(mesh.port)) {
        client.get(1, "/");
        assertThat(client.answer(1).body()).hasSize(1_000_000);
      }
    }
  }

  @Test
  void aClientThatDoesNotReadHoldsUpNobodyElse() throws Exception {
    byte[] content = new byte[1_000_000];
    try (Mesh mesh = new Mesh();
        RawBackend backend =
            new RawBackend(
                connection -> {
                  String head = connection.head();
                  if (head.startsWith("GET /large")) {
                    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
                    connection.out.write(content);
                  } else {
                    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
                  }
                })) {
      mesh.serve(backend.port());
      try (Http2Peer client = Http2Peer.client(mesh.port)) {
        client.settings(4, 1000);
        client.get(1, "/large");
        assertThat(client.nextOfInterest().fields()).containsEntry(":status", "200");
        assertThat(client.nextOfInterest().payload()).hasSize(1000);
        client.get(3, "/small");
        assertThat(client.answer(3).body()).isEqualTo("ok");
      }
    }
  }

  @Test
  void aBackendThatDoesNotReadHoldsUpItsOwnRequestAlone() throws Exception {
    try (Mesh mesh = new Mesh();
        RawBackend backend =
            new RawBackend(
                connection -> {
                  String head = connection.head();
                  if (head.startsWith("POST")) {
                    pause(4000);
                  }
                  connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
                })) {
      mesh.serve(backend.port());
      try (Http2Peer client = Http2Peer.client(mesh.port)) {
        client.request(1, "POST", "/", false);
        int sent = 0;
        byte[] piece = new byte[16_384];
        // As much as its window and the sockets beyond take; nobody has to keep more than that.
        while (sent + piece.length <= 65_535) {
          client.frame(Http2Peer.DATA, 0, 1, piece);
          sent += piece.length;
        }
        client.get(3, "/");
        assertThat(client.answer(3).body()).isEqualTo("ok");
      }
    }
  }

  @Test
  void anUploadOfAnySizePasses() throws Exception {
    try (Mesh mesh = new Mesh();
        RawBackend backend =
            new RawBackend(
                connection -> {
                  String head = connection.head();
                  long length = Long.parseLong(RawBackend.Connection.value(head, "content-length"));
                  connection.in.skipNBytes(length);
                  connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
                })) {
      mesh.serve(backend.port());
      try (Http2Peer client = Http2Peer.client(mesh.port)) {
        int total = 3_000_000;
        client.request(1, "POST", "/", false, "content-length", Integer.toString(total));
        Uploads.send(client, 1, total);
        assertThat(client.answer(1).body()).isEqualTo("ok");
      }
    }
  }

  @Test
  void whatIsWrongWithARequestEndsItsStreamOnly() throws Exception {
    var heads = new LinkedBlockingQueue<String>();
    try (Mesh mesh = new Mesh();
        RawBackend backend = new RawBackend(echo(heads))) {
      mesh.serve(backend.port());
      try (Http2Peer client = Http2Peer.client(mesh.port)) {
        client.headers(
            1,
            true,
            ":method",
            "GET",
            ":scheme",
            "http",
            ":path",
            "/",
            ":authority",
            "a.shop",
            "host",
            "b.shop");
        Http2Peer.Frame frame = client.nextOfInterest();
        assertThat(frame.type()).isEqualTo(Http2Peer.RST_STREAM);
        assertThat(frame.code()).isEqualTo(1);
        client.get(3, "/");
        assertThat(client.answer(3).status()).isEqualTo("200");
      }
    }
  }

  @Test
  void aRequestThatIsGivenUpIsGivenUpAtTheBackend() throws Exception {
    var ended = new LinkedBlockingQueue<Integer>();
    try (Mesh mesh = new Mesh();
        RawBackend backend =
            new RawBackend(
                connection -> {
                  connection.head();
                  ended.add(1);
                  ended.add(connection.in.read());
                })) {
      mesh.serve(backend.port());
      try (Http2Peer client = Http2Peer.client(mesh.port)) {
        client.get(1, "/");
        assertThat(ended.poll(10, TimeUnit.SECONDS)).isEqualTo(1);
        client.reset(1, 8);
        assertThat(ended.poll(10, TimeUnit.SECONDS)).isEqualTo(-1);
      }
    }
  }

  @Test
  void aResponseThatBreaksOffIsAResetStream() throws Exception {
    try (Mesh mesh = new Mesh();
        RawBackend backend =
            new RawBackend(
                connection -> {
                  connection.head();
                  connection.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
                })) {
      mesh.serve(backend.port());
      try (Http2Peer client = Http2Peer.client(mesh.port)) {
        client.get(1, "/");
        Http2Peer.Frame frame = client.nextOfInterest();
        while (frame.type() != Http2Peer.RST_STREAM) {
          assertThat(frame.ends()).isFalse();
          frame = client.nextOfInterest();
        }
        assertThat(frame.code()).isEqualTo(2);
      }
    }
  }

  @Test
  void aResponseToHeadEndsWithItsFields() throws Exception {
    try (Mesh mesh = new Mesh();
        RawBackend backend =
            new RawBackend(
                connection -> {
                  connection.head();
                  connection.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n");
                })) {
      mesh.serve(backend.port());
      try (Http2Peer client = Http2Peer.client(mesh.port)) {
        client.request(1, "HEAD", "/", true);
        Http2Peer.Frame frame = client.nextOfInterest();
        assertThat(frame.fields()).containsEntry("content-length", "10");
        assertThat(frame.ends()).isTrue();
      }
    }
  }

  @Test
  void anAnswerBeforeTheEndOfTheRequestEndsTheRequest() throws Exception {
    try (Mesh mesh = new Mesh()) {
      mesh.serve(FreePorts.next());
      try (Http2Peer client = Http2Peer.client(mesh.port)) {
        client.request(1, "POST", "/", false);
        client.data(1, "some", false);
        Http2Peer.Frame head = client.nextOfInterest();
        assertThat(head.fields()).containsKey(":status");
        Http2Peer.Frame frame = client.nextOfInterest();
        while (frame.type() == Http2Peer.DATA) {
          frame = client.nextOfInterest();
        }
        assertThat(frame.type()).isEqualTo(Http2Peer.RST_STREAM);
        assertThat(frame.code()).isZero();
      }
    }
  }

  @Test
  void interimResponsesPass() throws Exception {
    try (Mesh mesh = new Mesh();
        RawBackend backend =
            new RawBackend(
                connection -> {
                  connection.head();
                  connection.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
                  connection.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
                })) {
      mesh.serve(backend.port());
      try (Http2Peer client = Http2Peer.client(mesh.port)) {
        client.get(1, "/");
        assertThat(client.nextOfInterest().fields()).containsEntry(":status", "103");
        assertThat(client.nextOfInterest().fields()).containsEntry(":status", "200");
      }
    }
  }

  @Test
  void trailersOfAnHttp1BackendPass() throws Exception {
    try (Mesh mesh = new Mesh();
        RawBackend backend =
            new RawBackend(
                connection -> {
                  connection.head();
                  connection.send(
                      """
                      HTTP/1.1 200 OK\r
                      Trailer: x-sum\r
                      Transfer-Encoding: chunked\r
                      \r
                      2\r
                      ok\r
                      0\r
                      x-sum: 7\r
                      \r
                      """);
                })) {
      mesh.serve(backend.port());
      try (Http2Peer client = Http2Peer.client(mesh.port)) {
        client.get(1, "/");
        Http2Peer.Answer answer = client.answer(1);
        assertThat(answer.body()).isEqualTo("ok");
        assertThat(answer.trailers()).containsEntry("x-sum", "7");
        assertThat(answer.head()).doesNotContainKey("transfer-encoding");
      }
    }
  }

  @Test
  void aConnectionThatADrainFindsIdleIsToldAndClosed() throws Exception {
    try (Mesh mesh = new Mesh();
        RawBackend backend = new RawBackend(echo(new LinkedBlockingQueue<>()))) {
      mesh.serve(backend.port());
      try (Http2Peer client = Http2Peer.client(mesh.port)) {
        client.get(1, "/");
        client.answer(1);
        mesh.proxy.drain(5_000);
        assertThat(client.end()).isZero();
      }
    }
  }

  @Test
  void whatIsUnderWayWhenADrainBeginsComesToItsEnd() throws Exception {
    CountDownLatch asked = new CountDownLatch(1);
    try (Mesh mesh = new Mesh();
        RawBackend backend =
            new RawBackend(
                connection -> {
                  connection.head();
                  asked.countDown();
                  pause(1000);
                  connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
                })) {
      mesh.serve(backend.port());
      try (Http2Peer client = Http2Peer.client(mesh.port)) {
        client.get(1, "/");
        assertThat(asked.await(10, TimeUnit.SECONDS)).isTrue();
        mesh.proxy.drain(10_000);
        assertThat(client.answer(1).body()).isEqualTo("ok");
        assertThat(client.end()).isNotPositive();
      }
    }
  }

  private static String chunks(RawBackend.Connection connection) throws IOException {
    StringBuilder body = new StringBuilder();
    while (true) {
      int size = Integer.parseInt(line(connection), 16);
      if (size == 0) {
        line(connection);
        return body.toString();
      }
      body.append(new String(connection.in.readNBytes(size), StandardCharsets.UTF_8));
      line(connection);
    }
  }

  private static String line(RawBackend.Connection connection) throws IOException {
    StringBuilder line = new StringBuilder();
    for (int b = connection.in.read(); b != '\n'; b = connection.in.read()) {
      if (b < 0) {
        throw new IOException("ended");
      }
      line.append((char) b);
    }
    return line.toString().strip();
  }

  static void pause(long millis) throws IOException {
    try {
      Thread.sleep(millis);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IOException(e);
    }
  }
}
