// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.bpf;

import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.HexFormat;
import java.util.function.Consumer;

/** A program in the kernel. */
public final class BpfProgram implements AutoCloseable {

  /** {@code sizeof(struct bpf_prog_info)} as of Linux 5.15; newer kernels accept shorter ones. */
  private static final int INFO = 224;

  private static final int INFO_ID = 4;
  private static final int INFO_TAG = 8;
  private static final int TAG_LENGTH = 8;

  private static final int BPF_TRACE_ITER = 28;
  private static final int CHUNK = 64 * 1024;

  /** {@code struct bpf_link_create_opts} of libbpf 1.0, up to the union of its kinds. */
  private static final int LINK_OPTIONS = 32;

  private static final int LINK_ITERATOR = 16;
  private static final int LINK_ITERATOR_LENGTH = 24;

  /** {@code union bpf_iter_link_info}, of which only {@code map.map_fd} is set. */
  private static final int ITERATOR_INFO = 16;

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
    return Native.info("program", fd, INFO);
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
   * Runs an iterator program over all there is, and hands over what it writes. Sockets are those of
   * the calling thread's network namespace.
   *
   * @param recordSize of what it writes at a time
   * @param record called with each, of native order; valid only during the call
   */
  public void iterate(int recordSize, Consumer<ByteBuffer> record) {
    try (Descriptor link =
        new Descriptor(
            Native.check(
                "bpf_link_create(iterator)",
                Native.get().bpf.bpf_link_create(fd(), 0, BPF_TRACE_ITER, null)))) {
      iterate(link, recordSize, record);
    }
  }

  /** Runs an iterator program that writes nothing over all there is in a map. */
  public void iterate(BpfMap map) {
    Native lib = Native.get();
    ByteBuffer info = Native.buffer(ITERATOR_INFO).putInt(0, map.fd());
    ByteBuffer options =
        Native.buffer(LINK_OPTIONS)
            .putLong(0, LINK_OPTIONS)
            .putLong(LINK_ITERATOR, jnr.ffi.Pointer.wrap(lib.runtime(), info).address())
            .putInt(LINK_ITERATOR_LENGTH, ITERATOR_INFO);
    try (Descriptor link =
        new Descriptor(
            Native.check(
                "bpf_link_create(map iterator)",
                lib.bpf.bpf_link_create(
                    fd(), 0, BPF_TRACE_ITER, jnr.ffi.Pointer.wrap(lib.runtime(), options))))) {
      iterate(link, 1, record -> {});
    } finally {
      Native.keep(info, options);
    }
  }

  private static void iterate(Descriptor link, int recordSize, Consumer<ByteBuffer> record) {
    Native lib = Native.get();
    try (Descriptor walk =
        new Descriptor(Native.check("bpf_iter_create()", lib.bpf.bpf_iter_create(link.fd())))) {
      // A read ends where it likes, also within a record.
      ByteBuffer chunk = Native.buffer(CHUNK);
      ByteBuffer one = Native.buffer(recordSize);
      while (true) {
        int size = (int) lib.libc.read(walk.fd(), chunk, CHUNK);
        if (size == 0) {
          return;
        }
        if (size < 0) {
          int errno = lib.errno();
          if (errno == Errno.EAGAIN.number() || errno == Errno.EINTR.number()) {
            continue;
          }
          throw new BpfException("read(iterator)", errno);
        }
        int at = 0;
        while (at < size) {
          int part = Math.min(one.remaining(), size - at);
          one.put(one.position(), chunk, at, part).position(one.position() + part);
          at += part;
          if (!one.hasRemaining()) {
            record.accept(one.clear());
            one.clear();
          }
        }
      }
    }
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
    int result = lib.bpf.bpf_prog_test_run_opts(fd(), options);
    Native.keep(data, options);
    Native.check("bpf_prog_test_run_opts()", result);
    return new TestRun(options.getInt(RETURN_VALUE), options.getInt(DURATION));
  }

  @Override
  public void close() {
    descriptor.close();
  }
}
