// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.bpf;

/** A call into the kernel that failed: which, with which errno, and what to do. */
public final class BpfException extends RuntimeException {

  private final Errno errno;

  /**
   * Of a failed call.
   *
   * @param call name and object, such as {@code bpf_obj_get(/sys/fs/bpf/weir/maps/current)}
   * @param errno positive error number
   */
  public BpfException(String call, int errno) {
    this(call, errno, "");
  }

  /**
   * Of a failed call, with what the kernel or libbpf said besides.
   *
   * @param call name and object
   * @param errno positive error number
   * @param detail text of any length, may be empty
   */
  public BpfException(String call, int errno, String detail) {
    super(message(call, errno, detail));
    this.errno = Errno.of(errno);
  }

  /** Of something that is no system call. */
  BpfException(String message) {
    super(message);
    this.errno = Errno.OTHER;
  }

  private static String message(String call, int number, String detail) {
    Errno errno = Errno.of(number);
    String name = errno == Errno.OTHER ? "errno " + number : errno.name();
    String text = call + ": " + name + " (" + errno.meaning() + ")";
    if (!errno.remedy().isEmpty()) {
      text += "; " + errno.remedy();
    }
    return detail.isEmpty() ? text : text + "\n" + detail;
  }

  /** The error. */
  public Errno errno() {
    return errno;
  }
}
