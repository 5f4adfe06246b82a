// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.outbound;

import dev.weir.policy.plan.ProxyPlan;
import dev.weir.policy.plan.ProxyPlan.VirtualService;

/**
 * What a plan may say and this proxy cannot do. The compiler refuses such plans already; here they
 * are refused once more, since leaving a part of a route out would be another route.
 */
final class Unserved {

  private Unserved() {}

  static void check(ProxyPlan plan) throws UpdateRefusedException {
    for (VirtualService service : plan.virtualServices()) {
      if (!service.consumers().isEmpty()) {
        throw new UpdateRefusedException(
            "port "
                + service.port()
                + " of "
                + service.addresses()
                + ": this proxy serves no routes of consumers; remove them");
      }
    }
  }
}
