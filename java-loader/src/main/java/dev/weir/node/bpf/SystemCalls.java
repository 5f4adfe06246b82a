// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.bpf;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/** The few calls into the kernel that neither libbpf nor the JDK has. */
public final class SystemCalls {

  private static final int CLOCK_BOOTTIME = 7;
  private static final int CLONE_NEWNET = 0x40000000;
  private static final int AF_INET = 2;
  private static final int AF_UNIX = 1;
  private static final int SOCK_DGRAM_CLOEXEC = 2 | 0x80000;
  private static final int SOL_SOCKET = 1;
  private static final int SO_NETNS_COOKIE = 71;
  private static final int O_RDWR_CREAT = 2 | 0x40;
  private static final int LOCK_EX_NB = 2 | 4;
  private static final int OWNER_ONLY = 0x180; // 0600
  private static final Duration LOCK_RETRY = Duration.ofMillis(10);

  private SystemCalls() {}

  /**
   * Nanoseconds since the boot, suspended time included: the clock of every deadline in the kernel.
   */
  public static long bootNanos() {
    Native lib = Native.get();
    ByteBuffer time = Native.buffer(16);
    lib.checkErrno("clock_gettime(CLOCK_BOOTTIME)", lib.libc.clock_gettime(CLOCK_BOOTTIME, time));
    return time.getLong(0) * 1_000_000_000L + time.getLong(8);
  }

  /**
   * The cookie by which programs know a network namespace (Linux 5.14).
   *
   * @param netns such as {@code /run/netns/NAME}; empty for the caller's own
   */
  public static long netnsCookie(Optional<Path> netns) {
    return netns.map(SystemCalls::cookieOf).orElseGet(SystemCalls::ownCookie);
  }

  private static long ownCookie() {
    Native lib = Native.get();
    int fd = lib.libc.socket(AF_UNIX, SOCK_DGRAM_CLOEXEC, 0);
    if (fd < 0) {
      fd = lib.checkErrno("socket(AF_INET)", lib.libc.socket(AF_INET, SOCK_DGRAM_CLOEXEC, 0));
    }
    try (Descriptor socket = new Descriptor(fd)) {
      ByteBuffer cookie = Native.buffer(Long.BYTES);
      lib.checkErrno(
          "getsockopt(SO_NETNS_COOKIE)",
          lib.libc.getsockopt(
              socket.fd(), SOL_SOCKET, SO_NETNS_COOKIE, cookie, Native.number(Long.BYTES)));
      return cookie.getLong(0);
    }
  }

  private static long cookieOf(Path netns) {
    return in(netns, SystemCalls::ownCookie);
  }

  /**
   * Enters a network namespace, for good: setns(2) changes the calling thread alone, which must be
   * one that ends with its task.
   *
   * @param netns such as {@code /proc/PID/ns/net}
   */
  public static void enter(Path netns) {
    Native lib = Native.get();
    try (Descriptor descriptor = Descriptor.open(netns)) {
      lib.checkErrno("setns(" + netns + ")", lib.libc.setns(descriptor.fd(), CLONE_NEWNET));
    }
  }

  /** Does something in another network namespace, on a thread of its own, which then ends. */
  public static <T> T in(Path netns, Supplier<T> call) {
    AtomicReference<@Nullable T> answer = new AtomicReference<>();
    AtomicReference<@Nullable RuntimeException> failure = new AtomicReference<>();
    Thread thread =
        Thread.ofPlatform()
            .name("weir-netns")
            .start(
                () -> {
                  try {
                    enter(netns);
                    answer.set(call.get());
                  } catch (RuntimeException e) {
                    failure.set(e);
                  }
                });
    boolean interrupted = false;
    while (thread.isAlive()) {
      try {
        thread.join();
      } catch (InterruptedException e) {
        interrupted = true; // the thread ends by itself within microseconds
      }
    }
    if (interrupted) {
      Thread.currentThread().interrupt();
    }
    RuntimeException thrown = failure.get();
    if (thrown != null) {
      throw thrown;
    }
    T found = answer.get();
    if (found == null) {
      throw new BpfException("setns(" + netns + "): the thread ended without an answer");
    }
    return found;
  }

  /** Mounts a bpf file system. */
  public static void mountBpf(Path directory) {
    Native lib = Native.get();
    lib.checkErrno(
        "mount(bpf, " + directory + ")",
        lib.libc.mount("bpf", directory.toString(), "bpf", 0, "mode=0700"));
  }

  /**
   * Takes a lock that ends with the process (flock(2)).
   *
   * @param file made when it is not there
   * @param patience how long to wait for somebody else
   * @return the lock, until closed; empty when somebody else holds it
   */
  public static Optional<Descriptor> lock(Path file, Duration patience) {
    long deadline = System.nanoTime() + patience.toNanos();
    do {
      Descriptor descriptor = Descriptor.open(file, O_RDWR_CREAT, OWNER_ONLY);
      if (tryLock(descriptor, file)) {
        return Optional.of(descriptor);
      }
      descriptor.close();
      try {
        Thread.sleep(LOCK_RETRY);
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
        return Optional.empty();
      }
    } while (System.nanoTime() - deadline < 0);
    return Optional.empty();
  }

  /**
   * Whoever held the lock may have removed the file: a lock on what has no name any more is none.
   */
  private static boolean tryLock(Descriptor descriptor, Path file) {
    Native lib = Native.get();
    if (lib.libc.flock(descriptor.fd(), LOCK_EX_NB) != 0) {
      int errno = lib.errno();
      if (errno == Errno.EAGAIN.number() || errno == Errno.EINTR.number()) {
        return false;
      }
      descriptor.close();
      throw new BpfException("flock(" + file + ")", errno);
    }
    try {
      return Files.isSameFile(Path.of("/proc/self/fd/" + descriptor.fd()), file);
    } catch (IOException e) {
      return false;
    }
  }
}
