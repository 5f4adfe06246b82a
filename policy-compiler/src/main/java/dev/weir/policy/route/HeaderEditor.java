// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.route;

/**
 * How header fields are changed, whoever keeps them. One object for all of them, so that a change
 * allocates nothing.
 *
 * @param <H> what keeps fields; names are compared without regard to case
 */
public interface HeaderEditor<H> {

  /** Puts one field in place of all of that name. */
  void set(H headers, String name, String value);

  /** Puts one more field behind those of that name. */
  void add(H headers, String name, String value);

  /** Takes every field of that name away. */
  void remove(H headers, String name);
}
