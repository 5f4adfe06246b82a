// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.SocketException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** What a client of HTTP/2 cannot do to the proxy or to others. */
@Timeout(60)
final class Http2HostileTest {

  private static final int PROTOCOL_ERROR = 1;
  private static final int FLOW_CONTROL_ERROR = 3;
  private static final int STREAM_CLOSED = 5;
  private static final int FRAME_SIZE_ERROR = 6;
  private static final int REFUSED_STREAM = 7;
  private static final int COMPRESSION_ERROR = 9;
  private static final int ENHANCE_YOUR_CALM = 11;

  /** What a client sends until it is stopped. */
  @FunctionalInterface
  interface Sending {
    void send(Http2Peer client, int turn) throws IOException;
  }

  /** What the client is told in the end; meanwhile, and after it, others are served. */
  private static int stopped(int turns, Sending sending) throws Exception {
    return stopped(turns, RawBackend.named("v1"), sending);
  }

  private static int stopped(int turns, RawBackend.Behaviour behaviour, Sending sending)
      throws Exception {
    return stopped(turns, behaviour, sending, new AtomicInteger());
  }

  private static int stopped(
      int turns, RawBackend.Behaviour behaviour, Sending sending, AtomicInteger floods)
      throws Exception {
    try (RawBackend backend = new RawBackend(behaviour);
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      int code;
      try (Http2Peer client = Http2Peer.client(mesh.port)) {
        CompletableFuture<Integer> end = new CompletableFuture<>();
        Thread.ofVirtual()
            .start(
                () -> {
                  try {
                    end.complete(client.end());
                  } catch (IOException e) {
                    end.completeExceptionally(e);
                  }
                });
        try {
          for (int i = 0; i < turns && !end.isDone(); i++) {
            sending.send(client, i);
          }
        } catch (SocketException ended) {
          // As it should be: nothing more is read.
        }
        code = end.get(20, TimeUnit.SECONDS);
      }
      try (Client other = mesh.client()) {
        assertThat(other.get("/").status()).isEqualTo(200);
      }
      floods.set(floods(mesh));
      return code;
    }
  }

  /** How many connections were ended for a flood. */
  private static int flooded(Sending sending) throws Exception {
    AtomicInteger floods = new AtomicInteger();
    int code = stopped(100_000, RawBackend.named("v1"), sending, floods);
    // What is still on its way to us when we close takes away what was still on its way to it.
    assertThat(code).isIn(ENHANCE_YOUR_CALM, -1);
    return floods.get();
  }

  private static int floods(Mesh mesh) {
    return mesh.proxy
        .metrics()
        .lines()
        .filter(l -> l.startsWith("weir_proxy_connection_floods_total "))
        .mapToInt(l -> Integer.parseInt(l.substring(l.indexOf(' ') + 1)))
        .sum();
  }

  @Test
  void requestsGivenUpAsSoonAsTheyAreMadeAreAFlood() throws Exception {
    assertThat(
            flooded(
                (client, i) -> {
                  client.get(2 * i + 1, "/");
                  client.reset(2 * i + 1, 8);
                }))
        .isEqualTo(1);
  }

  @Test
  void requestsThatWeMustResetAreAFlood() throws Exception {
    // CVE-2025-8671: the client makes us do it, with an increment of nothing.
    assertThat(
            flooded(
                (client, i) -> {
                  client.request(2 * i + 1, "POST", "/", false);
                  client.windowUpdate(2 * i + 1, 0);
                }))
        .isEqualTo(1);
  }

  @Test
  void pingsAreAFlood() throws Exception {
    assertThat(flooded((client, i) -> client.frame(Http2Peer.PING, 0, 0, new byte[8])))
        .isEqualTo(1);
  }

  @Test
  void settingsAreAFlood() throws Exception {
    assertThat(flooded((client, i) -> client.settings(4, 65_535 + i % 2))).isEqualTo(1);
  }

  @Test
  void prioritiesAreAFlood() throws Exception {
    assertThat(flooded((client, i) -> client.frame(Http2Peer.PRIORITY, 0, 3, new byte[5])))
        .isEqualTo(1);
  }

  @Test
  void windowUpdatesAreAFlood() throws Exception {
    assertThat(flooded((client, i) -> client.windowUpdate(0, 1))).isEqualTo(1);
  }

  @Test
  void unknownFramesAreAFlood() throws Exception {
    assertThat(flooded((client, i) -> client.frame(0x77, 0, 0, new byte[0]))).isEqualTo(1);
  }

  @Test
  void emptyFramesOfContentAreAFlood() throws Exception {
    assertThat(
            flooded(
                (client, i) -> {
                  if (i == 0) {
                    client.request(1, "POST", "/", false);
                  }
                  client.data(1, "", false);
                }))
        .isEqualTo(1);
  }

  @Test
  void continuationsWithoutEndAreAFlood() throws Exception {
    assertThat(
            stopped(
                100_000,
                (client, i) ->
                    client.frame(
                        i == 0 ? Http2Peer.HEADERS : Http2Peer.CONTINUATION,
                        0,
                        1,
                        new byte[] {0, 1, 'a', 1, 'b'})))
        .isIn(ENHANCE_YOUR_CALM, -1);
  }

  @Test
  void fieldsThatGrowWhenTheyAreDecodedAreRefused() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      try (Http2Peer client = Http2Peer.client(mesh.port)) {
        // One large field of the table, named again and again: a byte each.
        ByteArrayOutputStream block = new ByteArrayOutputStream();
        block.write(client.block(1, ":method", "GET", ":scheme", "http", ":path", "/"));
        block.write(client.block(1, "x-large", "y".repeat(3_000)));
        byte[] again = new byte[1_000];
        Arrays.fill(again, (byte) 0xbe);
        block.write(again);
        client.frame(
            Http2Peer.HEADERS,
            Http2Peer.END_HEADERS | Http2Peer.END_STREAM,
            1,
            block.toByteArray());
        Http2Peer.Frame frame = client.nextOfInterest();
        if (frame.type() == Http2Peer.HEADERS) {
          assertThat(frame.fields()).containsEntry(":status", "431");
        } else {
          assertThat(frame.type()).isIn(Http2Peer.RST_STREAM, Http2Peer.GOAWAY);
        }
      }
      assertThat(backend.accepted()).isZero();
    }
  }

  @Test
  void aTableThatCannotBeIsAnError() throws Exception {
    assertThat(
            stopped(
                1,
                (client, i) ->
                    client.frame(
                        Http2Peer.HEADERS,
                        Http2Peer.END_HEADERS | Http2Peer.END_STREAM,
                        1,
                        new byte[] {(byte) 0xff, (byte) 0xff, (byte) 0xff, 0x7f})))
        .isEqualTo(COMPRESSION_ERROR);
  }

  @Test
  void aWindowThatOverflowsIsAnError() throws Exception {
    assertThat(stopped(1, (client, i) -> client.windowUpdate(0, Integer.MAX_VALUE)))
        .isEqualTo(FLOW_CONTROL_ERROR);
  }

  @Test
  void aWindowOfNothingMoreIsAnError() throws Exception {
    assertThat(stopped(1, (client, i) -> client.windowUpdate(0, 0))).isEqualTo(PROTOCOL_ERROR);
  }

  @Test
  void aFrameLargerThanAllowedIsAnError() throws Exception {
    assertThat(stopped(1, (client, i) -> client.frame(Http2Peer.DATA, 0, 1, new byte[16_385])))
        .isEqualTo(FRAME_SIZE_ERROR);
  }

  @Test
  void contentBeyondTheWindowIsAnError() throws Exception {
    RawBackend.Behaviour slow =
        connection -> {
          String head = connection.head();
          if (head.startsWith("POST")) {
            Http2Test.pause(20_000);
          }
          connection.respond("", "");
        };
    assertThat(
            stopped(
                4_000,
                slow,
                (client, i) -> {
                  if (i == 0) {
                    client.request(1, "POST", "/", false);
                  }
                  client.frame(Http2Peer.DATA, 0, 1, new byte[16_384]);
                }))
        // Of the stream; whoever goes on sending to that is a flood.
        .isIn(FLOW_CONTROL_ERROR, ENHANCE_YOUR_CALM, -1);
  }

  @Test
  void moreRequestsAtOnceThanAllowedAreRefused() throws Exception {
    AtomicInteger asked = new AtomicInteger();
    try (RawBackend backend =
            new RawBackend(
                connection -> {
                  connection.head();
                  asked.incrementAndGet();
                  Http2Test.pause(3_000);
                  connection.respond("", "");
                });
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      try (Http2Peer client = Http2Peer.client(mesh.port)) {
        for (int i = 0; i < 150; i++) {
          client.get(2 * i + 1, "/");
        }
        List<Integer> refused = new ArrayList<>();
        int answered = 0;
        while (refused.size() + answered < 150) {
          Http2Peer.Frame frame = client.nextOfInterest();
          if (frame.type() == Http2Peer.RST_STREAM) {
            assertThat(frame.code()).isEqualTo(REFUSED_STREAM);
            refused.add(frame.stream());
          } else if (frame.ends()) {
            answered++;
          }
        }
        assertThat(refused).hasSize(150 - 128);
        assertThat(asked).hasValue(128);
      }
    }
  }

  @Test
  void contentLengthAndContentThatDifferEndTheStream() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.echo());
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      try (Http2Peer client = Http2Peer.client(mesh.port)) {
        client.request(1, "POST", "/", false, "content-length", "3");
        client.data(1, "four", true);
        Http2Peer.Frame frame = client.nextOfInterest();
        assertThat(frame.type()).isEqualTo(Http2Peer.RST_STREAM);
        assertThat(frame.code()).isEqualTo(PROTOCOL_ERROR);
      }
    }
  }

  @Test
  void whatBelongsToAConnectionIsMalformed() throws Exception {
    for (String[] field :
        new String[][] {
          {"connection", "close"},
          {"transfer-encoding", "chunked"},
          {"te", "gzip"},
          {"upgrade", "websocket"},
          {"X-Capital", "1"},
          {":authority2", "a"},
          {"x a", "1"},
          {"x-blank", " 1"},
          {"x-line", "a\r\nb: c"},
          {"x-nul", "a\u0000b"},
        }) {
      try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
          Mesh mesh = new Mesh()) {
        mesh.serve(backend.port());
        try (Http2Peer client = Http2Peer.client(mesh.port)) {
          client.get(1, "/", field);
          Http2Peer.Frame frame = client.nextOfInterest();
          assertThat(frame.type())
              .as("%s: %s", field[0], field[1])
              .isIn(Http2Peer.RST_STREAM, Http2Peer.GOAWAY);
          assertThat(backend.accepted()).isZero();
        }
      }
    }
  }

  @Test
  void pathsMethodsAndHostsAreAsStrictAsInHttp1() throws Exception {
    for (String[] pseudo :
        new String[][] {
          {"GET", "http", "http://cart.shop/", "cart.shop"},
          {"GET", "http", "cart.shop", "cart.shop"},
          {"GET", "http", "/a b", "cart.shop"},
          {"GET", "http", "/a#b", "cart.shop"},
          {"GET", "http", "/%00", "cart.shop"},
          {"GET", "http", "*", "cart.shop"},
          {"get", "http", "/", "cart.shop"},
          {"G T", "http", "/", "cart.shop"},
          {"GET", "ftp", "/", "cart.shop"},
          {"GET", "http", "/", "cart shop"},
          {"GET", "http", "/", "user@cart.shop"},
          {"GET", "http", "/", ""},
          {"CONNECT", "http", "/", "cart.shop"},
          {"GET", "http", "/" + "a".repeat(4_096), "cart.shop"},
        }) {
      try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
          Mesh mesh = new Mesh()) {
        mesh.serve(backend.port());
        try (Http2Peer client = Http2Peer.client(mesh.port)) {
          client.headers(
              1,
              true,
              ":method",
              pseudo[0],
              ":scheme",
              pseudo[1],
              ":path",
              pseudo[2],
              ":authority",
              pseudo[3]);
          Http2Peer.Frame frame = client.nextOfInterest();
          if (frame.type() == Http2Peer.HEADERS) {
            assertThat(frame.fields().get(":status"))
                .as("%s", (Object) pseudo)
                .isIn("400", "405", "414");
          } else {
            assertThat(frame.type()).isIn(Http2Peer.RST_STREAM, Http2Peer.GOAWAY);
          }
          assertThat(backend.accepted()).isZero();
        }
      }
    }
  }

  @Test
  void aHeaderBlockThatIsLongInComingEndsTheConnection() throws Exception {
    AtomicLong clock = new AtomicLong(System.nanoTime());
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh(1, clock::get)) {
      mesh.serve(backend.port());
      try (Http2Peer client = Http2Peer.client(mesh.port)) {
        client.get(1, "/");
        client.answer(1);
        client.frame(Http2Peer.HEADERS, Http2Peer.END_STREAM, 3, new byte[] {(byte) 0x82});
        Http2Test.pause(1_500);
        clock.addAndGet(TimeUnit.SECONDS.toNanos(11));
        assertThat(client.end()).isZero();
      }
      assertThat(mesh.proxy.metrics()).contains("weir_proxy_head_timeouts_total 1");
    }
  }

  @Test
  void aClientThatSaysNothingAfterItsPrefaceIsNotKept() throws Exception {
    AtomicLong clock = new AtomicLong(System.nanoTime());
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh(1, clock::get)) {
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        Http2Test.pause(1_500);
        clock.addAndGet(TimeUnit.SECONDS.toNanos(11));
        client.socket().setSoTimeout(10_000);
        byte[] said = client.in().readAllBytes();
        assertThat(said).isNotEmpty();
      }
    }
  }

  @Test
  void aClientThatDoesNotReadIsNotReadFrom() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      try (Http2Peer client = Http2Peer.client(mesh.port)) {
        client.socket().setSoTimeout(1_000);
        // Its answers fill what lies between; then nothing more is taken from it, or it is ended.
        Thread sending =
            Thread.ofVirtual()
                .start(
                    () -> {
                      try {
                        for (int i = 0; ; i++) {
                          client.get(2 * i + 1, "/");
                        }
                      } catch (IOException ended) {
                        // One of the two.
                      }
                    });
        sending.join(4_000);
        String metrics = mesh.proxy.metrics();
        long direct =
            metrics
                .lines()
                .filter(l -> l.startsWith("weir_proxy_direct_memory_used_bytes "))
                .mapToLong(l -> Long.parseLong(l.substring(l.indexOf(' ') + 1)))
                .findFirst()
                .orElseThrow();
        assertThat(direct).isLessThan(64 << 20);
      }
    }
  }

  @Test
  void contentForAnEndedRequestIsAnErrorOfItsStream() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      try (Http2Peer client = Http2Peer.client(mesh.port)) {
        client.get(1, "/");
        client.answer(1);
        client.data(1, "late", true);
        Http2Peer.Frame frame = client.nextOfInterest();
        assertThat(frame.code()).isEqualTo(STREAM_CLOSED);
      }
    }
  }

  @Test
  void fieldsForARequestThatIsCompleteAreAnError() throws Exception {
    try (RawBackend backend =
            new RawBackend(
                connection -> {
                  connection.head();
                  Http2Test.pause(10_000);
                });
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      try (Http2Peer client = Http2Peer.client(mesh.port)) {
        client.get(1, "/");
        client.get(1, "/");
        Http2Peer.Frame frame = client.nextOfInterest();
        assertThat(frame.type()).isIn(Http2Peer.RST_STREAM, Http2Peer.GOAWAY);
        assertThat(frame.code()).isEqualTo(STREAM_CLOSED);
      }
    }
  }
}
