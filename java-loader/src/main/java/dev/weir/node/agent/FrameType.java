// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.agent;

import java.util.Arrays;
import java.util.Optional;

/** What a frame of the control sockets is ({@code docs/protocols.md}, Frames). */
public enum FrameType {
  /** A generation for the proxy. */
  UPDATE(1),
  /** How are you? */
  STATUS(2),
  /** The counters, please. */
  METRICS(3),
  /** Finish what is in flight and end. */
  DRAIN(4),
  /** Workloads live in these other network namespaces: where does the proxy listen? */
  NAMESPACES(5),
  /** Send what listens to your successor. */
  HAND_OVER(6),
  /** Which backends are on trial, and which are rolled back? */
  CANARIES(7),
  /** Give canaries their weight again. */
  RELEASE(8),
  /** Compile a directory and put it in force. */
  APPLY(16),
  /** Keep the generation in force for good. */
  CONFIRM(17),
  /** Remove everything and end. */
  DOWN(18),
  /** Done. */
  OK(128),
  /** Not done: what is wrong and what to do. */
  ERROR(129),
  /** An answer in JSON. */
  JSON(130),
  /** An answer in text. */
  TEXT(131);

  private final int number;

  FrameType(int number) {
    this.number = number;
  }

  /** The byte on the wire, 0 to 255. */
  public int number() {
    return number;
  }

  /** The type of a byte on the wire; empty for one we do not know. */
  public static Optional<FrameType> of(int number) {
    return Arrays.stream(values()).filter(type -> type.number == number).findFirst();
  }
}
