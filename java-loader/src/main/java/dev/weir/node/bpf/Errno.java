// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.bpf;

import java.util.Arrays;

/**
 * Error numbers of Linux (asm-generic/errno.h) that calls of ours meet, with what to do about them.
 */
public enum Errno {
  /** Operation not permitted. */
  EPERM(
      1,
      "operation not permitted",
      "needs root, or CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON (CAP_SYS_ADMIN before Linux 5.8); in a"
          + " container also a seccomp profile that allows bpf(2)"),
  /** No such file or directory. */
  ENOENT(2, "no such file, entry or program", ""),
  /** Interrupted. */
  EINTR(4, "interrupted", "try again"),
  /** Argument list too long. */
  E2BIG(7, "table full, or structure larger than this kernel knows", ""),
  /** Bad file descriptor. */
  EBADF(9, "bad file descriptor", ""),
  /** Try again. */
  EAGAIN(11, "try again", "the kernel's verifier was interrupted or a limit is reached; try again"),
  /** Out of memory. */
  ENOMEM(12, "out of memory", "free memory, or raise the memory limit of this cgroup"),
  /** Permission denied. */
  EACCES(
      13,
      "permission denied",
      "the kernel's verifier refused the program (see the log below), or a mode bit forbids it"),
  /** Bad address. */
  EFAULT(14, "bad address", ""),
  /** Busy. */
  EBUSY(16, "in use", "somebody else holds it; see bpftool cgroup show"),
  /** Exists. */
  EEXIST(17, "exists already", ""),
  /** No such device. */
  ENODEV(19, "no such device", ""),
  /** Invalid argument. */
  EINVAL(22, "invalid argument", "this kernel may lack the feature; run: weir status"),
  /** No space. */
  ENOSPC(28, "no room", "a map is full or the kernel's log buffer too small"),
  /** Read-only file system. */
  EROFS(30, "read-only file system", "mount it writable"),
  /** No protocol option. */
  ENOPROTOOPT(92, "no such socket option", "this kernel lacks it"),
  /** Not supported. */
  EOPNOTSUPP(95, "not supported", "this kernel lacks the feature"),
  /** No such address family. */
  EAFNOSUPPORT(97, "no such address family", "this kernel lacks it"),
  /** Nobody has this address. */
  EADDRNOTAVAIL(99, "no interface has this address", ""),
  /** Timed out. */
  ETIMEDOUT(110, "timed out", ""),
  /** Refused. */
  ECONNREFUSED(111, "refused", "nobody listens there, or a policy does not allow it"),
  /** Another one has taken its place. */
  ESTALE(116, "gone, another one has its place", ""),
  /** Not supported, the kernel's own. */
  ENOTSUPP(524, "not supported", "this kernel lacks the feature"),
  /** Any other. */
  OTHER(0, "see errno(3)", "");

  private final int number;
  private final String meaning;
  private final String remedy;

  Errno(int number, String meaning, String remedy) {
    this.number = number;
    this.meaning = meaning;
    this.remedy = remedy;
  }

  /** The error of a positive number; {@link #OTHER} when it is none of these. */
  public static Errno of(int number) {
    return Arrays.stream(values())
        .filter(errno -> errno.number == number && errno != OTHER)
        .findFirst()
        .orElse(OTHER);
  }

  /** The positive number. */
  public int number() {
    return number;
  }

  /** What it means here. */
  public String meaning() {
    return meaning;
  }

  /** What to do; may be empty. */
  public String remedy() {
    return remedy;
  }
}
