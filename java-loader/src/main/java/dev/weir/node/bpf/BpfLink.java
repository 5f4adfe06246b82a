// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.bpf;

import java.nio.ByteBuffer;
import java.nio.file.Path;

/** A program attached to something, for as long as a descriptor or a pin holds the link. */
public final class BpfLink implements AutoCloseable {

  /** {@code sizeof(struct bpf_link_info)} as of Linux 5.15; newer kernels accept shorter ones. */
  private static final int INFO = 32;

  private static final int NO_TARGET = 0;

  private final Descriptor descriptor;
  private final int id;

  private BpfLink(Descriptor descriptor) {
    this.descriptor = descriptor;
    this.id = info(descriptor).getInt(4);
  }

  private static ByteBuffer info(Descriptor descriptor) {
    return Native.info("link", descriptor.fd(), INFO);
  }

  /**
   * Attaches a program to a cgroup. Several programs may be attached at one place.
   *
   * @param name of the program, for the message of a failure
   * @param program loaded
   * @param cgroup an open directory
   * @param attachType {@link BpfObject.Program#attachType}
   */
  public static BpfLink attach(String name, BpfProgram program, Descriptor cgroup, int attachType) {
    return create("bpf_link_create(" + name + ")", program, cgroup.fd(), attachType);
  }

  /** Attaches a tracing program to the point its section names. */
  public static BpfLink attach(String name, BpfProgram program, int attachType) {
    return create("bpf_link_create(" + name + ")", program, NO_TARGET, attachType);
  }

  private static BpfLink create(String call, BpfProgram program, int target, int attachType) {
    return of(
        Native.check(
            call, Native.get().bpf.bpf_link_create(program.fd(), target, attachType, null)));
  }

  /**
   * Opens a pinned link.
   *
   * @throws BpfException ENOENT when nothing is pinned there
   */
  public static BpfLink open(Path pin) {
    return of(
        Native.check("bpf_obj_get(" + pin + ")", Native.get().bpf.bpf_obj_get(pin.toString())));
  }

  private static BpfLink of(int fd) {
    Descriptor descriptor = new Descriptor(fd);
    try {
      return new BpfLink(descriptor);
    } catch (BpfException e) {
      descriptor.close();
      throw e;
    }
  }

  /** Unique while the system runs. */
  public int id() {
    return id;
  }

  /** The id of the program it runs now. */
  public int programId() {
    return info(descriptor).getInt(8);
  }

  /** The id of the cgroup it is attached to; 0 when that cgroup is gone. Not for tracing links. */
  public long cgroupId() {
    return info(descriptor).getLong(16);
  }

  /** Runs another program from now on; no event goes past both. Not for tracing links. */
  public void update(BpfProgram program) {
    Native.check(
        "bpf_link_update(link " + id + ")",
        Native.get().bpf.bpf_link_update(descriptor.fd(), program.fd(), null));
  }

  /**
   * Takes the program away from its cgroup: when this returns, nobody meets it any more. (Without
   * it, the kernel does so some time after the last descriptor and pin are gone.) Does nothing for
   * tracing links, which cannot.
   */
  public void detach() {
    int result = Native.get().bpf.bpf_link_detach(descriptor.fd());
    if (result != -Errno.EOPNOTSUPP.number()) {
      Native.check("bpf_link_detach(link " + id + ")", result);
    }
  }

  /** Pins this link: it outlives this process. Removed again by deleting the file. */
  public void pin(Path path) {
    Native.check(
        "bpf_obj_pin(" + path + ")",
        Native.get().bpf.bpf_obj_pin(descriptor.fd(), path.toString()));
  }

  @Override
  public void close() {
    descriptor.close();
  }
}
