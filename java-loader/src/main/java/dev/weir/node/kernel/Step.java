// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

/**
 * The instants of a change at which something of it has just become visible outside this process,
 * in the kernel or on disk ({@code docs/protocols.md}). Tests kill the process at each of them. A
 * step that is many calls, such as {@link #EXCHANGED}, is passed once for each.
 */
enum Step {
  /** The lock is held. */
  LOCKED,
  /** Nothing that was killed before has left anything behind. */
  CLEARED,
  /** Programs and maps are in the kernel, in nobody's way. */
  LOADED,
  /** The tables of a slot that is not in force are written. */
  WRITTEN,
  /** Registry and plans are on disk. */
  FILED,
  /** One place in the kernel has its program. */
  ATTACHED,
  /** {@code paths} says who lives where. */
  DECLARED,
  /** Cgroups that exist are known. */
  ENROLLED,
  /** Declared ports are kept out of those that the kernel gives away. */
  RESERVED,
  /** One map, program or link is pinned. */
  PINNED,
  /** The staged directory has its name. */
  NAMED,
  /** One link runs another program, or is made again. */
  EXCHANGED,
  /** One map has the place of a smaller one. */
  GROWN,
  /** All links run the programs of this version. */
  REPAIRED,
  /** No program reads the slot any more that is to be written. */
  UNREAD,
  /** The one store is done: this is the change. */
  IN_FORCE,
  /** What is not allowed any more has ended. */
  REVOKED,
  /** The plan is on disk as the last good one. */
  KEPT,
  /** The pin directory has lost its name. */
  UNNAMED,
  /** Links, programs and maps are not pinned any more. */
  UNPINNED,
  /** Nothing of this mesh is on disk but the last good plan. */
  FORGOTTEN
}
