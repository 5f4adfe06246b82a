// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.bpf;

import java.nio.ByteBuffer;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;
import jnr.ffi.Pointer;
import org.jspecify.annotations.Nullable;

/** The reading side of a ring buffer map. Used by one thread at a time. */
public final class RingBuffer implements AutoCloseable {

  private final Native lib;
  private final Consumer<ByteBuffer> consumer;
  private final int minimumSize;
  private final AtomicReference<@Nullable Throwable> failure = new AtomicReference<>();

  /** libbpf keeps its address for as long as the ring lives, so it must not be collected before. */
  private final Native.Sample callback = this::take;

  private final BpfMap map;
  private final Pointer ring;
  private boolean closed;

  /**
   * Reads a ring buffer from now on.
   *
   * @param map of type {@link BpfMap.Type#RINGBUF}
   * @param minimumSize shorter records are passed over
   * @param consumer of records; what it is given lasts only as long as the call
   */
  public RingBuffer(BpfMap map, int minimumSize, Consumer<ByteBuffer> consumer) {
    this.lib = Native.get();
    this.consumer = consumer;
    this.minimumSize = minimumSize;
    // libbpf polls the descriptor it is given, so that one must last as long as the ring.
    this.map = BpfMap.byId(map.id());
    int fd = this.map.fd();
    this.ring =
        lib.loggedPointer(
            "ring_buffer__new(" + map.name() + ")",
            () -> lib.bpf.ring_buffer__new(fd, callback, null, null));
  }

  /** An exception must not cross the C frame: it is kept for {@link #poll}. */
  private int take(Pointer context, Pointer data, long size) {
    try {
      if (size >= minimumSize) {
        byte[] bytes = new byte[Math.toIntExact(size)];
        data.get(0, bytes, 0, bytes.length);
        consumer.accept(ByteBuffer.wrap(bytes).order(java.nio.ByteOrder.nativeOrder()));
      }
    } catch (Throwable e) { // NOPMD
      failure.compareAndSet(null, e);
    }
    return 0;
  }

  /**
   * Waits for records and hands them over.
   *
   * @param milliseconds to wait at most
   * @return how many there were
   * @throws IllegalStateException with what the consumer threw
   */
  public int poll(int milliseconds) {
    int result = lib.bpf.ring_buffer__poll(ring, milliseconds);
    Throwable thrown = failure.getAndSet(null);
    if (thrown != null) {
      throw new IllegalStateException("event consumer failed", thrown);
    }
    return result == -Errno.EINTR.number() ? 0 : Native.check("ring_buffer__poll()", result);
  }

  @Override
  public void close() {
    if (!closed) {
      closed = true;
      lib.bpf.ring_buffer__free(ring);
      map.close();
    }
  }
}
