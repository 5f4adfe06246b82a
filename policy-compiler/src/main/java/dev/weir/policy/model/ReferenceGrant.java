// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import java.util.List;
import java.util.Optional;

/**
 * A {@code gateway.networking.k8s.io ReferenceGrant}: who of other namespaces may refer to objects
 * of this one.
 *
 * @param meta its namespace is the one opened
 * @param from who may
 * @param to what
 */
public record ReferenceGrant(Meta meta, List<From> from, List<To> to) implements Resource {
  /** Copies the lists. */
  public ReferenceGrant {
    from = List.copyOf(from);
    to = List.copyOf(to);
  }

  @Override
  public String kind() {
    return "ReferenceGrant";
  }

  /** Objects of this group and kind in this namespace. */
  public record From(String group, String kind, String namespace) {}

  /** Objects of this group and kind, with this name if one is given. */
  public record To(String group, String kind, Optional<String> name) {}
}
