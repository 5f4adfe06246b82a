// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

/**
 * Something in the kernel that is not as the plan, or whoever pinned it, left it.
 *
 * @param kind of thing
 * @param what differs, one sentence
 * @param repaired whether it is as it should be again
 */
public record Drift(Kind kind, String what, boolean repaired) {

  /** Kinds of things that are compared. */
  public enum Kind {
    /** A pinned program. */
    PROGRAM,
    /** Where a program is attached, and which. */
    LINK,
    /** A pinned map. */
    MAP,
    /** Which generation is in force. */
    CURRENT,
    /** An entry of a table of the generation in force. */
    ENTRY,
    /** Which cgroup is whose. */
    ENROLMENT,
    /** What an application would meet: a connect that is allowed, and one that is refused. */
    CANARY
  }
}
