// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import dev.weir.policy.plan.TrafficPolicy.Setting;
import java.util.List;

/**
 * A {@code weir.dev/v1alpha1 TrafficPolicy}: what no standard kind says about how traffic is to be
 * treated.
 *
 * @param meta name and place
 * @param targets of its own namespace
 * @param settings each with the field that says it
 */
public record TrafficPolicy(Meta meta, List<Reference> targets, List<Located<Setting>> settings)
    implements Resource {
  /** Copies the lists. */
  public TrafficPolicy {
    targets = List.copyOf(targets);
    settings = List.copyOf(settings);
  }

  @Override
  public String kind() {
    return "TrafficPolicy";
  }
}
