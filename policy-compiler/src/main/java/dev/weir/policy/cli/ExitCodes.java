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

  /** Of {@code diff}: the new files allow more, and all of what was allowed. */
  public static final int WIDENED = 4;

  /** Of {@code diff}: the new files allow less, and nothing else. */
  public static final int NARROWED = 5;

  /** Of {@code diff}: something opens and something closes. */
  public static final int WIDENED_AND_NARROWED = 6;

  private ExitCodes() {}
}
