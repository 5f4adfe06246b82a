// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.bpf;

import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.HexFormat;

/** A program in the kernel. */
public final class BpfProgram implements AutoCloseable {

  /** {@code sizeof(struct bpf_prog_info)} as of Linux 5.15; newer kernels accept shorter ones. */
  private static final int INFO = 224;

  private static final int INFO_ID = 4;
  private static final int INFO_TAG = 8;
  private static final int TAG_LENGTH = 8;

  /** {@code sizeof(struct bpf_test_run_opts)} of libbpf 1.0. */
  private static final int TEST_RUN_OPTIONS = 80;

  private static final int DATA_SIZE_IN = 24;
  private static final int DATA_SIZE_OUT = 28;
  private static final int RETURN_VALUE = 56;
  private static final int REPEAT = 60;
  private static final int DURATION = 64;

  private final Descriptor descriptor;
  private final int id;
  private final String tag;

  private BpfProgram(Descriptor descriptor) {
    this.descriptor = descriptor;
    ByteBuffer info = info(descriptor.fd());
    this.id = info.getInt(INFO_ID);
    byte[] bytes = new byte[TAG_LENGTH];
    info.get(INFO_TAG, bytes);
    this.tag = HexFormat.of().formatHex(bytes);
  }

  private static ByteBuffer info(int fd) {
    ByteBuffer info = Native.buffer(INFO);
    Native.check(
        "bpf_obj_get_info_by_fd(program)",
        Native.get().bpf.bpf_obj_get_info_by_fd(fd, info, Native.number(INFO)));
    return info;
  }

  static int idOf(int fd) {
    return info(fd).getInt(INFO_ID);
  }

  /**
   * Opens a pinned program.
   *
   * @throws BpfException ENOENT when nothing is pinned there
   */
  public static BpfProgram open(Path pin) {
    return of(
        Native.check("bpf_obj_get(" + pin + ")", Native.get().bpf.bpf_obj_get(pin.toString())));
  }

  /** Opens a program by its id. */
  public static BpfProgram byId(int id) {
    return of(
        Native.check(
            "bpf_prog_get_fd_by_id(" + id + ")", Native.get().bpf.bpf_prog_get_fd_by_id(id)));
  }

  static BpfProgram of(int fd) {
    Descriptor descriptor = new Descriptor(fd);
    try {
      return new BpfProgram(descriptor);
    } catch (BpfException e) {
      descriptor.close();
      throw e;
    }
  }

  int fd() {
    return descriptor.fd();
  }

  /** Unique while the system runs. */
  public int id() {
    return id;
  }

  /** Hash of the instructions: equal for equal programs, whatever maps they use. */
  public String tag() {
    return tag;
  }

  /** Pins this program; removed again by deleting the file. */
  public void pin(Path path) {
    Native.check("bpf_obj_pin(" + path + ")", Native.get().bpf.bpf_obj_pin(fd(), path.toString()));
  }

  /**
   * What a test run gave.
   *
   * @param returnValue of the program
   * @param nanos mean time of one run
   */
  public record TestRun(int returnValue, int nanos) {}

  /**
   * Runs the program on data, without attaching it. Only some types can (tc, XDP, cgroup_skb,
   * sk_lookup).
   *
   * @param data direct; holds afterwards what the program made of it
   * @param repeat how often
   */
  public TestRun testRun(ByteBuffer data, int repeat) {
    Native lib = Native.get();
    long address = jnr.ffi.Pointer.wrap(lib.runtime(), data).address();
    ByteBuffer options =
        Native.buffer(TEST_RUN_OPTIONS)
            .putLong(0, TEST_RUN_OPTIONS)
            .putLong(8, address)
            .putLong(16, address)
            .putInt(DATA_SIZE_IN, data.capacity())
            .putInt(DATA_SIZE_OUT, data.capacity())
            .putInt(REPEAT, repeat);
    Native.check("bpf_prog_test_run_opts()", lib.bpf.bpf_prog_test_run_opts(fd(), options));
    return new TestRun(options.getInt(RETURN_VALUE), options.getInt(DURATION));
  }

  @Override
  public void close() {
    descriptor.close();
  }
}
