// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.authorize;

import dev.weir.policy.plan.Protocol;

/** Protocol and port class of a row in one number: port in bits 0-15, protocol above. */
final class PortCodes {

  /** Any protocol, any port. */
  static final int EVERYTHING = 0;

  private static final Protocol[] PROTOCOLS = Protocol.values();

  private PortCodes() {}

  static int code(Protocol protocol, int port) {
    return protocol.ordinal() << 16 | port;
  }

  static Protocol protocol(int code) {
    return PROTOCOLS[code >>> 16];
  }

  static int port(int code) {
    return code & 0xffff;
  }

  /** What both allow, or -1. */
  static int both(int a, int b) {
    if (a == b || b == EVERYTHING) {
      return a;
    }
    if (a == EVERYTHING) {
      return b;
    }
    if (a >>> 16 != b >>> 16) {
      return -1;
    }
    return port(a) == 0 ? b : port(b) == 0 ? a : -1;
  }
}
