// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.ProxyUpdateCodec;
import dev.weir.policy.plan.TrafficPolicy;
import dev.weir.proxy.control.ControlServer;
import dev.weir.proxy.observe.Log;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.epoll.EpollIoHandler;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The frames of docs/protocols.md. */
@Timeout(30)
final class ControlTest {

  private final MultiThreadIoEventLoopGroup group =
      new MultiThreadIoEventLoopGroup(1, EpollIoHandler.newFactory());
  private final Mesh mesh;
  private final Path path;
  private final ControlServer server;

  ControlTest(@TempDir Path directory) throws Exception {
    mesh = new Mesh();
    path = directory.resolve("proxy.sock");
    server =
        new ControlServer(
            group,
            path,
            mesh.proxy,
            new Log(new PrintStream(new ByteArrayOutputStream(), true, StandardCharsets.UTF_8)));
  }

  @BeforeEach
  void isThere() {
    assertThat(path).exists();
  }

  @AfterEach
  void stop() throws Exception {
    server.close();
    mesh.close();
    group.shutdownGracefully(0, 1, TimeUnit.SECONDS).awaitUninterruptibly();
  }

  private SocketChannel connect() throws IOException {
    SocketChannel channel = SocketChannel.open(StandardProtocolFamily.UNIX);
    channel.connect(UnixDomainSocketAddress.of(path));
    return channel;
  }

  private static void send(SocketChannel channel, int length, int type, byte[] payload)
      throws IOException {
    ByteBuffer frame =
        ByteBuffer.allocate(5 + payload.length).putInt(length).put((byte) type).put(payload).flip();
    while (frame.hasRemaining()) {
      channel.write(frame);
    }
  }

  private record Reply(int type, String text) {}

  private static Reply ask(SocketChannel channel, int type, byte[] payload) throws IOException {
    send(channel, 1 + payload.length, type, payload);
    ByteBuffer head = read(channel, 5);
    int length = head.getInt() - 1;
    int answered = head.get() & 0xff;
    return new Reply(answered, StandardCharsets.UTF_8.decode(read(channel, length)).toString());
  }

  private static ByteBuffer read(SocketChannel channel, int size) throws IOException {
    ByteBuffer buffer = ByteBuffer.allocate(size);
    while (buffer.hasRemaining()) {
      if (channel.read(buffer) < 0) {
        throw new IOException("closed");
      }
    }
    return buffer.flip();
  }

  @Test
  void onlyTheOwnerMayOpenTheSocket() throws Exception {
    assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(path)))
        .isEqualTo("rw-------");
  }

  @Test
  void anUpdateIsPutInForceAndTheNextOneRefusedLeavesIt() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        SocketChannel control = connect()) {
      byte[] update =
          ProxyUpdateCodec.encode(
              mesh.update(
                  List.of(Mesh.route(Mesh.weighted(Mesh.any(), 1))),
                  List.of(),
                  List.of(),
                  List.of(),
                  backend.port()));
      assertThat(ask(control, 1, update)).isEqualTo(new Reply(128, ""));
      Reply refused = ask(control, 1, "nonsense".getBytes(StandardCharsets.US_ASCII));
      assertThat(refused.type()).isEqualTo(129);
      assertThat(refused.text()).contains("cannot be read", "same version");
      try (Client client = mesh.client()) {
        assertThat(client.get("/").status()).isEqualTo(200);
      }
      assertThat(ask(control, 2, new byte[0]).text()).contains("\"generation\":1,");
      assertThat(ask(control, 3, new byte[0]).text())
          .startsWith("# HELP istio_requests_total")
          .contains("weir_proxy_generation 1\n");
    }
  }

  @Test
  void requestsAreAnsweredInOrder() throws Exception {
    try (SocketChannel control = connect()) {
      send(control, 1, 2, new byte[0]);
      send(control, 1, 3, new byte[0]);
      send(control, 1, 2, new byte[0]);
      for (int type : List.of(130, 131, 130)) {
        ByteBuffer head = read(control, 5);
        int length = head.getInt() - 1;
        assertThat(head.get() & 0xff).isEqualTo(type);
        read(control, length);
      }
    }
  }

  @ParameterizedTest
  @CsvSource({
    "1, 99", // no such type
    "1, 0",
    "1, 128", // a reply
    "1, 16", // for the agent
    "2, 2", // STATUS with a payload
    "1, 4", // DRAIN without its time
    "0, 2", // no room for a type
    "-1, 2",
    "67108865, 1", // longer than 64 MiB
    "2147483647, 1"
  })
  void badFramesCloseTheConnection(int length, int type) throws Exception {
    try (SocketChannel control = connect()) {
      send(control, length, type, new byte[1]);
      assertThat(control.read(ByteBuffer.allocate(1))).isEqualTo(-1);
    }
    try (SocketChannel control = connect()) {
      assertThat(ask(control, 2, new byte[0]).type()).isEqualTo(130);
    }
  }

  @Test
  void aDrainIsAcknowledgedAndDone() throws Exception {
    try (SocketChannel control = connect()) {
      assertThat(ask(control, 4, new byte[8])).isEqualTo(new Reply(128, ""));
      assertThat(mesh.proxy.drained()).succeedsWithin(Duration.ofSeconds(5));
    }
  }

  @Test
  void whatIsOnTrialIsAskedAndWhatIsNotRolledBackIsNotReleased() throws Exception {
    mesh.distinct = true;
    mesh.traffic =
        List.of(
            new TrafficPolicy(
                Mesh.TRAFFIC_RULE,
                List.of(new TrafficPolicy.Target(TrafficPolicy.TargetKind.ROUTE, 1, "")),
                List.of(new TrafficPolicy.CanaryRollback("shop/cart-v2", 1, -1, 60, 10))));
    mesh.serve(Mesh.route(Mesh.weighted(Mesh.any(), 1, 1)), FreePorts.next(), FreePorts.next());
    try (SocketChannel channel = connect()) {
      Reply canaries = ask(channel, 7, new byte[0]);
      assertThat(canaries.type()).isEqualTo(130);
      assertThat(canaries.text()).startsWith("{\"canaries\":[{\"policy\":\"shop/limits\"");
      Reply refused = ask(channel, 8, "shop/cart shop/cart-v2".getBytes(StandardCharsets.UTF_8));
      assertThat(refused.type()).isEqualTo(129);
      assertThat(refused.text()).startsWith("nothing of route shop/cart is rolled back");
    }
  }
}
