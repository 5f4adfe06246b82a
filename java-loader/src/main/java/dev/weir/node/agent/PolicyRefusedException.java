// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.agent;

import java.util.List;

/** Policy files that cannot be put in force; the message names file and line of each error. */
public final class PolicyRefusedException extends RuntimeException {

  /** With what is wrong: each with file, line and remedy. */
  public PolicyRefusedException(List<String> errors) {
    super(String.join("\n", errors));
  }
}
