// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.identity;

import dev.weir.node.kernel.DurableFile;
import dev.weir.node.kernel.NodeException;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.EnumSet;

/** One command at a time works on an authority; the lock goes with the process. */
final class AuthorityLock implements AutoCloseable {

  private static final Duration LIMIT = Duration.ofSeconds(20);
  private static final Duration RETRY = Duration.ofMillis(20);

  private final FileChannel channel;

  private AuthorityLock(FileChannel channel) {
    this.channel = channel;
  }

  /**
   * Waits for it.
   *
   * @throws NodeException when somebody else has had it for 20 s
   */
  static AuthorityLock take(Path directory) {
    Path file = directory.resolve("lock");
    FileChannel channel;
    try {
      channel =
          FileChannel.open(
              file,
              EnumSet.of(StandardOpenOption.CREATE, StandardOpenOption.WRITE),
              PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")));
    } catch (IOException e) {
      throw DurableFile.failed("open", file, e);
    }
    boolean taken = false;
    try {
      long deadline = System.nanoTime() + LIMIT.toNanos();
      while (!locked(channel)) {
        if (System.nanoTime() - deadline > 0) {
          throw new NodeException(
              file + ": another `weir ca` has held it for " + LIMIT.toSeconds() + " s; see to it");
        }
        Thread.sleep(RETRY);
      }
      taken = true;
      return new AuthorityLock(channel);
    } catch (IOException e) {
      throw DurableFile.failed("lock", file, e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new NodeException("interrupted while waiting for " + file, e);
    } finally {
      if (!taken) {
        close(channel);
      }
    }
  }

  private static boolean locked(FileChannel channel) throws IOException {
    try {
      return channel.tryLock() != null;
    } catch (OverlappingFileLockException e) {
      return false; // this very process
    }
  }

  private static void close(FileChannel channel) {
    try {
      channel.close();
    } catch (IOException e) {
      throw new java.io.UncheckedIOException(e);
    }
  }

  @Override
  public void close() {
    close(channel);
  }
}
