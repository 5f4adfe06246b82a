// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.cluster;

import dev.weir.policy.model.Workload;
import dev.weir.policy.model.Workload.Controller;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * Who made what: a Pod belongs to its ReplicaSet, which belongs to its Deployment. Every workload
 * is given the last owner that can be found among the workloads, so that what people know as one
 * thing has one name.
 */
final class Owners {

  private final Map<String, Workload> byName = new HashMap<>();

  private Owners(List<Workload> workloads) {
    for (Workload workload : workloads) {
      byName.put(
          key(workload.meta().namespace(), workload.kind(), workload.meta().name()), workload);
    }
  }

  /** The workloads in their order, each with its last owner. */
  static List<Workload> resolve(List<Workload> workloads) {
    if (workloads.stream().allMatch(w -> w.controller().isEmpty())) {
      return workloads;
    }
    Owners owners = new Owners(workloads);
    return workloads.stream().map(owners::resolve).toList();
  }

  private static String key(String namespace, String kind, String name) {
    return namespace + "/" + kind + "/" + name;
  }

  private Workload resolve(Workload workload) {
    Optional<Controller> last = workload.controller();
    Set<Controller> seen = new HashSet<>();
    // A circle, which no API server lets be, ends where it closes.
    while (last.isPresent() && seen.add(last.get())) {
      Controller owner = last.get();
      Workload found = byName.get(key(workload.meta().namespace(), owner.kind(), owner.name()));
      if (found == null || found.controller().isEmpty()) {
        break;
      }
      last = found.controller();
    }
    return last.equals(workload.controller()) ? workload : workload.ownedBy(last);
  }
}
