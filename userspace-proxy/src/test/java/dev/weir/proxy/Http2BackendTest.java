// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.ProxyPlan;
import dev.weir.policy.plan.ProxyPlan.RouteKind;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** HTTP/2 and gRPC towards backends, from clients of either version. */
@Timeout(60)
final class Http2BackendTest {

  private static final String[] CALL = {"content-type", "application/grpc", "te", "trailers"};

  /** What a backend does with one frame. */
  @FunctionalInterface
  interface Answering {
    void frame(Http2Peer peer, Http2Peer.Frame frame) throws IOException;
  }

  /** Does this with each frame; settings are pairs of identifier and value. */
  static RawBackend backend(Answering answering, int... settings) throws IOException {
    return new RawBackend(
        connection -> {
          try (Http2Peer peer = Http2Peer.server(connection.socket, settings)) {
            while (true) {
              answering.frame(peer, peer.nextOfInterest());
            }
          }
        });
  }

  /** Answers a request at its end with what it was. */
  private static RawBackend echo(LinkedBlockingQueue<Http2Peer.Frame> heads) throws IOException {
    StringBuilder body = new StringBuilder();
    return backend(
        (peer, frame) -> {
          if (frame.type() == Http2Peer.HEADERS && frame.fields().containsKey(":path")) {
            heads.add(frame);
            body.setLength(0);
          }
          if (frame.type() == Http2Peer.DATA) {
            body.append(frame.text());
          }
          if (frame.ends()) {
            peer.headers(frame.stream(), false, ":status", "200", "x-who", "me");
            peer.data(frame.stream(), "[" + body + "]", true);
          }
        });
  }

  static void serve(Mesh mesh, String appProtocol, int... ports) throws Exception {
    serve(mesh, Mesh.route(Mesh.weighted(Mesh.any(), 1)), appProtocol, ports);
  }

  static void serve(Mesh mesh, ProxyPlan.Route route, String appProtocol, int... ports)
      throws Exception {
    mesh.proxy.update(
        Streams.with(
            mesh.update(List.of(route), List.of(), List.of(), List.of(), ports),
            proxy ->
                new ProxyPlan(
                    proxy.listeners(),
                    proxy.virtualServices(),
                    proxy.clusters().stream().map(c -> speaking(c, appProtocol)).toList())));
  }

  private static ProxyPlan.Cluster speaking(ProxyPlan.Cluster cluster, String appProtocol) {
    return new ProxyPlan.Cluster(
        cluster.workload(),
        cluster.port(),
        cluster.name(),
        cluster.endpoints(),
        cluster.workloads(),
        appProtocol,
        Optional.empty());
  }

  @Test
  void aClientOfHttp1ReachesABackendOfHttp2() throws Exception {
    var heads = new LinkedBlockingQueue<Http2Peer.Frame>();
    try (Mesh mesh = new Mesh();
        RawBackend backend = echo(heads)) {
      serve(mesh, "kubernetes.io/h2c", backend.port());
      try (Client client = mesh.client()) {
        client.send(
            """
            POST /a HTTP/1.1\r
            Host: cart.shop\r
            Transfer-Encoding: chunked\r
            Connection: x-drop\r
            X-Drop: 1\r
            X-Keep: 2\r
            \r
            3\r
            abc\r
            0\r
            \r
            """);
        Client.Response response = client.read(false);
        assertThat(response.status()).isEqualTo(200);
        assertThat(response.text()).isEqualTo("[abc]");
        assertThat(response.headers()).anyMatch(h -> h.equalsIgnoreCase("x-who: me"));
      }
      assertThat(heads.poll(5, TimeUnit.SECONDS).fields())
          .containsEntry(":method", "POST")
          .containsEntry(":scheme", "http")
          .containsEntry(":path", "/a")
          .containsEntry(":authority", "cart.shop")
          .containsEntry("x-keep", "2")
          .doesNotContainKeys("host", "connection", "x-drop", "transfer-encoding");
    }
  }

  @Test
  void requestsShareOneConnection() throws Exception {
    AtomicInteger seen = new AtomicInteger();
    try (Mesh mesh = new Mesh();
        RawBackend backend =
            backend(
                (peer, frame) -> {
                  // Answered when both are there: neither waits for the other one's answer.
                  if (frame.ends() && seen.incrementAndGet() == 2) {
                    peer.headers(3, true, ":status", "200");
                    peer.headers(1 + 4, true, ":status", "200");
                  }
                })) {
      serve(mesh, "kubernetes.io/h2c", backend.port());
      try (Http2Peer client = Http2Peer.client(mesh.port)) {
        client.get(1, "/one");
        client.get(3, "/two");
        client.nextOfInterest();
        client.nextOfInterest();
      }
      assertThat(backend.accepted()).isEqualTo(1);
    }
  }

  @Test
  void aCallOfGrpcGoesByHttp2WhateverThePortSays() throws Exception {
    try (Mesh mesh = new Mesh();
        RawBackend backend =
            backend(
                (peer, frame) -> {
                  if (frame.ends()) {
                    peer.headers(
                        frame.stream(),
                        false,
                        ":status",
                        "200",
                        "content-type",
                        "application/grpc");
                    peer.data(frame.stream(), "answer", false);
                    peer.headers(frame.stream(), true, "grpc-status", "0", "x-more-bin", "AA==");
                  }
                })) {
      serve(mesh, "", backend.port());
      try (Http2Peer client = Http2Peer.client(mesh.port)) {
        client.request(1, "POST", "/shop.Cart/Get", false, CALL);
        client.data(1, "question", true);
        Http2Peer.Answer answer = client.answer(1);
        assertThat(answer.body()).isEqualTo("answer");
        assertThat(answer.trailers())
            .containsEntry("grpc-status", "0")
            .containsEntry("x-more-bin", "AA==");
      }
      assertThat(mesh.proxy.metrics())
          .contains("request_protocol=\"grpc\"")
          .contains("grpc_response_status=\"0\"");
    }
  }

  @Test
  void aCallInBothDirectionsIsNotHeldUp() throws Exception {
    try (Mesh mesh = new Mesh();
        RawBackend backend =
            backend(
                (peer, frame) -> {
                  if (frame.type() == Http2Peer.HEADERS) {
                    peer.headers(
                        frame.stream(),
                        false,
                        ":status",
                        "200",
                        "content-type",
                        "application/grpc");
                  } else if (frame.type() == Http2Peer.DATA && frame.payload().length > 0) {
                    peer.data(frame.stream(), "re: " + frame.text(), false);
                  }
                  if (frame.ends()) {
                    peer.headers(frame.stream(), true, "grpc-status", "0");
                  }
                })) {
      serve(mesh, "", backend.port());
      try (Http2Peer client = Http2Peer.client(mesh.port)) {
        client.request(1, "POST", "/shop.Cart/Talk", false, CALL);
        assertThat(client.nextOfInterest().fields()).containsEntry(":status", "200");
        client.data(1, "one", false);
        assertThat(client.nextOfInterest().text()).isEqualTo("re: one");
        client.data(1, "two", false);
        assertThat(client.nextOfInterest().text()).isEqualTo("re: two");
        client.data(1, "", true);
        Http2Peer.Frame end = client.nextOfInterest();
        assertThat(end.fields()).containsEntry("grpc-status", "0");
        assertThat(end.ends()).isTrue();
      }
    }
  }

  @Test
  void anErrorInTrailersOnlyPasses() throws Exception {
    try (Mesh mesh = new Mesh();
        RawBackend backend =
            backend(
                (peer, frame) -> {
                  if (frame.type() == Http2Peer.HEADERS) {
                    peer.headers(
                        frame.stream(),
                        true,
                        ":status",
                        "200",
                        "content-type",
                        "application/grpc",
                        "grpc-status",
                        "5",
                        "grpc-message",
                        "none");
                  }
                })) {
      serve(mesh, "", backend.port());
      try (Http2Peer client = Http2Peer.client(mesh.port)) {
        client.request(1, "POST", "/shop.Cart/Get", false, CALL);
        Http2Peer.Frame head = client.nextOfInterest();
        assertThat(head.fields()).containsEntry("grpc-status", "5");
        assertThat(head.ends()).isTrue();
      }
      assertThat(mesh.proxy.metrics()).contains("grpc_response_status=\"5\"");
    }
  }

  @Test
  void aCallThatNobodyCanTakeIsAnsweredInTheWordsOfGrpc() throws Exception {
    try (Mesh mesh = new Mesh()) {
      serve(mesh, "", FreePorts.next());
      try (Http2Peer client = Http2Peer.client(mesh.port)) {
        client.request(1, "POST", "/shop.Cart/Get", true, CALL);
        Http2Peer.Frame head = client.nextOfInterest();
        assertThat(head.fields())
            .containsEntry(":status", "200")
            .containsEntry("content-type", "application/grpc")
            .containsEntry("grpc-status", "14")
            .containsEntry("grpc-message", "the backend cannot be reached");
        assertThat(head.ends()).isTrue();
      }
    }
  }

  @Test
  void aDeadlineThatPassesEndsTheCall() throws Exception {
    var reset = new CountDownLatch(1);
    try (Mesh mesh = new Mesh();
        RawBackend backend =
            backend(
                (peer, frame) -> {
                  if (frame.type() == Http2Peer.RST_STREAM) {
                    reset.countDown();
                  }
                })) {
      serve(mesh, "", backend.port());
      try (Http2Peer client = Http2Peer.client(mesh.port)) {
        client.request(
            1,
            "POST",
            "/shop.Cart/Get",
            true,
            "content-type",
            "application/grpc",
            "grpc-timeout",
            "300m");
        assertThat(client.nextOfInterest().fields()).containsEntry("grpc-status", "4");
      }
      assertThat(reset.await(10, TimeUnit.SECONDS)).isTrue();
    }
  }

  @Test
  void grpcRoutesAreByServiceAndMethod() throws Exception {
    var heads = new LinkedBlockingQueue<Http2Peer.Frame>();
    try (Mesh mesh = new Mesh();
        RawBackend backend = echo(heads)) {
      ProxyPlan.Match match =
          new ProxyPlan.Match(
              new ProxyPlan.PathMatch.Grpc("shop.Cart", "Get", false),
              List.of(),
              List.of(),
              Optional.empty());
      ProxyPlan.Route route =
          new ProxyPlan.Route(
              RouteKind.GRPC, "shop/cart", 1, List.of(), List.of(Mesh.weighted(List.of(match), 1)));
      serve(mesh, route, "", backend.port());
      try (Http2Peer client = Http2Peer.client(mesh.port)) {
        client.request(1, "POST", "/shop.Cart/Get", true, CALL);
        assertThat(client.answer(1).status()).isEqualTo("200");
        client.request(3, "POST", "/shop.Cart/Other", true, CALL);
        assertThat(client.nextOfInterest().fields()).containsEntry("grpc-status", "12");
      }
    }
  }

  @Test
  void whatABackendThatLeavesDidNotLookAtIsSentAgain() throws Exception {
    AtomicInteger connections = new AtomicInteger();
    try (Mesh mesh = new Mesh();
        RawBackend backend =
            new RawBackend(
                connection -> {
                  boolean first = connections.getAndIncrement() == 0;
                  try (Http2Peer peer = Http2Peer.server(connection.socket)) {
                    while (true) {
                      Http2Peer.Frame frame = peer.nextOfInterest();
                      if (first && frame.ends()) {
                        peer.frame(
                            Http2Peer.GOAWAY, 0, 0, ByteBuffer.allocate(8).putInt(0).array());
                      } else if (frame.ends()) {
                        peer.headers(frame.stream(), false, ":status", "200");
                        peer.data(frame.stream(), "second", true);
                      }
                    }
                  }
                })) {
      serve(mesh, "http2", backend.port());
      try (Http2Peer client = Http2Peer.client(mesh.port)) {
        client.request(1, "POST", "/", false);
        client.data(1, "body", true);
        assertThat(client.answer(1).body()).isEqualTo("second");
      }
      assertThat(connections).hasValue(2);
    }
  }

  @Test
  void aResetByTheBackendIsA502() throws Exception {
    try (Mesh mesh = new Mesh();
        RawBackend backend =
            backend(
                (peer, frame) -> {
                  if (frame.ends()) {
                    peer.reset(frame.stream(), 2);
                  }
                })) {
      serve(mesh, "http2", backend.port());
      try (Client client = mesh.client()) {
        client.send("GET / HTTP/1.1\r\nHost: cart.shop\r\n\r\n");
        assertThat(client.read(false).status()).isEqualTo(502);
      }
    }
  }

  @Test
  void aClientThatDoesNotReadHoldsUpItsOwnStreamOfTheBackendAlone() throws Exception {
    try (Mesh mesh = new Mesh();
        RawBackend backend =
            backend(
                (peer, frame) -> {
                  if (!frame.ends()) {
                    return;
                  }
                  peer.headers(frame.stream(), false, ":status", "200");
                  if ("/large".equals(frame.fields().get(":path"))) {
                    for (int i = 0; i < 7; i++) {
                      peer.frame(Http2Peer.DATA, 0, frame.stream(), new byte[9_000]);
                    }
                  } else {
                    peer.data(frame.stream(), "ok", true);
                  }
                })) {
      serve(mesh, "http2", backend.port());
      try (Http2Peer client = Http2Peer.client(mesh.port)) {
        client.settings(4, 100);
        client.get(1, "/large");
        client.nextOfInterest();
        assertThat(client.nextOfInterest().payload()).hasSize(100);
        client.get(3, "/small");
        assertThat(client.answer(3).body()).isEqualTo("ok");
      }
    }
  }

  @Test
  void aConnectionFullOfRequestsIsFollowedByAnother() throws Exception {
    AtomicInteger connections = new AtomicInteger();
    try (Mesh mesh = new Mesh();
        RawBackend backend =
            new RawBackend(
                connection -> {
                  connections.incrementAndGet();
                  // One request at a time.
                  try (Http2Peer peer = Http2Peer.server(connection.socket, 3, 1)) {
                    while (true) {
                      Http2Peer.Frame frame = peer.nextOfInterest();
                      if (frame.ends()) {
                        if ("/slow".equals(frame.fields().get(":path"))) {
                          Http2Test.pause(2000);
                        }
                        peer.headers(frame.stream(), true, ":status", "200");
                      }
                    }
                  }
                })) {
      serve(mesh, "http2", backend.port());
      try (Http2Peer client = Http2Peer.client(mesh.port)) {
        client.get(1, "/first");
        client.nextOfInterest();
        client.get(3, "/slow");
        client.get(5, "/fast");
        assertThat(client.nextOfInterest().stream()).isEqualTo(5);
        assertThat(client.nextOfInterest().stream()).isEqualTo(3);
      }
      assertThat(connections).hasValue(2);
    }
  }

  @Test
  void aBackendThatDoesNotSpeakHttp2IsA502() throws Exception {
    try (Mesh mesh = new Mesh();
        RawBackend backend = new RawBackend(RawBackend.named("old"))) {
      serve(mesh, "http2", backend.port());
      try (Client client = mesh.client()) {
        client.send("GET / HTTP/1.1\r\nHost: cart.shop\r\n\r\n");
        assertThat(client.read(false).status()).isEqualTo(502);
      }
    }
  }
}
