// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.cli;

/** What the exit status of a command says. */
final class ExitCode {

  /** Done; or all is as it should be. */
  static final int OK = 0;

  /** Refused; or something is not as it should be. */
  static final int REFUSED = 1;

  /** The command line is wrong. */
  static final int USAGE = 2;

  /** This user or this kernel cannot do it; one line says what is missing. */
  static final int MISSING = 3;

  /** Done and in force, but this kernel needs a running agent to keep it so, and none runs. */
  static final int AGENT_REQUIRED = 4;

  private ExitCode() {}
}
