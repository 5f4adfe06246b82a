// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.plan;

/**
 * The workloads and identities every plan begins with; the ordinal is the index of both. Same
 * numbers as {@code enum weir_reserved} in {@code bpf-programs}' {@code weir/types.h}.
 */
public enum Reserved {
  /** In verdict rows only: any peer. */
  ANY,
  /** In a governed part of the node, declared by nobody. */
  UNKNOWN,
  /** This node, governed by nobody. */
  HOST,
  /** An address that belongs to no workload. */
  OUTSIDE,
  /** Our own proxy. */
  PROXY;

  /** The index of this workload and identity in a plan. */
  public int index() {
    return ordinal();
  }
}
