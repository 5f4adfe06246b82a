// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.source;

/** What files are read for. It decides how bad a finding is, never what the files mean. */
public enum Purpose {
  /** To be put in force: whatever cannot be served exactly as written refuses all of it. */
  ENFORCE,
  /** To be looked at before it is put in force: what only a later version serves is a warning. */
  CHECK,
  /** To answer questions: a missing Secret is a warning too, since no answer depends on it. */
  ASK
}
