// SPDX-License-Identifier: Apache-2.0
package dev.weir.perf;

import dev.weir.perf.measure.MeasureException;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/**
 * What one run may use; {@code bench.sh} makes it and takes it away.
 *
 * @param files directory for configurations, logs and sockets
 * @param cgroup cgroup2 directory below which every process of the run lives
 * @param pins directory for pins; does not exist yet
 * @param peers directory with the peers' programs in {@code bin/}
 * @param checkout root of the project
 * @param jdk home of the JDK that runs Weir
 */
public record Workspace(Path files, Path cgroup, Path pins, Path peers, Path checkout, Path jdk) {

  /** As {@code bench.sh} says in the environment. */
  static Workspace of(Map<String, String> environment) throws MeasureException {
    return new Workspace(
        path(environment, "WEIR_BENCH_WORK"),
        path(environment, "WEIR_BENCH_CGROUP"),
        path(environment, "WEIR_BENCH_PINS"),
        path(environment, "WEIR_BENCH_DIR"),
        Path.of("").toAbsolutePath(),
        path(environment, "WEIR_BENCH_JDK"));
  }

  private static Path path(Map<String, String> environment, String name) throws MeasureException {
    String value = environment.get(name);
    if (value == null) {
      throw new MeasureException(
          name + " is not set: start the benchmarks with perf-tests/bench.sh");
    }
    return Path.of(value);
  }

  /** One of the peers' programs. */
  public String peer(String name) {
    return peers.resolve("bin").resolve(name).toString();
  }

  /** The command that runs a class of this classpath, lacking its name and arguments. */
  public List<String> java() {
    return List.of(
        jdk.resolve("bin/java").toString(),
        "-XX:+UseSerialGC",
        "-Xmx512m",
        "--enable-native-access=ALL-UNNAMED",
        "--sun-misc-unsafe-memory-access=allow",
        "-cp",
        checkout.resolve("perf-tests/target/classes")
            + ":"
            + checkout.resolve("perf-tests/target/lib")
            + "/*");
  }

  /**
   * The environment of a {@code weir} command that keeps to this run's places.
   *
   * @param root the cgroup it governs
   */
  public Map<String, String> weir(Path root) {
    return Map.of(
        "JAVA_HOME", jdk.toString(),
        "WEIR_PIN_DIR", pins.toString(),
        "WEIR_RUN_DIR", files.resolve("run").toString(),
        "WEIR_STATE_DIR", files.resolve("state").toString(),
        "WEIR_CGROUP_ROOT", root.toString());
  }

  /** A cgroup of this run, made if need be. */
  public Path cgroup(String name) throws MeasureException {
    try {
      return Files.createDirectories(cgroup.resolve(name));
    } catch (IOException e) {
      throw new MeasureException("cannot make cgroup " + name + ": " + e.getMessage(), e);
    }
  }

  /** Writes a file of this run. */
  public Path write(String name, String content) throws MeasureException {
    try {
      Path file = files.resolve(name);
      Files.createDirectories(files.resolve(name).getParent());
      return Files.writeString(file, content);
    } catch (IOException e) {
      throw new MeasureException("cannot write " + name + ": " + e.getMessage(), e);
    }
  }

  /** A TCP port of loopback that nobody listens on. */
  public static int freePort() throws MeasureException {
    try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.ofLiteral("127.0.0.1"))) {
      return socket.getLocalPort();
    } catch (IOException e) {
      throw new MeasureException("no free port on 127.0.0.1: " + e.getMessage(), e);
    }
  }
}
