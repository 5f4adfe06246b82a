// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.route.RequestTarget;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.InetAddress;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import java.util.SplittableRandom;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;
import org.junit.jupiter.api.io.TempDir;

/**
 * Bytes that nobody thought of, for as long as {@code make fuzz} says. Whatever comes, the proxy
 * goes on serving others, does not run out of memory, and what reaches a backend has one reading.
 * Its name is not one of those that every run of the tests takes. A failure names the seed of its
 * round, with which {@code weir.fuzz.seed} begins again, and the bytes.
 */
@EnabledIfSystemProperty(named = "weir.fuzz.seconds", matches = "[0-9]+")
final class ProxyFuzz {

  private static final List<String> TOKENS =
      List.of(
          "\r\n",
          "\n",
          "\r",
          " ",
          "\t",
          ":",
          "\0",
          "0\r\n\r\n",
          "Content-Length: 5\r\n",
          "Transfer-Encoding: chunked\r\n",
          "Host: cart\r\n",
          "Connection: upgrade\r\n",
          "Upgrade: websocket\r\n",
          "Expect: 100-continue\r\n",
          "HTTP/1.0",
          "HTTP/1.1",
          "%2e%2e/",
          "%00",
          "..",
          "//",
          "*",
          "http://cart/",
          "GET ",
          "POST ",
          "HEAD ",
          "\u00e9",
          ";a=b",
          "ffffffff");

  /** One target: makes what is sent. */
  @FunctionalInterface
  interface Making {
    byte[] make(SplittableRandom random);
  }

  private static long end() {
    return System.nanoTime() + TimeUnit.SECONDS.toNanos(Long.getLong("weir.fuzz.seconds", 60L));
  }

  private static long firstSeed() {
    return Long.getLong("weir.fuzz.seed", System.nanoTime());
  }

  private static void fuzz(Making making) throws Exception {
    Recorder recorder = new Recorder();
    try (RawBackend backend = new RawBackend(recorder);
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      long seed = firstSeed();
      long rounds = 0;
      for (long end = end(); System.nanoTime() < end; seed++) {
        byte[] bytes = making.make(new SplittableRandom(seed));
        send(mesh.port, bytes, new SplittableRandom(seed));
        String what = "seed " + seed + ": " + HexFormat.of().formatHex(bytes);
        for (Recorder.Arrived one : recorder.take()) {
          assertThat(one.doubts()).as(what).isEmpty();
        }
        if (++rounds % 16 == 0) {
          HostileClient.settle(mesh.port);
          assertThat(mesh.log()).as(what).doesNotContain("Exception").doesNotContain("Error");
          assertThat(direct(mesh)).as(what).isLessThan(96 << 20);
          recorder.take();
        }
      }
      System.err.println("fuzz: " + rounds + " rounds, the last of seed " + (seed - 1));
    }
  }

  private static long direct(Mesh mesh) {
    return mesh.proxy
        .metrics()
        .lines()
        .filter(l -> l.startsWith("weir_proxy_direct_memory_used_bytes "))
        .mapToLong(l -> Long.parseLong(l.substring(l.indexOf(' ') + 1)))
        .sum();
  }

  /** In one piece or several, and then what comes back until nothing does. */
  private static void send(int port, byte[] bytes, SplittableRandom random) throws IOException {
    try (Socket socket = new Socket(InetAddress.getLoopbackAddress(), port)) {
      exchange(socket, bytes, random);
    }
  }

  private static void exchange(Socket socket, byte[] bytes, SplittableRandom random) {
    try {
      socket.setTcpNoDelay(true);
      int cut = random.nextInt(bytes.length + 1);
      socket.getOutputStream().write(bytes, 0, cut);
      socket.getOutputStream().write(bytes, cut, bytes.length - cut);
      if (random.nextInt(4) > 0) {
        socket.shutdownOutput();
      }
      socket.setSoTimeout(20);
      byte[] some = new byte[65_536];
      while (socket.getInputStream().read(some) > 0) {
        // Whatever it says.
      }
    } catch (SocketTimeoutException nothingMore) {
      // It waits for the rest.
    } catch (IOException gone) {
      // It may end whatever it does not like, in the middle of our writing.
    }
  }

  private static byte[] mutated(byte[] bytes, SplittableRandom random) {
    byte[] made = bytes;
    for (int i = random.nextInt(6); i >= 0; i--) {
      made = once(made, random);
    }
    return made;
  }

  private static byte[] once(byte[] bytes, SplittableRandom random) {
    int at = random.nextInt(bytes.length + 1);
    int to = Math.min(bytes.length, at + random.nextInt(1, 16));
    ByteArrayOutputStream made = new ByteArrayOutputStream();
    made.write(bytes, 0, at);
    switch (random.nextInt(5)) {
      case 0 -> made.write(bytes, to, bytes.length - to);
      case 1 -> {
        made.write(bytes, at, to - at);
        made.write(bytes, at, bytes.length - at);
      }
      case 2 -> {
        made.writeBytes(
            TOKENS.get(random.nextInt(TOKENS.size())).getBytes(StandardCharsets.ISO_8859_1));
        made.write(bytes, at, bytes.length - at);
      }
      case 3 -> {
        made.write(random.nextInt(256));
        made.write(bytes, Math.min(bytes.length, at + 1), Math.max(0, bytes.length - at - 1));
      }
      default -> {
        byte[] rest = Arrays.copyOfRange(bytes, at, bytes.length);
        if (rest.length > 0) {
          rest[random.nextInt(rest.length)] ^= (byte) (1 << random.nextInt(8));
        }
        made.writeBytes(rest);
      }
    }
    return made.toByteArray();
  }

  @Test
  void requests() throws Exception {
    List<HostileRequest> corpus = HostileRequest.all();
    fuzz(
        random -> {
          String one = corpus.get(random.nextInt(corpus.size())).sent();
          return mutated(one.getBytes(StandardCharsets.ISO_8859_1), random);
        });
  }

  @TempDir Path directory;

  /** Frames within a tunnel's TLS, from a node that has a certificate. */
  @Test
  void tunnels() throws Exception {
    Authority authority = new Authority(directory, "right");
    Identities.issue(authority, "shop/web");
    Identities.issue(authority, "shop/cart");
    Recorder recorder = new Recorder();
    try (RawBackend backend = new RawBackend(recorder);
        TunnelNode node =
            new TunnelNode(
                new Identities(Files.createDirectories(directory.resolve("node")))
                    .believe(authority)
                    .put(authority, "shop/cart"))) {
      TunnelNode.Policy policy = new TunnelNode.Policy();
      policy.port = backend.port();
      policy.cart = true;
      policy.account = "shop/cart";
      node.apply(policy);
      long seed = firstSeed();
      long rounds = 0;
      for (long end = end(); System.nanoTime() < end; seed++, rounds++) {
        SplittableRandom random = new SplittableRandom(seed);
        byte[] bytes = mutated(session(random), random);
        try (Socket socket = authority.connectAs("shop/web", node.tunnels, "h2")) {
          exchange(socket, bytes, random);
        }
        assertThat(node.log())
            .as("seed %s: %s", seed, HexFormat.of().formatHex(bytes))
            .doesNotContain("Exception");
      }
      System.err.println("fuzz: " + rounds + " tunnels, the last of seed " + (seed - 1));
    }
  }

  @Test
  void frames() throws Exception {
    fuzz(random -> mutated(session(random), random));
  }

  /** A preface, and frames of which most could be. */
  private static byte[] session(SplittableRandom random) {
    ByteArrayOutputStream made = new ByteArrayOutputStream();
    made.writeBytes(Http2Peer.PREFACE);
    frame(made, Http2Peer.SETTINGS, 0, 0, new byte[6 * random.nextInt(3)]);
    int stream = 1;
    for (int i = random.nextInt(12); i >= 0; i--) {
      int type = random.nextInt(11);
      int flags = random.nextInt(3) == 0 ? random.nextInt(256) : 4 | random.nextInt(2);
      byte[] payload = new byte[random.nextInt(64)];
      if (type == Http2Peer.HEADERS) {
        // GET, http and / of the static table, and an authority.
        payload = new byte[] {(byte) 0x82, (byte) 0x86, (byte) 0x84, 0x41, 4, 'c', 'a', 'r', 't'};
      } else {
        random.nextBytes(payload);
      }
      frame(made, type, flags, type == Http2Peer.SETTINGS ? 0 : stream, payload);
      if (random.nextInt(3) == 0) {
        stream += 2;
      }
    }
    return made.toByteArray();
  }

  private static void frame(
      ByteArrayOutputStream to, int type, int flags, int stream, byte[] payload) {
    ByteBuffer header = ByteBuffer.allocate(9);
    header.put((byte) 0).putShort((short) payload.length);
    header.put((byte) type).put((byte) flags).putInt(stream);
    to.writeBytes(header.array());
    to.writeBytes(payload);
  }

  /**
   * What a target is taken for is what it stays when it is read once more by somebody behind us.
   */
  @Test
  void targets() {
    long seed = firstSeed();
    long rounds = 0;
    List<String> beginnings =
        List.of("/", "/a/b/../c", "/a%2Fb/./c?d=e", "//x//y", "/%7Euser/..%2f");
    for (long end = end(); System.nanoTime() < end; seed++, rounds++) {
      SplittableRandom random = new SplittableRandom(seed);
      String text =
          new String(
              mutated(
                  beginnings
                      .get(random.nextInt(beginnings.size()))
                      .getBytes(StandardCharsets.ISO_8859_1),
                  random),
              StandardCharsets.ISO_8859_1);
      Optional<RequestTarget> parsed = RequestTarget.parse(text);
      if (parsed.isPresent()) {
        RequestTarget target = parsed.get();
        assertThat(RequestTarget.parse(target.text()))
            .as("seed %s: %s", seed, text)
            .contains(target);
        assertThat(List.of(target.path().split("/", -1)))
            .as("seed %s: %s", seed, text)
            .doesNotContain(".", "..");
        assertThat(target.path()).as("seed %s: %s", seed, text).startsWith("/").matches("[!-~]+");
      }
    }
    System.err.println("fuzz: " + rounds + " targets, the last of seed " + (seed - 1));
  }
}
