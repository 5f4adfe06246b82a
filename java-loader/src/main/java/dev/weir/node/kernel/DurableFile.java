// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.DirectoryNotEmptyException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.EnumSet;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import java.util.stream.Stream;

/** Files that are whole or not there, whenever the process or the machine stops. */
public final class DurableFile {

  private static final Set<PosixFilePermission> OWNER_FILE =
      PosixFilePermissions.fromString("rw-------");
  private static final Set<PosixFilePermission> GROUP_FILE =
      PosixFilePermissions.fromString("rw-r-----");
  private static final Set<PosixFilePermission> OWNER_DIRECTORY =
      PosixFilePermissions.fromString("rwx------");
  private static final Set<PosixFilePermission> PASSAGE =
      PosixFilePermissions.fromString("rwx--x--x");

  private DurableFile() {}

  /** Replaces a file: temporary name, fsync, rename, fsync of the directory. Mode 0600. */
  public static void write(Path file, byte[] bytes) {
    write(file, bytes, OptionalInt.empty());
  }

  /**
   * The same, for others to read: mode 0640.
   *
   * @param group number of the group that may read it
   */
  public static void write(Path file, byte[] bytes, int group) {
    write(file, bytes, OptionalInt.of(group));
  }

  private static void write(Path file, byte[] bytes, OptionalInt group) {
    Path temporary = file.resolveSibling(file.getFileName() + ".tmp");
    try {
      Files.deleteIfExists(temporary);
      try (FileChannel channel =
          FileChannel.open(
              temporary,
              EnumSet.of(StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE),
              PosixFilePermissions.asFileAttribute(OWNER_FILE))) {
        if (group.isPresent()) {
          Files.setAttribute(temporary, "unix:gid", group.getAsInt());
          Files.setPosixFilePermissions(temporary, GROUP_FILE);
        }
        ByteBuffer buffer = ByteBuffer.wrap(bytes);
        while (buffer.hasRemaining()) {
          channel.write(buffer);
        }
        channel.force(true);
      }
      Files.move(
          temporary, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
      try (FileChannel directory = FileChannel.open(directoryOf(file), StandardOpenOption.READ)) {
        directory.force(true);
      }
    } catch (IOException e) {
      throw failed("write", file, e);
    }
  }

  private static Path directoryOf(Path file) {
    return Optional.ofNullable(file.toAbsolutePath().getParent()).orElse(Path.of("/"));
  }

  /** The file's bytes; empty when there is no such file. */
  public static Optional<byte[]> read(Path file) {
    try {
      return Optional.of(Files.readAllBytes(file));
    } catch (NoSuchFileException e) {
      return Optional.empty();
    } catch (IOException e) {
      throw failed("read", file, e);
    }
  }

  /** Makes a directory for its owner alone, with those above it. */
  public static void makeDirectory(Path directory) {
    makeDirectory(directory, OWNER_DIRECTORY);
  }

  /** Makes a directory through which others may pass to one of their own. */
  public static void makePassage(Path directory) {
    makeDirectory(directory, PASSAGE);
  }

  private static void makeDirectory(Path directory, Set<PosixFilePermission> mode) {
    try {
      if (!Files.isDirectory(directory)) {
        Files.createDirectories(directoryOf(directory));
        Files.createDirectories(directory, PosixFilePermissions.asFileAttribute(mode));
      }
    } catch (IOException e) {
      throw failed("make", directory, e);
    }
  }

  /** What is in a directory; nothing when it is not there. */
  public static List<Path> list(Path directory) {
    try (Stream<Path> entries = Files.list(directory)) {
      return entries.sorted().toList();
    } catch (NoSuchFileException e) {
      return List.of();
    } catch (IOException e) {
      throw failed("list", directory, e);
    }
  }

  /** Removes a file or an empty directory; false when it is not there, or not empty. */
  public static boolean remove(Path path) {
    try {
      return Files.deleteIfExists(path);
    } catch (DirectoryNotEmptyException e) {
      return false;
    } catch (IOException e) {
      throw failed("remove", path, e);
    }
  }

  /** Removes a directory with all that is in it. */
  public static void removeTree(Path directory) {
    if (Files.isDirectory(directory, java.nio.file.LinkOption.NOFOLLOW_LINKS)) {
      list(directory).forEach(DurableFile::removeTree);
    }
    remove(directory);
  }

  /** What to tell the user of it. */
  public static NodeException failed(String what, Path path, IOException e) {
    String why =
        e instanceof java.nio.file.AccessDeniedException
            ? "permission denied; needs root"
            : e.toString();
    return new NodeException("cannot " + what + " " + path + ": " + why, e);
  }
}
