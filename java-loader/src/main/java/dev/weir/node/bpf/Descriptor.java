// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.bpf;

import java.nio.file.Path;
import java.util.concurrent.atomic.AtomicInteger;

/** A file descriptor with an owner; closed once. */
public final class Descriptor implements AutoCloseable {

  private static final int O_CLOEXEC = 0x80000;
  private static final int CLOSED = -1;

  private final AtomicInteger fd;

  Descriptor(int fd) {
    this.fd = new AtomicInteger(fd);
  }

  /**
   * Opens a file or directory for reading.
   *
   * @throws BpfException when it cannot be opened
   */
  public static Descriptor open(Path path) {
    return open(path, 0, 0);
  }

  static Descriptor open(Path path, int flags, int mode) {
    Native lib = Native.get();
    return new Descriptor(
        lib.checkErrno(
            "open(" + path + ")", lib.libc.open(path.toString(), flags | O_CLOEXEC, mode)));
  }

  /** The number, for a call. */
  int fd() {
    int number = fd.get();
    if (number == CLOSED) {
      throw new IllegalStateException("closed");
    }
    return number;
  }

  @Override
  public void close() {
    int number = fd.getAndSet(CLOSED);
    if (number != CLOSED) {
      Native.get().libc.close(number);
    }
  }
}
