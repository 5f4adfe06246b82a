// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

/** Where in the kernel something was decided; the ordinal is {@code enum weir_hook}. */
public enum Hook {
  /** Not said. */
  NONE,
  /** connect(2). */
  CONNECT,
  /** A datagram of an unconnected socket. */
  SENDMSG,
  /** bind(2). */
  BIND,
  /** socket(2). */
  CREATE,
  /** A process entered a governed cgroup. */
  MOVED,
  /** An open connection that is not allowed any more. */
  REVOKE,
  /** A connection or datagram that came to a socket; it belongs to no process. */
  INGRESS,
  /** A UDP packet on its way out. */
  PACKET
}
