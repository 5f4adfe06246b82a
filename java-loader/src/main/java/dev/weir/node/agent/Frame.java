// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.agent;

import java.nio.charset.StandardCharsets;

/** One message of a control socket ({@code docs/protocols.md}, Frames). Immutable. */
public final class Frame {

  /** Largest length field: type and payload together, bytes. */
  public static final int MAX_LENGTH = 64 << 20;

  private final FrameType type;
  private final byte[] payload;

  private Frame(FrameType type, byte[] payload) {
    this.type = type;
    this.payload = payload;
  }

  /** A frame without a payload. */
  public static Frame of(FrameType type) {
    return new Frame(type, new byte[0]);
  }

  /**
   * A frame with these bytes, which the caller must not change any more.
   *
   * @throws IllegalArgumentException when they do not fit a frame
   */
  public static Frame of(FrameType type, byte[] payload) {
    if (payload.length >= MAX_LENGTH) {
      throw new IllegalArgumentException(
          "frame payload: " + payload.length + " bytes (expected: < " + MAX_LENGTH + ")");
    }
    return new Frame(type, payload);
  }

  /** A frame with this text in UTF-8. */
  public static Frame of(FrameType type, String text) {
    return of(type, text.getBytes(StandardCharsets.UTF_8));
  }

  /** What it is. */
  public FrameType type() {
    return type;
  }

  /** The payload; not to be changed. */
  byte[] payload() {
    return payload;
  }

  /** The payload as UTF-8 text. */
  public String text() {
    return new String(payload, StandardCharsets.UTF_8);
  }

  /** Type and length; the payload may hold keys. */
  @Override
  public String toString() {
    return type + "[" + payload.length + "]";
  }
}
