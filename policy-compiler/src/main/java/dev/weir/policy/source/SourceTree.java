// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.source;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileVisitOption;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.stream.Stream;

/**
 * The files to compile, sorted by name.
 *
 * @param files sorted by name
 * @param problems what kept a file from being read
 */
public record SourceTree(List<SourceFile> files, List<Diagnostic> problems) {

  /** Most files a tree may hold. */
  public static final int MAX_FILES = 50_000;

  /** Largest file, bytes. */
  public static final int MAX_FILE_BYTES = 32 << 20;

  /** All files together, bytes. */
  public static final long MAX_BYTES = 256L << 20;

  static final int MAX_DEPTH = 32;

  /** Sorts and copies. */
  public SourceTree {
    files = files.stream().sorted(Comparator.comparing(SourceFile::name)).toList();
    problems = List.copyOf(problems);
  }

  /** One file of this text, for tests and tools. */
  public static SourceTree of(String name, String text) {
    return new SourceTree(
        List.of(new SourceFile(name, text.getBytes(StandardCharsets.UTF_8))), List.of());
  }

  /** These files and others. */
  public SourceTree with(SourceTree others) {
    List<SourceFile> all = new ArrayList<>(files);
    all.addAll(others.files);
    List<Diagnostic> both = new ArrayList<>(problems);
    both.addAll(others.problems);
    return new SourceTree(all, both);
  }

  /**
   * Reads a file, or every {@code .yaml}, {@code .yml} and {@code .json} file below a directory.
   * Names that begin with a dot are passed over, as Kubernetes' mounted volumes keep older versions
   * under such names. What cannot be read is one of the {@link #problems}.
   */
  public static SourceTree read(Path root) {
    List<SourceFile> files = new ArrayList<>();
    Diagnostics problems = new Diagnostics();
    if (Files.isDirectory(root)) {
      try (Stream<Path> paths = Files.walk(root, MAX_DEPTH, FileVisitOption.FOLLOW_LINKS)) {
        List<Path> wanted =
            paths
                .filter(p -> wanted(root, p))
                .limit(MAX_FILES + 1L)
                .sorted(Comparator.comparing(Path::toString))
                .toList();
        if (wanted.size() > MAX_FILES) {
          fail(problems, root, "more than " + MAX_FILES + " files", "split the directory");
        } else {
          readAll(wanted, files, problems);
        }
      } catch (IOException | java.io.UncheckedIOException e) {
        fail(problems, root, "cannot be read: " + reason(e), "check its permissions");
      }
    } else if (Files.isRegularFile(root)) {
      readAll(List.of(root), files, problems);
    } else {
      fail(problems, root, "there is no such file or directory", "name a directory of YAML files");
    }
    return new SourceTree(files, problems.errors());
  }

  private static boolean wanted(Path root, Path path) {
    for (Path part : root.relativize(path)) {
      if (part.toString().startsWith(".")) {
        return false;
      }
    }
    return hasWantedName(path.toString()) && Files.isRegularFile(path);
  }

  static boolean hasWantedName(String path) {
    String name = path.toLowerCase(Locale.ROOT);
    return name.endsWith(".yaml") || name.endsWith(".yml") || name.endsWith(".json");
  }

  private static void readAll(List<Path> paths, List<SourceFile> files, Diagnostics problems) {
    long left = MAX_BYTES;
    for (Path path : paths) {
      try (InputStream in = Files.newInputStream(path)) {
        byte[] content = in.readNBytes(MAX_FILE_BYTES + 1);
        left -= content.length;
        if (content.length > MAX_FILE_BYTES || left < 0) {
          fail(
              problems,
              path,
              "too large: at most "
                  + (MAX_FILE_BYTES >> 20)
                  + " MiB a file and "
                  + (MAX_BYTES >> 20)
                  + " MiB in all",
              "split the file, or leave out what is no policy");
          return;
        }
        files.add(new SourceFile(path.toString(), content));
      } catch (IOException e) {
        fail(problems, path, "cannot be read: " + reason(e), "check its permissions");
      }
    }
  }

  private static String reason(Exception e) {
    return e.getClass().getSimpleName() + (e.getMessage() == null ? "" : " " + e.getMessage());
  }

  private static void fail(Diagnostics problems, Path path, String message, String remedy) {
    problems.error(new Position(path.toString(), 0, 0), "", message, remedy);
  }
}
