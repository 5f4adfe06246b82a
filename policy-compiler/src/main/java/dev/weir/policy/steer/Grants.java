// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.steer;

import dev.weir.policy.cluster.Cluster;
import dev.weir.policy.model.ReferenceGrant;
import java.util.List;

/** Which references from one namespace to another are allowed. */
final class Grants {

  static final String GATEWAY_GROUP = "gateway.networking.k8s.io";

  private final List<ReferenceGrant> grants;

  Grants(Cluster cluster) {
    this.grants = cluster.all(ReferenceGrant.class);
  }

  /**
   * Whether an object of the Gateway API may refer to a core object.
   *
   * @param fromKind kind of who refers
   * @param fromNamespace namespace of who refers
   * @param toKind core kind
   * @param toNamespace namespace of the object
   * @param toName name of the object
   */
  boolean allow(
      String fromKind, String fromNamespace, String toKind, String toNamespace, String toName) {
    if (fromNamespace.equals(toNamespace)) {
      return true;
    }
    ReferenceGrant.From from = new ReferenceGrant.From(GATEWAY_GROUP, fromKind, fromNamespace);
    for (ReferenceGrant grant : grants) {
      if (grant.meta().namespace().equals(toNamespace)
          && grant.from().contains(from)
          && grant.to().stream()
              .anyMatch(
                  t ->
                      t.group().isEmpty()
                          && t.kind().equals(toKind)
                          && t.name().map(toName::equals).orElse(true))) {
        return true;
      }
    }
    return false;
  }
}
