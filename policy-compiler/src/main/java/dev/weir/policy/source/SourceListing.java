// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.source;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.FileVisitOption;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.FileTime;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.EnumSet;
import java.util.List;
import java.util.Objects;
import java.util.Optional;

/**
 * The files that {@link SourceTree#read} would read, unread, with what tells whether one of them is
 * what it was: one look at each costs some microseconds.
 *
 * @param entries sorted by name
 */
public record SourceListing(List<Entry> entries) {

  /** File systems tell times in steps of a clock tick; some of whole seconds. */
  private static final Duration FINE_STEP = Duration.ofMillis(100);

  private static final Duration COARSE_STEP = Duration.ofSeconds(3);

  /** Copies the list. */
  public SourceListing {
    entries = List.copyOf(entries);
  }

  /**
   * What a file looks like from outside. A file that was written again has another one, unless that
   * happened within one step of the file system's clock.
   *
   * @param size bytes
   * @param modified when it was written last
   * @param key which file it is, of all that ever had its name
   */
  public record Stamp(long size, FileTime modified, Object key) {
    /** Whether whatever is written from a moment on makes it another one. */
    public boolean settledBy(Instant moment) {
      Instant at = modified.toInstant();
      boolean whole = at.equals(at.truncatedTo(ChronoUnit.SECONDS));
      return at.plus(whole ? COARSE_STEP : FINE_STEP).isBefore(moment);
    }
  }

  /**
   * A file.
   *
   * @param path where it is
   * @param name as errors shall name it
   * @param stamp what it looked like
   */
  public record Entry(Path path, String name, Stamp stamp) {
    /**
     * Its content; empty when it cannot be read, or is no longer what it was.
     *
     * @throws IOException never to be told to anybody: reading the whole tree tells it better
     */
    public Optional<byte[]> read() throws IOException {
      try (InputStream in = Files.newInputStream(path)) {
        byte[] content = in.readNBytes(SourceTree.MAX_FILE_BYTES + 1);
        return content.length == stamp.size() ? Optional.of(content) : Optional.empty();
      }
    }
  }

  /**
   * The files below a directory; empty when something is wrong with it or its files, or they are
   * too many or too large: {@link SourceTree#read} says what.
   */
  public static Optional<SourceListing> of(Path root) {
    if (!Files.isDirectory(root)) {
      return Optional.empty();
    }
    List<Entry> entries = new ArrayList<>();
    try {
      Files.walkFileTree(
          root,
          EnumSet.of(FileVisitOption.FOLLOW_LINKS),
          SourceTree.MAX_DEPTH,
          new SimpleFileVisitor<>() {
            @Override
            public FileVisitResult preVisitDirectory(Path directory, BasicFileAttributes of) {
              return !directory.equals(root) && isHidden(directory)
                  ? FileVisitResult.SKIP_SUBTREE
                  : FileVisitResult.CONTINUE;
            }

            @Override
            public FileVisitResult visitFile(Path file, BasicFileAttributes of) {
              if (of.isRegularFile()) {
                String name = file.toString();
                if (name.charAt(name.lastIndexOf('/') + 1) != '.' && isWanted(name)) {
                  Object key = Objects.requireNonNullElse(of.fileKey(), "");
                  Stamp stamp = new Stamp(of.size(), of.lastModifiedTime(), key);
                  entries.add(new Entry(file, name, stamp));
                }
              }
              return FileVisitResult.CONTINUE;
            }
          });
    } catch (IOException e) {
      return Optional.empty();
    }
    long bytes = 0;
    for (Entry entry : entries) {
      bytes += entry.stamp().size();
      if (entry.stamp().size() > SourceTree.MAX_FILE_BYTES) {
        return Optional.empty();
      }
    }
    if (entries.size() > SourceTree.MAX_FILES || bytes > SourceTree.MAX_BYTES) {
      return Optional.empty();
    }
    entries.sort(Comparator.comparing(Entry::name));
    return Optional.of(new SourceListing(entries));
  }

  private static boolean isWanted(String name) {
    return name.endsWith(".yaml") || SourceTree.hasWantedName(name);
  }

  private static boolean isHidden(Path path) {
    Path name = path.getFileName();
    return name != null && name.toString().startsWith(".");
  }
}
