// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

/** How open connections are ended that are not allowed any more. */
public enum RevocationWay {
  /**
   * By the iterator where the kernel has {@code bpf_sock_destroy()} (Linux 6.5), else by netlink.
   */
  BEST,
  /**
   * By netlink ({@code SOCK_DESTROY}) whatever the kernel has: an iterator lists, user space ends.
   */
  NETLINK
}
