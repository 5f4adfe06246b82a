// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.agent;

import java.io.IOException;

/** The proxy has refused a generation; the one before is still in force there. */
final class ProxyRefusedException extends IOException {

  ProxyRefusedException(long generation, String reason) {
    super("the proxy refused generation " + generation + ": " + reason);
  }
}
