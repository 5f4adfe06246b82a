// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.cli;

import java.util.List;

/** This user or this kernel lacks something; the message says what, in one line. */
final class MissingException extends RuntimeException {

  MissingException(List<String> missing) {
    super("missing: " + String.join("; ", missing).replaceAll("\\s+", " "));
  }
}
