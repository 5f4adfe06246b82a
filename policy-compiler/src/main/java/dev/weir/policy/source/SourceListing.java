// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.source;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.FileVisitOption;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
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
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;

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
    return checked(entries);
  }

  /**
   * The same after some files have changed, at which alone it looks; empty when that does not tell
   * everything, as where one that changed is no plain file, or a file has several names.
   *
   * @param root the directory
   * @param changed paths below it, as {@link #of} would name them
   */
  public Optional<SourceListing> after(Path root, Set<Path> changed) {
    Map<String, Entry> byName = new HashMap<>();
    entries.forEach(entry -> byName.put(entry.name(), entry));
    Set<Object> files = new HashSet<>();
    for (Path path : changed) {
      Optional.ofNullable(byName.remove(path.toString()))
          .ifPresent(entry -> files.add(entry.stamp().key()));
    }
    if (byName.values().stream().anyMatch(entry -> files.contains(entry.stamp().key()))) {
      return Optional.empty();
    }
    for (Path path : changed) {
      Optional<BasicFileAttributes> look;
      try {
        look =
            Optional.of(
                Files.readAttributes(path, BasicFileAttributes.class, LinkOption.NOFOLLOW_LINKS));
      } catch (NoSuchFileException e) {
        look = Optional.empty();
      } catch (IOException e) {
        return Optional.empty();
      }
      String name = path.toString();
      boolean plain = isPlain(root, path);
      if (look.isPresent()
          ? !plain || !look.get().isRegularFile()
          : byName.keySet().stream().anyMatch(other -> other.startsWith(name + "/"))) {
        return Optional.empty();
      }
      if (look.isPresent()) {
        BasicFileAttributes of = look.get();
        Object key = Objects.requireNonNullElse(of.fileKey(), "");
        byName.put(name, new Entry(path, name, new Stamp(of.size(), of.lastModifiedTime(), key)));
      }
    }
    return checked(new ArrayList<>(byName.values()));
  }

  /** Whether a file of this name, if it is one, belongs to the policy whatever else is there. */
  private static boolean isPlain(Path root, Path path) {
    if (!path.startsWith(root) || root.relativize(path).getNameCount() >= SourceTree.MAX_DEPTH) {
      return false;
    }
    for (Path part : root.relativize(path)) {
      if (isHidden(part)) {
        return false;
      }
    }
    return isWanted(path.toString());
  }

  /** Entries that are neither too many nor too large. */
  private static Optional<SourceListing> checked(List<Entry> entries) {
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
