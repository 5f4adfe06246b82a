// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.identity;

/** How it stands with a certificate. */
public enum IdentityState {
  /** Nothing is to be done. */
  good(false),
  /** Two thirds of its life are over: the next {@code weir ca issue} renews it. */
  due(false),
  /** Five sixths of its life are over: whoever should renew it does not. */
  ending(true),
  /** It is worth nothing any more. */
  ended(true),
  /** The clock stands before its beginning: the clock is wrong, or was when it was issued. */
  early(true),
  /** It leads to no root that is believed. */
  untrusted(true),
  /** It cannot be used. */
  broken(true);

  private final boolean wrong;

  IdentityState(boolean wrong) {
    this.wrong = wrong;
  }

  /** Whether somebody should do something. */
  public boolean wrong() {
    return wrong;
  }
}
