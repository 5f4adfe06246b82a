// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import dev.weir.node.bpf.BpfException;
import dev.weir.node.bpf.Errno;
import dev.weir.node.bpf.MemoryProgram;
import dev.weir.policy.plan.Settings;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.function.LongSupplier;

/**
 * Two workloads of our own that connect to the same listener: one may, the other may not. Whatever
 * else is compared, this is what an application would meet: programs that are pinned and attached
 * and have the right entries, and are not asked, are found by nothing else.
 *
 * <p>The workloads are {@code WEIR_CANARY_ALLOWED} and {@code WEIR_CANARY_REFUSED} of {@code
 * weir/types.h}: the first is isolated from nobody, the second from everybody. They are in every
 * generation that governs somebody, and in no plan.
 */
final class Canary {

  /** Workload, and identity, that may reach the host. */
  static final int ALLOWED = 5;

  /** Workload, and identity, that may reach nobody. */
  static final int REFUSED = 6;

  private static final String PROGRAM = "/dev/weir/bpf/canary";
  private static final int PATIENCE_SECONDS = 15; // more than all its own together
  private static final Set<Integer> REFUSALS =
      Set.of(Errno.EPERM.number(), Errno.ECONNREFUSED.number());

  private static final int NOT_TRIED = -1;
  private static final List<String> FAMILIES = List.of("IPv4", "IPv6");

  private Canary() {}

  /** Where the one lives that may: beside the proxy. */
  static String allowedCgroup(Settings settings) {
    return beside(settings, "weir-canary-allowed");
  }

  /** Where the one lives that may not. */
  static String refusedCgroup(Settings settings) {
    return beside(settings, "weir-canary-refused");
  }

  private static String beside(Settings settings, String name) {
    String proxy = settings.proxyCgroup();
    return proxy.substring(0, proxy.lastIndexOf('/') + 1) + name;
  }

  /**
   * Lets both connect, over IPv4 and IPv6 as far as this node has them.
   *
   * @param allowed directory of the one's cgroup
   * @param refused of the other's
   * @param counted how many connects of the second the kernel's programs have refused until now
   * @return what was not as it must be, one sentence each
   */
  static List<String> connect(Path allowed, Path refused, LongSupplier counted) {
    try (MemoryProgram program = MemoryProgram.of("weir-canary", program());
        ServerSocket four = new ServerSocket(0, 0, InetAddress.ofLiteral("127.0.0.1"));
        Six six = Six.listen()) {
      long before = counted.getAsLong();
      int[] answers = run(program.path(), allowed, refused, four.getLocalPort(), six.port());
      List<String> wrong = new ArrayList<>();
      long refusals = 0;
      for (int family = 0; family < FAMILIES.size(); family++) {
        String over = " over " + FAMILIES.get(family);
        int may = answers[family];
        int mayNot = answers[family + FAMILIES.size()];
        if (may > 0) {
          wrong.add("a connect" + over + " that is allowed failed: " + described(may));
        }
        if (mayNot == 0) {
          wrong.add("a connect" + over + " that is refused to everybody was made");
        } else if (REFUSALS.contains(mayNot)) {
          refusals++;
        } else if (mayNot != NOT_TRIED) {
          wrong.add("a connect" + over + " that is to be refused failed: " + described(mayNot));
        }
      }
      if (wrong.isEmpty() && counted.getAsLong() - before < refusals) {
        wrong.add(
            "what was refused was not refused by the programs of Weir: they did not count it");
      }
      return wrong;
    } catch (IOException | UncheckedIOException | BpfException e) {
      return List.of("it could not be tried: " + e.getMessage());
    }
  }

  private static String described(int errno) {
    return "errno " + errno + ", " + Errno.of(errno).meaning();
  }

  /** A listener of IPv6, on a node that has it. */
  private record Six(Optional<ServerSocket> socket) implements AutoCloseable {

    static Six listen() {
      try {
        return new Six(Optional.of(new ServerSocket(0, 0, InetAddress.ofLiteral("::1"))));
      } catch (IOException e) {
        return new Six(Optional.empty()); // net.ipv6.conf.all.disable_ipv6
      }
    }

    int port() {
      return socket.map(ServerSocket::getLocalPort).orElse(0);
    }

    @Override
    public void close() throws IOException {
      if (socket.isPresent()) {
        socket.get().close();
      }
    }
  }

  private static byte[] program() throws IOException {
    try (InputStream resource = Canary.class.getResourceAsStream(PROGRAM)) {
      if (resource == null) {
        throw new IOException(
            PROGRAM + " is not on the class path: the jar bpf-programs is incomplete; build it");
      }
      return resource.readAllBytes();
    }
  }

  private static int[] run(Path program, Path allowed, Path refused, int four, int six)
      throws IOException {
    Process process =
        new ProcessBuilder(
                program.toString(),
                allowed.toString(),
                refused.toString(),
                Integer.toString(four),
                Integer.toString(six))
            .redirectErrorStream(true)
            .start();
    try {
      process.getOutputStream().close();
      if (!process.waitFor(PATIENCE_SECONDS, TimeUnit.SECONDS)) {
        throw new IOException("no answer within " + PATIENCE_SECONDS + " s");
      }
      String said =
          new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8).strip();
      if (process.exitValue() != 0) {
        throw new IOException(said);
      }
      return Arrays.stream(said.split(" ", -1)).mapToInt(Integer::parseInt).toArray();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IOException("interrupted", e);
    } finally {
      process.destroyForcibly();
    }
  }
}
