// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.bpf;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.function.BiConsumer;

/**
 * A map in the kernel.
 *
 * <p>Keys and values are direct buffers in the machine's byte order, read and written from index 0
 * whatever their position. Values of per-CPU maps are one value per possible CPU, each rounded up
 * to 8 bytes. Not safe for use by several threads at once, except {@link #lookup}, {@link #update}
 * and {@link #delete} with buffers of their own.
 */
public final class BpfMap implements AutoCloseable {

  /** {@code BPF_F_INNER_MAP}: inner arrays of one outer map may differ in size. */
  public static final int INNER_MAP = 1 << 12;

  /** {@code BPF_F_NO_PREALLOC}. */
  public static final int NO_PREALLOC = 1;

  /** {@code BPF_F_MMAPABLE}. */
  public static final int MMAPABLE = 1 << 10;

  /** Types of {@code enum bpf_map_type} that are used here. */
  public enum Type {
    /** Hash table. */
    HASH(1),
    /** Array. */
    ARRAY(2),
    /** Hash table with a value per CPU. */
    PERCPU_HASH(5),
    /** Array with a value per CPU. */
    PERCPU_ARRAY(6),
    /** Hash table that evicts. */
    LRU_HASH(9),
    /** Longest prefix match. */
    LPM_TRIE(11),
    /** Array of maps. */
    ARRAY_OF_MAPS(12),
    /** Socket-local storage. */
    SK_STORAGE(24),
    /** Ring buffer. */
    RINGBUF(27),
    /** Process-local storage. */
    TASK_STORAGE(29),
    /** Any other. */
    OTHER(-1);

    private final int number;

    Type(int number) {
      this.number = number;
    }

    static Type of(int number) {
      for (Type type : values()) {
        if (type.number == number) {
          return type;
        }
      }
      return OTHER;
    }
  }

  /** {@code sizeof(struct bpf_map_create_opts)} of libbpf 1.0. */
  private static final int CREATE_OPTIONS = 48;

  private static final int CREATE_OPTIONS_FLAGS = 28;
  private static final int INFO = 64;
  private static final int INFO_ID = 4;
  private static final int INFO_NAME = 24;
  private static final int NAME_LENGTH = 16;
  private static final int BATCH = 4096;

  private final Descriptor descriptor;
  private final Native lib;
  private final String name;
  private final Type type;
  private final int id;
  private final int keySize;
  private final int valueSize;
  private final int maxEntries;
  private final int flags;

  private BpfMap(Descriptor descriptor, String call) {
    this.descriptor = descriptor;
    this.lib = Native.get();
    ByteBuffer info = info(descriptor.fd(), call);
    this.type = Type.of(info.getInt(0));
    this.id = info.getInt(INFO_ID);
    this.keySize = info.getInt(8);
    this.valueSize = info.getInt(12);
    this.maxEntries = info.getInt(16);
    this.flags = info.getInt(20);
    this.name = text(info, INFO_NAME, NAME_LENGTH);
  }

  private static ByteBuffer info(int fd, String what) {
    return Native.info(what, fd, INFO);
  }

  static int idOf(int fd) {
    return info(fd, "map").getInt(INFO_ID);
  }

  static String text(ByteBuffer buffer, int offset, int length) {
    byte[] bytes = new byte[length];
    buffer.get(offset, bytes);
    int end = 0;
    while (end < length && bytes[end] != 0) {
      end++;
    }
    return new String(bytes, 0, end, StandardCharsets.UTF_8);
  }

  /**
   * Makes a map.
   *
   * @param type of map
   * @param name shown by bpftool; cut to 15 characters
   * @param keySize bytes
   * @param valueSize bytes
   * @param maxEntries at least 1
   * @param flags {@code BPF_F_*}
   */
  public static BpfMap create(
      Type type, String name, int keySize, int valueSize, int maxEntries, int flags) {
    ByteBuffer options =
        Native.buffer(CREATE_OPTIONS)
            .putLong(0, CREATE_OPTIONS)
            .putInt(CREATE_OPTIONS_FLAGS, flags);
    String call = "bpf_map_create(" + name + ", " + maxEntries + " entries)";
    int fd =
        Native.check(
            call,
            Native.get()
                .bpf
                .bpf_map_create(
                    type.number,
                    name.substring(0, Math.min(name.length(), NAME_LENGTH - 1)),
                    keySize,
                    valueSize,
                    maxEntries,
                    options));
    Native.keep(options);
    return of(fd, name);
  }

  /**
   * Opens a pinned map.
   *
   * @throws BpfException ENOENT when nothing is pinned there
   */
  public static BpfMap open(Path pin) {
    String call = "bpf_obj_get(" + pin + ")";
    return of(Native.check(call, Native.get().bpf.bpf_obj_get(pin.toString())), pin.toString());
  }

  /** Opens a map by its id. */
  public static BpfMap byId(int id) {
    String call = "bpf_map_get_fd_by_id(" + id + ")";
    return of(Native.check(call, Native.get().bpf.bpf_map_get_fd_by_id(id)), "map " + id);
  }

  private static BpfMap of(int fd, String what) {
    Descriptor descriptor = new Descriptor(fd);
    try {
      return new BpfMap(descriptor, what);
    } catch (BpfException e) {
      descriptor.close();
      throw e;
    }
  }

  int fd() {
    return descriptor.fd();
  }

  /** As the kernel keeps it: at most 15 characters. */
  public String name() {
    return name;
  }

  /** Of this map. */
  public Type type() {
    return type;
  }

  /** Unique while the system runs. */
  public int id() {
    return id;
  }

  /** Bytes. */
  public int keySize() {
    return keySize;
  }

  /** Bytes of one value; of one CPU's value in per-CPU maps. */
  public int valueSize() {
    return valueSize;
  }

  /** Capacity. */
  public int maxEntries() {
    return maxEntries;
  }

  /** {@code BPF_F_*}. */
  public int flags() {
    return flags;
  }

  /** Bytes that one look-up writes: of all CPUs in per-CPU maps. */
  public int lookupSize() {
    return switch (type) {
      case PERCPU_HASH, PERCPU_ARRAY -> perCpuStride() * possibleCpus();
      case ARRAY_OF_MAPS -> Integer.BYTES;
      default -> valueSize;
    };
  }

  /** Bytes from one CPU's value to the next one's. */
  public int perCpuStride() {
    return (valueSize + 7) / 8 * 8;
  }

  /** CPUs this machine may ever have: the number of values in per-CPU maps. */
  public static int possibleCpus() {
    return Native.check("libbpf_num_possible_cpus()", Native.get().bpf.libbpf_num_possible_cpus());
  }

  /** A buffer for one key. */
  public ByteBuffer newKey() {
    return Native.buffer(keySize);
  }

  /** A buffer for what one look-up writes. */
  public ByteBuffer newValue() {
    return Native.buffer(lookupSize());
  }

  /** A buffer for n of something, zeroed. */
  public static ByteBuffer newBuffer(int bytes) {
    return Native.buffer(bytes);
  }

  private void require(ByteBuffer buffer, int size, String what) {
    if (!buffer.isDirect() || buffer.capacity() < size) {
      throw new IllegalArgumentException(
          name
              + ": "
              + what
              + " of "
              + buffer.capacity()
              + " bytes (expected: direct, "
              + size
              + ")");
    }
  }

  /** Reads the value of a key; false when there is none. */
  public boolean lookup(ByteBuffer key, ByteBuffer value) {
    require(key, keySize, "key");
    require(value, lookupSize(), "value");
    int result = lib.bpf.bpf_map_lookup_elem(fd(), key, value);
    Native.keep(key, value);
    if (result == -Errno.ENOENT.number()) {
      return false;
    }
    Native.check("bpf_map_lookup_elem(" + name + ")", result);
    return true;
  }

  /** Writes the value of a key. */
  public void update(ByteBuffer key, ByteBuffer value) {
    require(key, keySize, "key");
    require(value, lookupSize(), "value");
    int result = lib.bpf.bpf_map_update_elem(fd(), key, value, 0);
    Native.keep(key, value);
    Native.check("bpf_map_update_elem(" + name + ")", result);
  }

  /** Puts a map into an array of maps; when this returns no program uses the one before. */
  public void updateInner(int index, BpfMap inner) {
    update(Native.number(index), Native.number(inner.fd()));
  }

  /** Removes a key; false when there was none. */
  public boolean delete(ByteBuffer key) {
    require(key, keySize, "key");
    int result = lib.bpf.bpf_map_delete_elem(fd(), key);
    Native.keep(key);
    if (result == -Errno.ENOENT.number()) {
      return false;
    }
    Native.check("bpf_map_delete_elem(" + name + ")", result);
    return true;
  }

  /**
   * Writes many entries.
   *
   * @param keys one after another
   * @param values one after another
   * @param count of entries
   */
  public void updateAll(ByteBuffer keys, ByteBuffer values, int count) {
    require(keys, keySize * count, "keys");
    require(values, valueSize * count, "values");
    if (count == 0) {
      return;
    }
    ByteBuffer done = Native.number(count);
    int result = lib.bpf.bpf_map_update_batch(fd(), keys, values, done, null);
    Native.keep(keys, values, done);
    if (!isUnsupported(result)) {
      Native.check("bpf_map_update_batch(" + name + ", " + count + " entries)", result);
      return;
    }
    for (int i = 0; i < count; i++) {
      update(slice(keys, i, keySize), slice(values, i, valueSize));
    }
  }

  private static ByteBuffer slice(ByteBuffer buffer, int index, int size) {
    return buffer.slice(index * size, size).order(buffer.order());
  }

  /** Batches came later than the maps themselves (LPM tries: 5.14, per-CPU maps: 5.13). */
  private static boolean isUnsupported(int result) {
    return result == -Errno.ENOTSUPP.number()
        || result == -Errno.EOPNOTSUPP.number()
        || result == -Errno.EINVAL.number();
  }

  /** Hands over every entry. An entry that is written or removed meanwhile may be missed. */
  public void forEach(BiConsumer<ByteBuffer, ByteBuffer> consumer) {
    if (!forEachBatch(consumer)) {
      forEachKey(consumer);
    }
  }

  private boolean forEachBatch(BiConsumer<ByteBuffer, ByteBuffer> consumer) {
    int batch = Math.min(BATCH, Math.max(maxEntries, 1));
    ByteBuffer keys = Native.buffer(batch * keySize);
    ByteBuffer values = Native.buffer(batch * lookupSize());
    // A hash map's cursor is a bucket number, an array's a key: 4 bytes do, 8 are there to spare.
    ByteBuffer in = Native.buffer(Math.max(8, keySize));
    ByteBuffer out = Native.buffer(Math.max(8, keySize));
    boolean first = true;
    while (true) {
      ByteBuffer count = Native.number(batch);
      int result =
          lib.bpf.bpf_map_lookup_batch(fd(), first ? null : in, out, keys, values, count, null);
      Native.keep(in, out, keys, values, count);
      if (first && isUnsupported(result)) {
        return false;
      }
      if (result == -Errno.ENOSPC.number()) {
        // More entries share one bucket than the batch has room for.
        if (!first) {
          throw new BpfException("bpf_map_lookup_batch(" + name + ")", -result);
        }
        return false;
      }
      boolean last = result == -Errno.ENOENT.number();
      if (!last) {
        Native.check("bpf_map_lookup_batch(" + name + ")", result);
      }
      int found = count.getInt(0);
      for (int i = 0; i < found; i++) {
        consumer.accept(slice(keys, i, keySize), slice(values, i, lookupSize()));
      }
      if (last) {
        return true;
      }
      in.put(0, out, 0, in.capacity());
      first = false;
    }
  }

  /** Room for entries on their way, used again and again by {@link #read}; of one thread. */
  public static final class Batch {
    private static final int BYTES = 64 * 1024;
    private static final int CURSOR = 512;

    private final ByteBuffer keys = Native.buffer(BYTES);
    private final ByteBuffer values = Native.buffer(BYTES);
    private final ByteBuffer in = Native.buffer(CURSOR);
    private final ByteBuffer out = Native.buffer(CURSOR);
    private final ByteBuffer count = Native.buffer(Integer.BYTES);
  }

  /** Takes many entries at a time. */
  @FunctionalInterface
  public interface Entries {
    /** Keys one after another, values one after another, and how many; valid during the call. */
    void accept(ByteBuffer keys, ByteBuffer values, int count);
  }

  /**
   * Hands over every entry in as few calls as there can be, and leaves no garbage behind. An entry
   * that is written or removed meanwhile may be missed.
   */
  public void read(Batch batch, Entries entries) {
    int room =
        Math.min(Batch.BYTES / Math.max(keySize, 1), Batch.BYTES / Math.max(lookupSize(), 1));
    boolean first = true;
    while (room > 0 && keySize <= Batch.CURSOR) {
      batch.count.putInt(0, room);
      int result =
          lib.bpf.bpf_map_lookup_batch(
              fd(),
              first ? null : batch.in,
              batch.out,
              batch.keys,
              batch.values,
              batch.count,
              null);
      Native.keep(batch.in, batch.out, batch.keys, batch.values, batch.count);
      if (first && (isUnsupported(result) || result == -Errno.ENOSPC.number())) {
        break;
      }
      boolean last = result == -Errno.ENOENT.number();
      if (!last) {
        Native.check("bpf_map_lookup_batch(" + name + ")", result);
      }
      int found = batch.count.getInt(0);
      if (found > 0) {
        entries.accept(batch.keys, batch.values, found);
      }
      if (last) {
        return;
      }
      batch.in.put(0, batch.out, 0, Batch.CURSOR);
      first = false;
    }
    forEachKey((key, value) -> entries.accept(key, value, 1));
  }

  private void forEachKey(BiConsumer<ByteBuffer, ByteBuffer> consumer) {
    ByteBuffer key = newKey();
    ByteBuffer next = newKey();
    ByteBuffer value = newValue();
    int result = lib.bpf.bpf_map_get_next_key(fd(), null, next);
    while (result == 0) {
      key.put(0, next, 0, keySize);
      result = lib.bpf.bpf_map_get_next_key(fd(), key, next);
      Native.keep(key, next);
      if (lookup(key, value)) {
        consumer.accept(key, value);
      }
    }
    if (result != -Errno.ENOENT.number()) {
      Native.check("bpf_map_get_next_key(" + name + ")", result);
    }
  }

  /** Pins this map; removed again by deleting the file. */
  public void pin(Path path) {
    Native.check("bpf_obj_pin(" + path + ")", lib.bpf.bpf_obj_pin(fd(), path.toString()));
  }

  /**
   * The first eight bytes of a map with {@code BPF_F_MMAPABLE}, as programs see them.
   *
   * @throws BpfException when it cannot be mapped
   */
  public Word word() {
    return new Word();
  }

  /** One number in a mapped map, read and written whole, in order with everything before it. */
  public final class Word implements AutoCloseable {
    private static final int READ_WRITE = 3;
    private static final int SHARED = 1;
    private static final long PAGE = 4096;
    private static final VarHandle LONG = ValueLayout.JAVA_LONG.varHandle();

    private final long address;
    private final MemorySegment segment;

    @SuppressWarnings("restricted") // the kernel has just given this address and at least 8 bytes
    private Word() {
      address = lib.libc.mmap(null, PAGE, READ_WRITE, SHARED, fd(), 0).address();
      if (address == -1) {
        throw new BpfException("mmap(" + name + ")", lib.errno());
      }
      segment = MemorySegment.ofAddress(address).reinterpret(Long.BYTES);
    }

    /** Reads it. */
    public long get() {
      return (long) LONG.getVolatile(segment, 0L);
    }

    /** Stores it, with one store of eight bytes. */
    public void set(long value) {
      LONG.setVolatile(segment, 0L, value);
    }

    @Override
    public void close() {
      lib.libc.munmap(address, PAGE);
    }
  }

  @Override
  public void close() {
    descriptor.close();
  }

  @Override
  public String toString() {
    return "BpfMap[" + name + ", id " + id + "]";
  }
}
