// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.cli;

/** Exit codes of every command. */
public final class ExitCodes {

  /** What was asked for is so. */
  public static final int OK = 0;

  /** Something was found, or refused. */
  public static final int FINDINGS = 1;

  /** The command line is wrong. */
  public static final int USAGE = 2;

  private ExitCodes() {}
}
