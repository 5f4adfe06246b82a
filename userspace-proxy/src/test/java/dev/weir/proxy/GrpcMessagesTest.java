// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Messages of gRPC in the metrics. */
@Timeout(60)
final class GrpcMessagesTest {

  private static final String[] CALL = {"content-type", "application/grpc", "te", "trailers"};

  private static byte[] messages(int count) throws IOException {
    ByteArrayOutputStream all = new ByteArrayOutputStream();
    DataOutputStream out = new DataOutputStream(all);
    for (int i = 0; i < count; i++) {
      out.writeByte(i % 2);
      out.writeInt(i * 7);
      out.write(new byte[i * 7]);
    }
    return all.toByteArray();
  }

  /** In frames of a few bytes, which cut the messages anywhere. */
  private static void send(Http2Peer peer, int stream, byte[] body, int size) throws IOException {
    for (int at = 0; at < body.length; at += size) {
      peer.frame(
          Http2Peer.DATA,
          0,
          stream,
          Arrays.copyOfRange(body, at, Math.min(body.length, at + size)));
    }
  }

  private static RawBackend answering(byte[] body, int size) throws IOException {
    return new RawBackend(
        connection -> {
          try (Http2Peer peer = Http2Peer.server(connection.socket)) {
            while (true) {
              Http2Peer.Frame frame = peer.nextOfInterest();
              if (frame.ends()) {
                peer.headers(
                    frame.stream(), false, ":status", "200", "content-type", "application/grpc");
                send(peer, frame.stream(), body, size);
                peer.headers(frame.stream(), true, "grpc-status", "0");
              }
            }
          }
        });
  }

  private static void counted(Mesh mesh, String family, long count) throws InterruptedException {
    for (int i = 0; i < 100 && Streams.sample(mesh, family) != count; i++) {
      Thread.sleep(50);
    }
    assertThat(Streams.sample(mesh, family)).isEqualTo(count);
  }

  @ParameterizedTest(name = "{0}: {1} to the backend in pieces of {3}, {2} back")
  @CsvSource({
    "unary, 1, 1, 1",
    "client streaming, 6, 1, 3",
    "server streaming, 1, 6, 4",
    "both, 5, 4, 6",
    "nothing, 0, 0, 1"
  })
  void messagesOfEachKindOfCallAreCountedBothWays(String kind, int sent, int answered, int size)
      throws Exception {
    try (Mesh mesh = new Mesh();
        RawBackend backend = answering(messages(answered), size)) {
      Http2BackendTest.serve(mesh, "", backend.port());
      try (Http2Peer client = Http2Peer.client(mesh.port)) {
        for (int call = 1; call <= 2; call++) {
          int stream = 2 * call - 1;
          client.request(stream, "POST", "/shop.Cart/Talk", false, CALL);
          send(client, stream, messages(sent), size);
          client.data(stream, "", true);
          assertThat(client.answer(stream).trailers()).containsEntry("grpc-status", "0");
          counted(mesh, "istio_request_messages_total", (long) sent * call);
          counted(mesh, "istio_response_messages_total", (long) answered * call);
        }
      }
      assertThat(
              Streams.sample(
                  mesh,
                  "istio_request_messages_total",
                  "request_protocol=\"grpc\"",
                  "grpc_response_status=\"0\"",
                  "destination_workload=\"cart-v1\""))
          .isEqualTo(2L * sent);
    }
  }

  @Test
  void otherRequestsHaveNoMessages() throws Exception {
    try (Mesh mesh = new Mesh();
        RawBackend backend = new RawBackend(RawBackend.named("v1"))) {
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        client.get("/");
      }
      assertThat(mesh.proxy.metrics())
          .contains("# TYPE istio_request_messages_total counter\n")
          .doesNotContain("istio_request_messages_total{")
          .doesNotContain("istio_response_messages_total{");
    }
  }
}
