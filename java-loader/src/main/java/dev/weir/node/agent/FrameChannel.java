// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.agent;

import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;
import java.time.Duration;
import java.util.Optional;

/**
 * A connection that speaks frames: 4 bytes length (big endian, of what follows), 1 byte type,
 * payload. Used by one thread at a time.
 */
final class FrameChannel implements AutoCloseable {

  private static final int HEADER = 5;

  private final SocketChannel channel;
  private final Selector selector;
  private final SelectionKey key;

  FrameChannel(SocketChannel channel) throws IOException {
    this.channel = channel;
    channel.configureBlocking(false);
    selector = Selector.open();
    key = channel.register(selector, 0);
  }

  /** The bytes of a frame on the wire. */
  static ByteBuffer encode(Frame frame) {
    byte[] payload = frame.payload();
    return ByteBuffer.allocate(HEADER + payload.length)
        .putInt(1 + payload.length)
        .put((byte) frame.type().number())
        .put(payload)
        .flip();
  }

  /**
   * Sends a frame whole.
   *
   * @throws IOException when the peer is gone or takes longer than the timeout
   */
  void send(Frame frame, Duration timeout) throws IOException {
    ByteBuffer bytes = encode(frame);
    long deadline = System.nanoTime() + timeout.toNanos();
    while (bytes.hasRemaining()) {
      if (channel.write(bytes) == 0) {
        await(SelectionKey.OP_WRITE, deadline);
      }
    }
  }

  /**
   * Receives a frame.
   *
   * @return empty when the peer has closed between two frames
   * @throws IOException when the peer closes within a frame, takes longer than the timeout, or
   *     sends what is no frame
   */
  Optional<Frame> receive(Duration timeout) throws IOException {
    long deadline = System.nanoTime() + timeout.toNanos();
    ByteBuffer header = ByteBuffer.allocate(HEADER);
    if (!fill(header, deadline)) {
      return Optional.empty();
    }
    int length = header.getInt(0);
    if (length < 1 || length > Frame.MAX_LENGTH) {
      throw new IOException("frame length: " + length + " (expected: 1-" + Frame.MAX_LENGTH + ")");
    }
    int number = header.get(4) & 0xff;
    FrameType type =
        FrameType.of(number).orElseThrow(() -> new IOException("frame of unknown type " + number));
    ByteBuffer payload = ByteBuffer.allocate(length - 1);
    if (!fill(payload, deadline) && length > 1) {
      throw new EOFException("the peer closed within a frame");
    }
    return Optional.of(Frame.of(type, payload.array()));
  }

  /** Whether the buffer could be filled; false when the peer closed before the first byte. */
  private boolean fill(ByteBuffer buffer, long deadline) throws IOException {
    while (buffer.hasRemaining()) {
      int read = channel.read(buffer);
      if (read < 0) {
        if (buffer.position() == 0) {
          return false;
        }
        throw new EOFException("the peer closed within a frame");
      }
      if (read == 0) {
        await(SelectionKey.OP_READ, deadline);
      }
    }
    return true;
  }

  private void await(int operation, long deadline) throws IOException {
    key.interestOps(operation);
    long millis = (deadline - System.nanoTime()) / 1_000_000 + 1;
    if (millis <= 0) {
      throw new IOException("the peer did not answer in time");
    }
    selector.select(millis);
    selector.selectedKeys().clear();
    if (Thread.interrupted()) {
      throw new IOException("interrupted while waiting for the peer");
    }
  }

  @Override
  public void close() throws IOException {
    try (channel) {
      selector.close();
    }
  }
}
