// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.agent;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Collections;
import java.util.List;
import java.util.jar.JarEntry;
import java.util.jar.JarOutputStream;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;

/** The proxy's own module as {@code make build} lays it out, for tests that need what it does. */
final class RealProxy {

  private static final Path OPTIONS =
      Path.of("..", "userspace-proxy", "src", "main", "launch", "proxy.options");

  /** What the proxy has for libraries, among all that tests have. */
  private static final Pattern LIBRARY =
      Pattern.compile("(policy-compiler|userspace-proxy|netty|HdrHistogram|re2j)-.*\\.jar");

  private RealProxy() {}

  /** Whether a directory holds the classes of the proxy. */
  static boolean isIn(Path classes) {
    return Files.isRegularFile(classes.resolve("dev/weir/proxy/Proxy.class"));
  }

  private static boolean isPolicyIn(Path classes) {
    return Files.isRegularFile(classes.resolve("dev/weir/policy/plan/Plan.class"));
  }

  /**
   * Lays it out, without an AOT cache.
   *
   * @return the directory, which every user may pass through if he may come to it
   */
  static Path home(Path directory) throws IOException {
    Path library = Files.createDirectories(directory.resolve("lib/proxy"));
    boolean found = false;
    for (String entry : System.getProperty("java.class.path").split(":", -1)) {
      Path path = Path.of(entry);
      if (Files.isDirectory(path) && (isIn(path) || isPolicyIn(path))) {
        pack(path, library.resolve(isIn(path) ? "userspace-proxy.jar" : "policy-compiler.jar"));
      } else if (LIBRARY.matcher(path.getFileName().toString()).matches()) {
        Files.copy(path, library.resolve(path.getFileName()), StandardCopyOption.REPLACE_EXISTING);
        natives(path, library);
      }
      found |= path.getFileName().toString().startsWith("userspace-proxy") || isIn(path);
    }
    if (!found) {
      throw new IOException("the proxy's module is not on the class path of these tests");
    }
    Files.copy(OPTIONS, directory.resolve("proxy.options"));
    for (Path each : List.of(directory, library.getParent(), library)) {
      Files.setPosixFilePermissions(each, PosixFilePermissions.fromString("rwxr-xr-x"));
    }
    return directory;
  }

  /** Lays the libraries out that a jar carries. */
  private static void natives(Path jar, Path library) throws IOException {
    try (ZipFile from = new ZipFile(jar.toFile())) {
      for (ZipEntry entry : Collections.list(from.entries())) {
        if (entry.getName().endsWith(".so")) {
          try (InputStream in = from.getInputStream(entry)) {
            Files.copy(in, library.resolve(Path.of(entry.getName()).getFileName()));
          }
        }
      }
    }
  }

  private static void pack(Path classes, Path target) throws IOException {
    try (JarOutputStream jar = new JarOutputStream(Files.newOutputStream(target));
        Stream<Path> files = Files.walk(classes)) {
      for (Path file : files.filter(Files::isRegularFile).toList()) {
        jar.putNextEntry(new JarEntry(classes.relativize(file).toString()));
        Files.copy(file, jar);
        jar.closeEntry();
      }
    }
  }
}
