// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.authorize;

import dev.weir.policy.plan.Protocol;
import java.util.Arrays;

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

  /**
   * Whether one of them means the code, or all of its protocol, or everything.
   *
   * @param codes ascending
   */
  static boolean covers(int[] codes, int code) {
    return codes.length > 0
        && (codes[0] == EVERYTHING
            || Arrays.binarySearch(codes, code) >= 0
            || Arrays.binarySearch(codes, code & ~0xffff) >= 0);
  }
}
