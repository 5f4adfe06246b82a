// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.upstream;

/** A channel whose ground may be given up while it is open, as a tunnel's is. */
public interface Passing {

  /** Whether what is in flight is the last that ought to go over it. */
  boolean leaving();
}
