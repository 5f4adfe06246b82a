// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

/** A port by number or by the name a workload gives it. */
public sealed interface PortReference {

  /**
   * A range of numbers, most often of one.
   *
   * @param first lowest
   * @param last highest, inclusive
   */
  record Numbers(int first, int last) implements PortReference {}

  /**
   * A name; each workload says what it means by it.
   *
   * @param name IANA service name
   */
  record Named(String name) implements PortReference {}
}
