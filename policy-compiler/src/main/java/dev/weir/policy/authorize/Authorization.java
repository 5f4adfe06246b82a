// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.authorize;

import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Cidr;
import dev.weir.policy.plan.Identity;
import dev.weir.policy.plan.PortClass;
import dev.weir.policy.plan.Reserved;
import dev.weir.policy.plan.Verdict;
import dev.weir.policy.plan.VerdictRows;
import java.util.Comparator;
import java.util.List;
import java.util.Map;

/**
 * Who may reach whom.
 *
 * @param identities reserved ones first
 * @param workloads identity of each workload, by its index in the cluster
 * @param services identity of each service that leads to the proxy, by its index
 * @param verdicts sorted rows
 * @param portClasses ascending
 * @param cidrs outside blocks, sorted
 */
public record Authorization(
    List<Identity> identities,
    List<Integer> workloads,
    Map<Integer, Integer> services,
    List<Verdict> verdicts,
    List<PortClass> portClasses,
    List<Cidr> cidrs) {
  /** Nobody and nothing. */
  public static final Authorization NOTHING =
      new Authorization(List.of(), List.of(), Map.of(), List.of(), List.of(), List.of());

  /** Copies the parts. */
  public Authorization {
    identities = List.copyOf(identities);
    workloads = List.copyOf(workloads);
    services = Map.copyOf(services);
    verdicts = VerdictRows.copyOf(verdicts);
    portClasses = List.copyOf(portClasses);
    cidrs = List.copyOf(cidrs);
  }

  /** The identity of an outside address: that of the smallest block it lies in. */
  public int outside(Address address) {
    return outside(cidrs, address);
  }

  static int outside(List<Cidr> cidrs, Address address) {
    return cidrs.stream()
        .filter(cidr -> address.prefix(cidr.prefixLength()).equals(cidr.address()))
        .max(Comparator.comparingInt(Cidr::prefixLength))
        .map(Cidr::identity)
        .orElse(Reserved.OUTSIDE.index());
  }
}
