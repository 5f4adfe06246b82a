// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.bpf;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * A program that is a file of memory alone (memfd_create(2)): it needs no directory from which
 * programs may be run, and nobody can exchange it on a disk.
 */
public final class MemoryProgram implements AutoCloseable {

  private static final int MFD_CLOEXEC = 1;
  private static final int MFD_EXEC = 0x10; // Linux 6.3; before, every one may be run

  private final Descriptor descriptor;

  private MemoryProgram(Descriptor descriptor) {
    this.descriptor = descriptor;
  }

  /**
   * Makes one.
   *
   * @param name shown in /proc
   * @param elf what it is
   * @throws BpfException when the kernel makes no such file, or forbids to run it (sysctl
   *     vm.memfd_noexec)
   */
  public static MemoryProgram of(String name, byte[] elf) {
    Native lib = Native.get();
    int fd = lib.libc.memfd_create(name, MFD_CLOEXEC | MFD_EXEC);
    if (fd < 0) {
      fd = lib.checkErrno("memfd_create", lib.libc.memfd_create(name, MFD_CLOEXEC));
    }
    MemoryProgram program = new MemoryProgram(new Descriptor(fd));
    try {
      Files.write(program.path(), elf);
      return program;
    } catch (IOException e) {
      program.close();
      throw new UncheckedIOException(e);
    }
  }

  /** By which it is run, from any process of the same user, until it is closed. */
  public Path path() {
    return Path.of("/proc", Long.toString(ProcessHandle.current().pid()), "fd")
        .resolve(Integer.toString(descriptor.fd()));
  }

  @Override
  public void close() {
    descriptor.close();
  }
}
