// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import dev.weir.policy.plan.ProxyUpdate;
import dev.weir.policy.plan.ProxyUpdateCodec;
import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/**
 * The proxy as a process of its own, with the JVM options that it is shipped with, and the side of
 * its control socket that the supervisor has.
 */
final class ProxyProcess implements AutoCloseable {

  private static final Duration START = Duration.ofSeconds(30);

  private final Process process;
  private Path socket;

  private ProxyProcess(Process process, Path socket) {
    this.process = process;
    this.socket = socket;
  }

  /** Starts one, and waits until it answers. */
  static ProxyProcess start(Path socket, String... options)
      throws IOException, InterruptedException {
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    command.add("@" + Path.of("src", "main", "launch", "proxy.options").toAbsolutePath());
    command.addAll(List.of("-cp", System.getProperty("java.class.path")));
    command.add(ProxyMain.class.getName());
    command.addAll(List.of("--control", socket.toString()));
    command.addAll(List.of(options));
    ProcessBuilder builder = new ProcessBuilder(command);
    Path log = Path.of(socket + ".log");
    builder.redirectErrorStream(true);
    builder.redirectOutput(ProcessBuilder.Redirect.appendTo(log.toFile()));
    builder.environment().put("MALLOC_ARENA_MAX", "1");
    ProxyProcess started = new ProxyProcess(builder.start(), socket);
    long deadline = System.nanoTime() + START.toNanos();
    while (!started.answers()) {
      if (!started.process.isAlive() || System.nanoTime() > deadline) {
        started.close();
        throw new IOException("the proxy does not answer: " + Files.readString(log));
      }
      Thread.sleep(5);
    }
    return started;
  }

  private boolean answers() {
    if (!Files.exists(socket)) {
      return false;
    }
    try {
      return ask(2, new byte[0]).type() == 130;
    } catch (IOException notYet) {
      return false;
    }
  }

  /** A frame that came back. */
  record Reply(int type, String text) {}

  Reply ask(int type, byte[] payload) throws IOException {
    try (SocketChannel channel = SocketChannel.open(StandardProtocolFamily.UNIX)) {
      channel.connect(UnixDomainSocketAddress.of(socket));
      ByteBuffer frame =
          ByteBuffer.allocate(5 + payload.length)
              .putInt(1 + payload.length)
              .put((byte) type)
              .put(payload)
              .flip();
      while (frame.hasRemaining()) {
        channel.write(frame);
      }
      ByteBuffer head = read(channel, 5);
      int length = head.getInt() - 1;
      int answered = head.get() & 0xff;
      return new Reply(answered, StandardCharsets.UTF_8.decode(read(channel, length)).toString());
    }
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

  private void must(int type, byte[] payload) throws IOException {
    Reply reply = ask(type, payload);
    if (reply.type() != 128) {
      throw new IOException(reply.type() + ": " + reply.text());
    }
  }

  void update(ProxyUpdate update) throws IOException {
    must(1, ProxyUpdateCodec.encode(update));
  }

  String metrics() throws IOException {
    return ask(3, new byte[0]).text();
  }

  String status() throws IOException {
    return ask(2, new byte[0]).text();
  }

  void drain(Duration time) throws IOException {
    must(4, ByteBuffer.allocate(8).putLong(time.toMillis()).array());
  }

  /** Has it hand its listeners to a successor that waits for its first plan. */
  void handOver(Path descriptors) throws IOException {
    must(6, descriptors.toString().getBytes(StandardCharsets.UTF_8));
  }

  /** Its sockets have been given other names. */
  void movedTo(Path now) {
    socket = now;
  }

  boolean isAlive() {
    return process.isAlive();
  }

  boolean ended(Duration within) throws InterruptedException {
    return process.waitFor(within.toMillis(), TimeUnit.MILLISECONDS);
  }

  void kill() {
    process.destroyForcibly();
  }

  @Override
  public void close() {
    process.destroyForcibly();
    try {
      process.waitFor();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }
}
