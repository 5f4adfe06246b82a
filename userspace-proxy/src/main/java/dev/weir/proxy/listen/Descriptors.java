// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.listen;

import io.netty.channel.unix.DomainSocketAddress;
import io.netty.channel.unix.Socket;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;

/** Sends file descriptors to another process: one with each byte (SCM_RIGHTS, unix(7)). */
final class Descriptors {

  /** For the other side to take them all. */
  private static final Duration LIMIT = Duration.ofSeconds(5);

  private Descriptors() {}

  /**
   * Sends them, and waits until the other side has read all of them: it closes the connection then.
   */
  static void send(Path path, List<Integer> descriptors) throws IOException {
    long deadline = System.nanoTime() + LIMIT.toNanos();
    Socket socket = Socket.newSocketDomain();
    try {
      while (!socket.connect(new DomainSocketAddress(path.toFile()))) {
        pause(deadline);
        if (socket.finishConnect()) {
          break;
        }
      }
      for (int descriptor : descriptors) {
        // Not sent (EAGAIN) is a negative number: so many may be under way.
        while (socket.sendFd(descriptor) <= 0) {
          pause(deadline);
        }
      }
      socket.shutdown(false, true);
      ByteBuffer nothing = ByteBuffer.allocateDirect(1);
      while (socket.read(nothing, 0, 1) >= 0) {
        pause(deadline);
      }
    } catch (IOException e) {
      throw new IOException(path + ": " + e, e);
    } finally {
      socket.close();
    }
  }

  private static void pause(long deadline) throws IOException {
    if (System.nanoTime() >= deadline) {
      throw new IOException("the successor does not take what is handed over");
    }
    try {
      Thread.sleep(1);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IOException("interrupted", e);
    }
  }
}
