// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.agent;

import dev.weir.node.identity.IdentityDirectory;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.FileTime;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * How the proxy is started.
 *
 * @param java the {@code java} program
 * @param home what {@code make build} lays out: {@code lib/proxy}, {@code proxy.options} and, if
 *     there is one, {@code proxy.aot}
 * @param user numeric user and group id it runs as
 */
public record ProxyCommand(Path java, Path home, int user) {

  /**
   * A number that neither Debian's policy nor systemd gives to anybody (Debian Policy 9.2.2, 60000
   * to 64999 on request; systemd's dynamic users are 61184 to 65519, taken only if free).
   */
  public static final int DEFAULT_USER = 64186;

  /** The main class in the proxy's jars. */
  private static final String MAIN = "dev.weir.proxy.ProxyMain";

  /** Beside the directory of the socket, when the home itself is closed to the proxy's user. */
  static final String HOME_COPY = "proxy-home";

  private static final String LIBRARY = "lib/proxy";
  private static final String OPTIONS = "proxy.options";
  private static final String AOT = "proxy.aot";

  /** In the run directory: where what the proxy sees of the file system is put together. */
  static final String VIEW = "proxy-view";

  /**
   * Enters the cgroup before anything of the proxy runs, so that the kernel knows it from its first
   * socket on; leaves the terminal, so that Ctrl-C on the agent is not meant for the proxy; then
   * goes on with a mount namespace, or without one where that is refused, and there gives up every
   * privilege for good.
   */
  private static final String ENTER =
      """
      show=$1 procs=$2 view=$3
      shift 3
      echo 0 >"$procs" || exit 1
      ulimit -n 65536 2>/dev/null
      if unshare --mount --propagation private true; then
        exec setsid unshare --mount --propagation private \
          /bin/sh -c "$show" weir-proxy "$view" "$@"
      fi
      exec setsid /bin/sh -c "$show" weir-proxy "" "$@"
      """;

  /** Puts the proxy's own root directory together, and becomes the proxy in it. */
  static final String SHOW = resource("proxy-view.sh");

  /**
   * Starts it.
   *
   * @param directory of its own, becomes its working directory
   * @param socket to serve
   * @param cgroup to live in
   */
  Process start(Path directory, Path socket, Path cgroup) throws IOException {
    Path readable = readableHome(directory);
    List<String> command = new ArrayList<>();
    command.addAll(List.of("/bin/sh", "-c", ENTER, "weir-proxy", SHOW));
    command.add(cgroup.resolve("cgroup.procs").toString());
    command.add(Files.createDirectories(directory.resolveSibling(VIEW)).toString());
    command.add(directory.toString());
    command.add(Integer.toString(user));
    // The whole run directory, of which the proxy's user may read its part and the certificates:
    // these may come later than the proxy, and their directory may be made anew.
    command.add(directory.resolve("..").normalize().toString());
    command.add(java.resolve("../..").normalize().toString());
    command.add(readable.resolve(LIBRARY).toString());
    command.add(readable.resolve(OPTIONS).toString());
    command.add(readable.resolve(AOT).toString());
    command.add("--");
    command.add(java.toString());
    if (Files.exists(readable.resolve(OPTIONS))) {
      command.add("@" + readable.resolve(OPTIONS));
    }
    if (Files.exists(readable.resolve(AOT))) {
      command.add("-XX:AOTCache=" + readable.resolve(AOT));
    }
    // Where they are not, or may not be run from, Netty copies its own from the jars to /tmp.
    command.add("-Djava.library.path=" + readable.resolve(LIBRARY));
    command.addAll(List.of("-cp", classPath(readable.resolve(LIBRARY)), MAIN));
    command.addAll(List.of("--control", socket.toString()));
    command.addAll(
        List.of("--identities", directory.resolveSibling(IdentityDirectory.NAME).toString()));
    ProcessBuilder builder = new ProcessBuilder(command);
    builder.redirectInput(Path.of("/dev/null").toFile());
    builder.redirectOutput(ProcessBuilder.Redirect.INHERIT);
    builder.redirectError(ProcessBuilder.Redirect.INHERIT);
    builder.environment().keySet().retainAll(List.of("PATH", "TZ"));
    // One malloc arena: the JVM's threads would else take up to eight per processor.
    builder.environment().put("MALLOC_ARENA_MAX", "1");
    builder.environment().put("LANG", "C.UTF-8");
    return builder.start();
  }

  private static String resource(String name) {
    try (InputStream in = ProxyCommand.class.getResourceAsStream(name)) {
      return new String(Objects.requireNonNull(in, name).readAllBytes(), StandardCharsets.UTF_8);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Whether any of the files that a proxy is started from is younger than that. */
  boolean changedSince(Instant time) {
    try (Stream<Path> jars = Files.list(home.resolve(LIBRARY))) {
      return Stream.concat(jars, Stream.of(home.resolve(OPTIONS), home.resolve(AOT)))
          .filter(Files::isRegularFile)
          .anyMatch(file -> changed(file).isAfter(time));
    } catch (IOException | UncheckedIOException e) {
      return false; // Nothing to start another one from, at the moment.
    }
  }

  private static Instant changed(Path file) {
    try {
      // Not the time of modification, which a package brings along: when it came here.
      return ((FileTime) Files.getAttribute(file, "unix:ctime")).toInstant();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Sorted by name: an AOT cache fits only the order it was made with. */
  static String classPath(Path library) throws IOException {
    try (Stream<Path> jars = Files.list(library)) {
      String path =
          jars.map(Path::toString)
              .filter(name -> name.endsWith(".jar"))
              .sorted()
              .collect(Collectors.joining(":"));
      if (path.isEmpty()) {
        throw new IOException("no jars in " + library + "; run: make build");
      }
      return path;
    }
  }

  /**
   * The home where the proxy's user can read it. A checkout in a home directory that is closed to
   * others is not such a place: then what the proxy needs is copied beside its socket, with its
   * times, which an AOT cache compares.
   */
  private Path readableHome(Path directory) throws IOException {
    if (!Files.isDirectory(home.resolve(LIBRARY))) {
      throw new IOException("no proxy in " + home.resolve(LIBRARY) + "; run: make build");
    }
    if (open(home.resolve(LIBRARY))) {
      return home;
    }
    Path copy = directory.resolveSibling(HOME_COPY);
    Path library = copy.resolve(LIBRARY);
    Files.createDirectories(library);
    for (Path each : List.of(copy, copy.resolve("lib"), library)) {
      Files.setPosixFilePermissions(each, PosixFilePermissions.fromString("rwxr-xr-x"));
    }
    List<Path> files;
    try (Stream<Path> jars = Files.list(home.resolve(LIBRARY))) {
      files = Stream.concat(jars, Stream.of(home.resolve(OPTIONS), home.resolve(AOT))).toList();
    }
    for (Path file : files) {
      if (Files.isRegularFile(file)) {
        Path target = copy.resolve(home.relativize(file));
        Files.copy(
            file, target, StandardCopyOption.REPLACE_EXISTING, StandardCopyOption.COPY_ATTRIBUTES);
        Files.setPosixFilePermissions(target, PosixFilePermissions.fromString("rw-r--r--"));
      }
    }
    return copy;
  }

  /** Whether everybody may pass through every directory down to this one. */
  private static boolean open(Path directory) throws IOException {
    for (Path each = directory.toRealPath(); each != null; each = each.getParent()) {
      if (!Files.getPosixFilePermissions(each, LinkOption.NOFOLLOW_LINKS)
          .contains(PosixFilePermission.OTHERS_EXECUTE)) {
        return false;
      }
    }
    return true;
  }
}
