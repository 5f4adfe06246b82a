// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.telemetry;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.FileAttribute;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * The files of the flow log: {@code flows.jsonl}, which is written, and the ones before it, {@code
 * flows.1.jsonl} the youngest. Together they never take more than their bound; the oldest goes
 * first. Only their owner may read them.
 *
 * <p>A line is written whole or not at all: what a full disk or a killed writer leaves of one is
 * cut off. A line that cannot be written is lost and counted, never waited for; nothing is synced,
 * for a flow log is not worth the wear.
 *
 * <p>Not safe for use by several threads.
 */
public final class FlowLogFile implements AutoCloseable {

  /** The file that is written. */
  static final String NAME = "flows.jsonl";

  /** Files beside the one that is written. */
  static final int OLD = 3;

  private static final Set<PosixFilePermission> OWNER_ONLY =
      EnumSet.of(PosixFilePermission.OWNER_READ, PosixFilePermission.OWNER_WRITE);
  private static final FileAttribute<?> FILE_MODE =
      PosixFilePermissions.asFileAttribute(OWNER_ONLY);
  private static final FileAttribute<?> DIRECTORY_MODE =
      PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------"));
  private static final int TAIL = 64 << 10;

  private final Path directory;
  private final long each;
  private @Nullable FileChannel channel;
  private long lines;
  private long lost;
  private Optional<String> trouble = Optional.empty();

  /**
   * A log in a directory, which is made when the first line is written.
   *
   * @param bytes that all files together may take; at least 4
   */
  public FlowLogFile(Path directory, long bytes) {
    this.directory = directory;
    each = bytes / (OLD + 1);
  }

  /** Where the flow log of a state directory is. */
  public static Path directory(Path stateDir) {
    return stateDir.resolve("flows");
  }

  /** The files there are, oldest first. */
  static List<Path> files(Path directory) {
    List<Path> files = new ArrayList<>();
    for (int i = OLD; i > 0; i--) {
      files.add(old(directory, i));
    }
    files.add(directory.resolve(NAME));
    return files.stream().filter(Files::isRegularFile).toList();
  }

  private static Path old(Path directory, int number) {
    return directory.resolve("flows." + number + ".jsonl");
  }

  /** Writes lines, without their newline. What cannot be written is counted as lost. */
  public void write(List<String> written) {
    for (int i = 0; i < written.size(); i++) {
      try {
        write(written.get(i));
        lines++;
        trouble = Optional.empty();
      } catch (IOException e) {
        lost += written.size() - i; // the next one would meet the same
        trouble = Optional.of(directory.resolve(NAME) + ": " + reason(e));
        close();
        return;
      }
    }
  }

  private static String reason(IOException e) {
    return e instanceof java.nio.file.FileSystemException file && file.getReason() != null
        ? file.getReason()
        : e.getClass().getSimpleName() + (e.getMessage() == null ? "" : ": " + e.getMessage());
  }

  private void write(String line) throws IOException {
    ByteBuffer bytes = ByteBuffer.wrap((line + "\n").getBytes(StandardCharsets.UTF_8));
    if (bytes.remaining() > each) {
      throw new IOException(
          "a line of " + bytes.remaining() + " bytes is longer than a file may be");
    }
    FileChannel to = channel == null ? open() : channel;
    if (to.size() + bytes.remaining() > each) {
      close();
      rotate();
      to = open();
    }
    long before = to.size();
    try {
      while (bytes.hasRemaining()) {
        to.write(bytes);
      }
    } catch (IOException e) {
      to.truncate(before);
      throw e;
    }
  }

  private FileChannel open() throws IOException {
    Files.createDirectories(directory.toAbsolutePath().getParent());
    if (!Files.isDirectory(directory)) {
      Files.createDirectory(directory, DIRECTORY_MODE);
    }
    Path file = directory.resolve(NAME);
    if (!Files.exists(file)) {
      Files.createFile(file, FILE_MODE);
    } else {
      cutTornLine(file);
    }
    FileChannel opened =
        FileChannel.open(file, Set.of(StandardOpenOption.WRITE, StandardOpenOption.APPEND));
    channel = opened;
    return opened;
  }

  /** A writer that was killed may have left the beginning of a line. */
  private static void cutTornLine(Path file) throws IOException {
    try (RandomAccessFile end = new RandomAccessFile(file.toFile(), "rw")) {
      long length = end.length();
      if (length == 0) {
        return;
      }
      int size = (int) Math.min(length, TAIL);
      byte[] tail = new byte[size];
      end.seek(length - size);
      end.readFully(tail);
      int last = size - 1;
      while (last >= 0 && tail[last] != '\n') {
        last--;
      }
      if (last < size - 1) {
        end.setLength(length - size + last + 1);
      }
    }
  }

  private void rotate() throws IOException {
    for (int i = OLD - 1; i > 0; i--) {
      if (Files.exists(old(directory, i))) {
        move(old(directory, i), old(directory, i + 1));
      }
    }
    move(directory.resolve(NAME), old(directory, 1));
  }

  private static void move(Path from, Path to) throws IOException {
    Files.move(from, to, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
  }

  /** Lines written. */
  public long lines() {
    return lines;
  }

  /** Lines that could not be written. */
  public long lost() {
    return lost;
  }

  /** Why lines are being lost; empty while none is. */
  public Optional<String> trouble() {
    return trouble;
  }

  @Override
  public void close() {
    FileChannel open = channel;
    channel = null;
    if (open != null) {
      try {
        open.close();
      } catch (IOException e) {
        trouble = Optional.of(directory.resolve(NAME) + ": " + reason(e));
      }
    }
  }
}
