// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.observe;

/**
 * Counts of one kind of connection on one event loop. Written by that loop only; others get a copy.
 */
public final class StreamSeries {

  private final StreamKey key;
  private long opened;
  private long closed;
  private long sent;
  private long received;

  StreamSeries(StreamKey key) {
    this.key = key;
  }

  /** What it counts. */
  public StreamKey key() {
    return key;
  }

  /** A connection began. */
  public void open() {
    opened++;
  }

  /** A connection ended. */
  public void close() {
    closed++;
  }

  /** Bytes came from the backend. */
  public void send(long bytes) {
    sent += bytes;
  }

  /** Bytes came from the client. */
  public void receive(long bytes) {
    received += bytes;
  }

  long opened() {
    return opened;
  }

  long closed() {
    return closed;
  }

  long sent() {
    return sent;
  }

  long received() {
    return received;
  }

  void add(StreamSeries other) {
    opened += other.opened;
    closed += other.closed;
    sent += other.sent;
    received += other.received;
  }

  StreamSeries copy() {
    StreamSeries copy = new StreamSeries(key);
    copy.add(this);
    return copy;
  }
}
