// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.telemetry;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.FileTime;
import java.util.HashSet;
import java.util.Optional;
import java.util.Set;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Reads a flow log while it is written and rotated: every line once, oldest first. A file is known
 * by its inode, so a rename between two reads loses nothing. Not safe for use by several threads.
 */
public final class FlowLogReader implements AutoCloseable {

  private static final int CHUNK = 64 << 10;

  /** A file that is written no more never changes again; its inode may be another's later. */
  private record Stamp(Object inode, long size, FileTime modified) {}

  private final Path directory;
  private final Set<Stamp> finished = new HashSet<>();
  private final ByteBuffer chunk = ByteBuffer.allocate(CHUNK);
  private @Nullable FileChannel current;
  private Object inode = "";

  /** How far whole lines were read: what is torn may be cut off and written over. */
  private long position;

  /** Begins at the oldest line there is. */
  public FlowLogReader(Path directory) {
    this.directory = directory;
  }

  /** Hands over all whole lines that there are and that were not yet. */
  public void poll(Consumer<String> lines) throws IOException {
    while (true) {
      FileChannel from = current;
      if (from == null) {
        from = next();
        if (from == null) {
          return;
        }
      }
      // Looked at before the rest is read: what is written to a file is written before it is moved.
      boolean last =
          stamp(directory.resolve(FlowLogFile.NAME))
              .filter(stamp -> stamp.inode().equals(inode))
              .isPresent();
      drain(from, lines);
      if (last) {
        return;
      }
      for (Path file : FlowLogFile.files(directory)) {
        stamp(file).filter(stamp -> stamp.inode().equals(inode)).ifPresent(finished::add);
      }
      from.close();
      current = null;
    }
  }

  private static Optional<Stamp> stamp(Path file) throws IOException {
    try {
      BasicFileAttributes of = Files.readAttributes(file, BasicFileAttributes.class);
      return Optional.ofNullable(of.fileKey())
          .map(key -> new Stamp(key, of.size(), of.lastModifiedTime()));
    } catch (NoSuchFileException e) {
      return Optional.empty();
    }
  }

  private @Nullable FileChannel next() throws IOException {
    for (Path file : FlowLogFile.files(directory)) {
      Optional<Stamp> stamp = stamp(file);
      if (stamp.isPresent() && !finished.contains(stamp.get())) {
        FileChannel opened;
        try {
          opened = FileChannel.open(file, StandardOpenOption.READ);
        } catch (NoSuchFileException e) {
          return next(); // moved just now
        }
        // While it is open its inode is nobody else's.
        if (stamp(file).filter(now -> now.inode().equals(stamp.get().inode())).isEmpty()) {
          opened.close();
          return next();
        }
        current = opened;
        inode = stamp.get().inode();
        position = 0;
        return opened;
      }
    }
    return null;
  }

  private void drain(FileChannel from, Consumer<String> lines) throws IOException {
    ByteArrayOutputStream line = new ByteArrayOutputStream();
    long at = position;
    while (from.read(chunk.clear(), at) > 0) {
      chunk.flip();
      while (chunk.hasRemaining()) {
        byte next = chunk.get();
        at++;
        if (next == '\n') {
          lines.accept(line.toString(StandardCharsets.UTF_8));
          line.reset();
          position = at;
        } else {
          line.write(next);
        }
      }
    }
  }

  @Override
  public void close() throws IOException {
    if (current != null) {
      current.close();
    }
  }
}
