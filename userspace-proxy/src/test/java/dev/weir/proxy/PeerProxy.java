// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import java.io.File;
import java.io.IOException;
import java.net.InetAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/** nginx or HAProxy as Debian packages them, each port before one backend. */
final class PeerProxy implements AutoCloseable {

  /** Seconds after which they give up on what does not come; 2 are enough on the loopback. */
  private static final int PATIENCE = 2;

  private final Process process;
  private final Path directory;
  private final List<Integer> ports;

  private PeerProxy(Process process, Path directory, List<Integer> ports) {
    this.process = process;
    this.directory = directory;
    this.ports = ports;
  }

  List<Integer> ports() {
    return ports;
  }

  /** Where {@code scripts/setup --with test} put it, or where it is installed. */
  static Optional<Path> find(String program) {
    List<Path> places = new ArrayList<>();
    String cache = System.getenv("XDG_CACHE_HOME");
    String bench = System.getenv("WEIR_BENCH_DIR");
    places.add(
        bench != null
            ? Path.of(bench, "bin")
            : Path.of(
                cache != null ? cache : System.getProperty("user.home") + "/.cache",
                "weir",
                "bench",
                "bin"));
    for (String place : System.getenv("PATH").split(File.pathSeparator, -1)) {
      places.add(Path.of(place));
    }
    places.add(Path.of("/usr/sbin"));
    return places.stream()
        .map(place -> place.resolve(program))
        .filter(Files::isExecutable)
        .findFirst();
  }

  static PeerProxy nginx(Path program, List<Integer> backends) throws Exception {
    Path directory = Files.createTempDirectory("weir-nginx");
    List<Integer> ports = ports(backends.size());
    StringBuilder text = new StringBuilder();
    text.append(
        """
        daemon off;
        master_process off;
        pid nginx.pid;
        error_log error.log;
        events {}
        http {
          access_log off;
          client_body_temp_path body;
          proxy_temp_path proxy;
          fastcgi_temp_path fastcgi;
          uwsgi_temp_path uwsgi;
          scgi_temp_path scgi;
          client_header_timeout %1$ds;
          client_body_timeout %1$ds;
          lingering_timeout 1s;
          proxy_http_version 1.1;
          proxy_request_buffering off;
          proxy_set_header Host $http_host;
          proxy_set_header Connection "";
        """
            .formatted(PATIENCE));
    for (int i = 0; i < ports.size(); i++) {
      text.append(
          """
            server {
              listen 127.0.0.1:%d;
              location / { proxy_pass http://127.0.0.1:%d; }
            }
          """
              .formatted(ports.get(i), backends.get(i)));
    }
    Path configuration = Files.writeString(directory.resolve("nginx.conf"), text.append("}\n"));
    return start(
        List.of(
            program.toString(),
            "-e",
            "error.log",
            "-p",
            directory.toString(),
            "-c",
            configuration.toString()),
        directory,
        ports);
  }

  static PeerProxy haproxy(Path program, List<Integer> backends) throws Exception {
    Path directory = Files.createTempDirectory("weir-haproxy");
    List<Integer> ports = ports(backends.size());
    StringBuilder text = new StringBuilder();
    text.append(
        """
        global
          maxconn 200
          nbthread 1
        defaults
          mode http
          timeout connect %1$ds
          timeout client %1$ds
          timeout server %1$ds
          timeout http-request %1$ds
        """
            .formatted(PATIENCE));
    for (int i = 0; i < ports.size(); i++) {
      text.append(
          """
          listen lane%d
            bind 127.0.0.1:%d
            server backend 127.0.0.1:%d
          """
              .formatted(i, ports.get(i), backends.get(i)));
    }
    Path configuration = Files.writeString(directory.resolve("haproxy.cfg"), text);
    return start(
        List.of(program.toString(), "-db", "-f", configuration.toString()), directory, ports);
  }

  private static List<Integer> ports(int count) throws IOException {
    List<Integer> ports = new ArrayList<>();
    while (ports.size() < count) {
      int port = FreePorts.next();
      if (!ports.contains(port)) {
        ports.add(port);
      }
    }
    return ports;
  }

  private static PeerProxy start(List<String> command, Path directory, List<Integer> ports)
      throws Exception {
    Path output = directory.resolve("output");
    Process process =
        new ProcessBuilder(command)
            .directory(directory.toFile())
            .redirectErrorStream(true)
            .redirectOutput(output.toFile())
            .start();
    PeerProxy peer = new PeerProxy(process, directory, ports);
    long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
    for (int port : ports) {
      while (!peer.listens(port)) {
        if (!process.isAlive() || System.nanoTime() > deadline) {
          String said = Files.readString(output, StandardCharsets.UTF_8);
          peer.close();
          throw new IOException(String.join(" ", command) + " does not listen: " + said);
        }
        Thread.sleep(20);
      }
    }
    return peer;
  }

  private boolean listens(int port) {
    try (Socket probe = new Socket(InetAddress.getLoopbackAddress(), port)) {
      return probe.isConnected();
    } catch (IOException notYet) {
      return false;
    }
  }

  @Override
  public void close() throws IOException {
    process.destroyForcibly();
    try {
      process.waitFor();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    try (Stream<Path> files = Files.walk(directory)) {
      for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
        Files.delete(file);
      }
    }
  }
}
