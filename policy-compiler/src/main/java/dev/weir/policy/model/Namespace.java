// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

/**
 * A {@code v1 Namespace}.
 *
 * @param meta its labels are what namespace selectors see
 */
public record Namespace(Meta meta) implements Resource {
  @Override
  public String kind() {
    return "Namespace";
  }
}
