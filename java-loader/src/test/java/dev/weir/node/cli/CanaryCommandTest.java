// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.Channels;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;

final class CanaryCommandTest {

  private static final String TWO =
      """
      {"canaries":[{"policy":"shop/p","route":"HTTPRoute shop/cart","rule":"",\
      "backend":"shop/cart-v2","rolled_back":true,"at":"2026-01-01T00:00:00Z","reason":"bad"},\
      {"policy":"shop/p","route":"HTTPRoute shop/cart","rule":"small",\
      "backend":"shop/cart-v3","rolled_back":false}]}\
      """;

  @TempDir private Path directory;

  private final StringWriter out = new StringWriter();
  private final StringWriter err = new StringWriter();
  private final ConcurrentLinkedQueue<String> asked = new ConcurrentLinkedQueue<>();

  private int run(String... arguments) {
    CommandLine line = Weir.commandLine();
    line.setOut(new PrintWriter(out, true));
    line.setErr(new PrintWriter(err, true));
    String[] all = List.of(arguments).toArray(new String[arguments.length + 1]);
    all[arguments.length] = "--run-dir=" + directory;
    return line.execute(all);
  }

  /** A proxy that answers one frame. */
  private ServerSocketChannel proxy(int type, String answer) throws IOException {
    Path socket = Files.createDirectories(directory.resolve("proxy")).resolve("proxy.sock");
    ServerSocketChannel server = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
    server.bind(UnixDomainSocketAddress.of(socket));
    Thread.ofVirtual()
        .start(
            () -> {
              try (SocketChannel client = server.accept()) {
                DataInputStream in = new DataInputStream(Channels.newInputStream(client));
                byte[] frame = in.readNBytes(in.readInt());
                asked.add(
                    frame[0]
                        + " "
                        + new String(frame, 1, frame.length - 1, StandardCharsets.UTF_8));
                DataOutputStream reply = new DataOutputStream(Channels.newOutputStream(client));
                byte[] text = answer.getBytes(StandardCharsets.UTF_8);
                reply.writeInt(1 + text.length);
                reply.writeByte(type);
                reply.write(text);
                reply.flush();
              } catch (IOException e) {
                asked.add(e.toString());
              }
            });
    return server;
  }

  @Test
  void whatIsOnTrialAndWhatWasRolledBackIsListed() throws IOException {
    try (ServerSocketChannel server = proxy(130, TWO)) {
      assertThat(run("canary", "list")).isZero();
      assertThat(server.isOpen()).isTrue();
    }
    assertThat(asked).containsExactly("7 ");
    assertThat(out.toString().lines())
        .containsExactly(
            "shop/cart-v2 of HTTPRoute shop/cart by TrafficPolicy shop/p: rolled back at"
                + " 2026-01-01T00:00:00Z: bad",
            "shop/cart-v3 of HTTPRoute shop/cart, rule small by TrafficPolicy shop/p: on trial");
  }

  @Test
  void oneIsReleasedByRouteAndBackend() throws IOException {
    try (ServerSocketChannel server = proxy(130, "{\"released\":1}")) {
      assertThat(run("canary", "release", "shop/cart", "shop/cart-v2")).isZero();
      assertThat(server.isOpen()).isTrue();
    }
    assertThat(asked).containsExactly("8 shop/cart shop/cart-v2");
    assertThat(out.toString()).isEqualTo("released: shop/cart-v2\n");
  }

  @Test
  void whereNothingIsRolledBackNothingIsReleased() throws IOException {
    try (ServerSocketChannel server = proxy(129, "nothing of route shop/cart is rolled back")) {
      assertThat(run("canary", "release", "shop/cart")).isEqualTo(ExitCode.REFUSED);
      assertThat(server.isOpen()).isTrue();
    }
    assertThat(asked).containsExactly("8 shop/cart");
    assertThat(out.toString()).contains("nothing of route shop/cart is rolled back");
  }

  @Test
  void withoutAProxyTheSocketIsNamed() {
    assertThat(run("canary", "list")).isNotZero();
    assertThat(err.toString()).contains("proxy.sock: no proxy answers");
  }
}
