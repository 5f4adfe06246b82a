// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.net.SocketException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import javax.net.ssl.SSLException;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** What a node with a good certificate and bad intentions cannot do. */
@Timeout(60)
final class TunnelHostileTest {

  private static final int ENHANCE_YOUR_CALM = 11;

  @TempDir static Path directory;

  private static Authority authority;

  @TempDir Path files;
  private TunnelNode node;
  private RawBackend backend;

  /** What a node sends until it is stopped. */
  @FunctionalInterface
  interface Sending {
    void send(Http2Peer peer, int turn) throws IOException;
  }

  @BeforeAll
  static void issue() throws Exception {
    authority = new Authority(directory, "right");
    Identities.issue(authority, "shop/web");
    Identities.issue(authority, "shop/cart");
  }

  @BeforeEach
  void start() throws Exception {
    backend = new RawBackend(RawBackend.named("v1"));
    node =
        new TunnelNode(
            new Identities(Files.createDirectories(files.resolve("node")))
                .believe(authority)
                .put(authority, "shop/cart"));
    TunnelNode.Policy policy = new TunnelNode.Policy();
    policy.port = backend.port();
    policy.cart = true;
    policy.account = "shop/cart";
    node.apply(policy);
  }

  @AfterEach
  void stop() throws Exception {
    node.close();
    backend.close();
  }

  private Http2Peer tunnel() throws Exception {
    return Http2Peer.client(authority.connectAs("shop/web", node.tunnels, "h2"));
  }

  private static void connect(Http2Peer peer, int stream, String authority) throws IOException {
    peer.headers(stream, false, ":method", "CONNECT", ":authority", authority);
  }

  private String cart() {
    return "127.0.0.1:" + backend.port();
  }

  private void isServed() throws Exception {
    try (Http2Peer peer = tunnel()) {
      connect(peer, 1, cart());
      assertThat(peer.nextOfInterest().fields()).containsEntry(":status", "200");
      peer.data(1, "GET / HTTP/1.1\r\nHost: cart\r\n\r\n", false);
      assertThat(peer.nextOfInterest().text()).contains("200 OK");
    }
  }

  /** What it is told in the end; others are served then. */
  private int stopped(Sending sending) throws Exception {
    int code;
    try (Http2Peer peer = tunnel()) {
      CompletableFuture<Integer> end = new CompletableFuture<>();
      Thread.ofVirtual()
          .start(
              () -> {
                try {
                  end.complete(peer.end());
                } catch (IOException gone) {
                  end.complete(-1);
                }
              });
      try {
        for (int i = 0; i < 100_000 && !end.isDone(); i++) {
          sending.send(peer, i);
        }
      } catch (SocketException | SSLException ended) {
        // As it should be: nothing more is read.
      }
      code = end.get(20, TimeUnit.SECONDS);
    }
    isServed();
    return code;
  }

  @Test
  void aConnectionThatIsPlannedIsServed() throws Exception {
    isServed();
  }

  @Test
  void whatIsNoConnectIsAnsweredAndTheTunnelStays() throws Exception {
    try (Http2Peer peer = tunnel()) {
      peer.get(1, "/");
      assertThat(peer.nextOfInterest().fields()).containsEntry(":status", "404");
      connect(peer, 3, "cart.shop:80");
      Http2Peer.Frame frame = peer.nextOfInterest();
      while (frame.stream() != 3) {
        frame = peer.nextOfInterest();
      }
      assertThat(frame.fields()).containsEntry(":status", "400");
    }
  }

  @Test
  void whatNobodyHereHasIsNotDialled() throws Exception {
    try (Http2Peer peer = tunnel()) {
      connect(peer, 1, "169.254.169.254:80");
      assertThat(peer.nextOfInterest().fields()).containsEntry(":status", "404");
    }
  }

  @Test
  void connectionsGivenUpAsSoonAsTheyAreMadeAreAFlood() throws Exception {
    assertThat(
            stopped(
                (peer, i) -> {
                  connect(peer, 2 * i + 1, cart());
                  peer.reset(2 * i + 1, 8);
                }))
        .isIn(ENHANCE_YOUR_CALM, -1);
  }

  @Test
  void pingsAreAFlood() throws Exception {
    assertThat(stopped((peer, i) -> peer.frame(Http2Peer.PING, 0, 0, new byte[8])))
        .isIn(ENHANCE_YOUR_CALM, -1);
  }

  @Test
  void settingsAreAFlood() throws Exception {
    assertThat(stopped((peer, i) -> peer.settings(4, 65_535 + i % 2))).isIn(ENHANCE_YOUR_CALM, -1);
  }

  @Test
  void emptyFramesOfContentAreAFlood() throws Exception {
    assertThat(
            stopped(
                (peer, i) -> {
                  if (i == 0) {
                    connect(peer, 1, cart());
                  }
                  peer.data(1, "", false);
                }))
        .isIn(ENHANCE_YOUR_CALM, -1);
  }

  @Test
  void continuationsWithoutEndAreAFlood() throws Exception {
    assertThat(
            stopped(
                (peer, i) ->
                    peer.frame(
                        i == 0 ? Http2Peer.HEADERS : Http2Peer.CONTINUATION,
                        0,
                        1,
                        new byte[] {0, 1, 'a', 1, 'b'})))
        .isIn(ENHANCE_YOUR_CALM, -1);
  }
}
