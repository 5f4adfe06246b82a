// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.bpf;

import java.lang.ref.Reference;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import java.util.function.Supplier;
import jnr.ffi.LastError;
import jnr.ffi.LibraryLoader;
import jnr.ffi.LibraryOption;
import jnr.ffi.Pointer;
import jnr.ffi.Runtime;
import jnr.ffi.annotations.Delegate;
import org.jspecify.annotations.Nullable;

/**
 * The two native libraries, loaded once.
 *
 * <p>libbpf returns negative error numbers from functions that return int, and NULL with errno from
 * those that return a pointer ({@code libbpf_set_strict_mode}, the only mode since 1.0).
 */
final class Native {

  /** Of libbpf 1.0 and later ({@code /usr/include/bpf/*.h}). */
  @SuppressWarnings({"checkstyle:MethodName", "MemberName"})
  public interface LibBpf {
    @Nullable Pointer libbpf_set_print(Print print);

    int libbpf_num_possible_cpus();

    @Nullable Pointer bpf_object__open_mem(ByteBuffer buffer, long size, @Nullable Pointer options);

    int bpf_object__load(Pointer object);

    void bpf_object__close(Pointer object);

    @Nullable Pointer bpf_object__next_program(Pointer object, @Nullable Pointer previous);

    @Nullable Pointer bpf_object__next_map(Pointer object, @Nullable Pointer previous);

    String bpf_program__name(Pointer program);

    int bpf_program__fd(Pointer program);

    boolean bpf_program__autoload(Pointer program);

    int bpf_program__set_autoload(Pointer program, boolean autoload);

    int bpf_program__expected_attach_type(Pointer program);

    int bpf_program__type(Pointer program);

    String bpf_map__name(Pointer map);

    int bpf_map__fd(Pointer map);

    boolean bpf_map__is_internal(Pointer map);

    int bpf_map__key_size(Pointer map);

    int bpf_map__value_size(Pointer map);

    int bpf_map__max_entries(Pointer map);

    int bpf_map__set_max_entries(Pointer map, int entries);

    int bpf_map__reuse_fd(Pointer map, int fd);

    int bpf_map_create(
        int type,
        String name,
        int keySize,
        int valueSize,
        int maxEntries,
        @Nullable ByteBuffer options);

    int bpf_map_lookup_elem(int fd, ByteBuffer key, ByteBuffer value);

    int bpf_map_update_elem(int fd, ByteBuffer key, ByteBuffer value, long flags);

    int bpf_map_delete_elem(int fd, ByteBuffer key);

    int bpf_map_get_next_key(int fd, @Nullable ByteBuffer key, ByteBuffer next);

    int bpf_map_update_batch(
        int fd, ByteBuffer keys, ByteBuffer values, ByteBuffer count, @Nullable Pointer options);

    int bpf_map_lookup_batch(
        int fd,
        @Nullable ByteBuffer in,
        ByteBuffer out,
        ByteBuffer keys,
        ByteBuffer values,
        ByteBuffer count,
        @Nullable Pointer options);

    int bpf_obj_pin(int fd, String path);

    int bpf_obj_get(String path);

    int bpf_obj_get_info_by_fd(int fd, ByteBuffer info, ByteBuffer length);

    int bpf_map_get_fd_by_id(int id);

    int bpf_prog_get_fd_by_id(int id);

    int bpf_link_create(int program, int target, int attachType, @Nullable Pointer options);

    int bpf_iter_create(int link);

    int bpf_link_detach(int link);

    int bpf_link_update(int link, int program, @Nullable Pointer options);

    int bpf_prog_test_run_opts(int program, ByteBuffer options);

    @Nullable Pointer ring_buffer__new(
        int map, Sample sample, @Nullable Pointer context, @Nullable Pointer options);

    int ring_buffer__poll(Pointer ring, int milliseconds);

    void ring_buffer__free(Pointer ring);
  }

  /** {@code libbpf_print_fn_t}: not variadic, it takes a {@code va_list}. */
  public interface Print {
    @Delegate
    int print(int level, Pointer format, Pointer arguments);
  }

  /** {@code ring_buffer_sample_fn}. */
  public interface Sample {
    @Delegate
    int sample(Pointer context, Pointer data, long size);
  }

  /** Of libc. */
  @SuppressWarnings({"checkstyle:MethodName", "MemberName"})
  public interface LibC {
    int open(String path, int flags, int mode);

    int close(int fd);

    long read(int fd, ByteBuffer to, long size);

    long send(int fd, ByteBuffer message, long size, int flags);

    long recv(int fd, ByteBuffer to, long size, int flags);

    int flock(int fd, int operation);

    int memfd_create(String name, int flags);

    int setns(int fd, int type);

    int socket(int domain, int type, int protocol);

    int getsockopt(int fd, int level, int name, ByteBuffer value, ByteBuffer length);

    int setsockopt(int fd, int level, int name, ByteBuffer value, int length);

    int bind(int fd, ByteBuffer address, int length);

    int listen(int fd, int backlog);

    int connect(int fd, ByteBuffer address, int length);

    long sendmsg(int fd, ByteBuffer message, int flags);

    int clock_gettime(int clock, ByteBuffer time);

    int mount(String source, String target, String type, long flags, @Nullable String data);

    // The address as a pointer: jnr-ffi 2.3.4 loses the sixth of six numbers.
    Pointer mmap(
        @Nullable Pointer address, long length, int protection, int flags, int fd, long offset);

    int munmap(long address, long length);

    int vsnprintf(ByteBuffer buffer, long size, Pointer format, Pointer arguments);
  }

  private static final int WARN = 0;
  private static final int LOG_LINE = 16 * 1024;
  private static final int LOG_LIMIT = 256 * 1024;

  final LibBpf bpf;
  final LibC libc;
  private final Runtime runtime;
  private final ThreadLocal<StringBuilder> log = ThreadLocal.withInitial(StringBuilder::new);

  /** libbpf calls it for as long as the process lives, so it must never be collected. */
  private final Print print = this::record;

  private Native() {
    Map<LibraryOption, Object> options = new HashMap<>();
    libc = LibraryLoader.loadLibrary(LibC.class, options, "c");
    bpf = LibraryLoader.loadLibrary(LibBpf.class, options, "libbpf.so.1");
    runtime = Runtime.getRuntime(bpf);
    bpf.libbpf_set_print(print);
  }

  private static final class Holder {
    static final Optional<Native> INSTANCE;
    static final String FAILURE;

    static {
      Optional<Native> loaded;
      String failure;
      try {
        loaded = Optional.of(new Native());
        failure = "";
      } catch (UnsatisfiedLinkError | RuntimeException e) {
        loaded = Optional.empty();
        failure = String.valueOf(e.getMessage());
      }
      INSTANCE = loaded;
      FAILURE = failure;
    }
  }

  /**
   * The libraries.
   *
   * @throws BpfException when libbpf.so.1 cannot be loaded
   */
  static Native get() {
    return Holder.INSTANCE.orElseThrow(
        () ->
            new BpfException(
                "libbpf.so.1 cannot be loaded ("
                    + Holder.FAILURE
                    + "); install it: apt-get install libbpf1"));
  }

  /** Text is appended to the calling thread's log; an exception must not cross the C frame. */
  private int record(int level, Pointer format, Pointer arguments) {
    try {
      StringBuilder text = log.get();
      if (level == WARN && text.length() < LOG_LIMIT) {
        ByteBuffer line = buffer(LOG_LINE);
        int length = libc.vsnprintf(line, LOG_LINE, format, arguments);
        byte[] bytes = new byte[Math.clamp(length, 0, LOG_LINE - 1)];
        line.get(0, bytes);
        text.append(new String(bytes, StandardCharsets.UTF_8));
      }
    } catch (Throwable ignored) { // NOPMD: there is nobody to tell, and C is the caller
      return 0;
    }
    return 0;
  }

  /** Runs a call and adds what libbpf printed meanwhile to the exception of its failure. */
  int logged(String call, Supplier<Integer> native_) {
    StringBuilder text = log.get();
    text.setLength(0);
    int result = native_.get();
    if (result < 0) {
      throw new BpfException(call, -result, text.toString().strip());
    }
    return result;
  }

  /** As {@link #logged}, for calls that return NULL with errno. */
  Pointer loggedPointer(String call, Supplier<@Nullable Pointer> native_) {
    StringBuilder text = log.get();
    text.setLength(0);
    Pointer result = native_.get();
    if (result == null || result.address() == 0) {
      throw new BpfException(call, errno(), text.toString().strip());
    }
    return result;
  }

  Runtime runtime() {
    return runtime;
  }

  /** Of the calling thread's last call. */
  int errno() {
    return LastError.getLastError(runtime);
  }

  /** The result of a libbpf call. */
  static int check(String call, int result) {
    if (result < 0) {
      throw new BpfException(call, -result);
    }
    return result;
  }

  /** The result of a libc call, which is -1 with errno when it failed. */
  int checkErrno(String call, int result) {
    if (result < 0) {
      throw new BpfException(call, errno());
    }
    return result;
  }

  /** As {@link #checkErrno(String, int)}, for calls that return a size. */
  long checkErrno(String call, long result) {
    if (result < 0) {
      throw new BpfException(call, errno());
    }
    return result;
  }

  /**
   * To be called after every call that was given buffers which nobody reads afterwards. A direct
   * buffer is passed as its address; without this it may be collected, and its memory given to
   * somebody else, while the kernel or libbpf still reads or writes there.
   */
  @SuppressWarnings("ReachabilityFenceUsage") // no call throws between the buffers and this
  static void keep(@Nullable ByteBuffer... buffers) {
    for (ByteBuffer buffer : buffers) {
      Reference.reachabilityFence(buffer);
    }
  }

  /** What the kernel says of a map, program or link. */
  static ByteBuffer info(String what, int fd, int size) {
    ByteBuffer info = buffer(size);
    ByteBuffer length = number(size);
    int result = get().bpf.bpf_obj_get_info_by_fd(fd, info, length);
    keep(info, length);
    check("bpf_obj_get_info_by_fd(" + what + ")", result);
    return info;
  }

  /** Zeroed memory outside the heap, in the machine's byte order. */
  static ByteBuffer buffer(int size) {
    return ByteBuffer.allocateDirect(size).order(ByteOrder.nativeOrder());
  }

  /** A 4-byte number in memory. */
  static ByteBuffer number(int value) {
    return buffer(4).putInt(0, value);
  }
}
