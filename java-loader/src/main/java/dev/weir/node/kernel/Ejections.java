// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import dev.weir.node.bpf.BpfMap;
import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.Service;
import dev.weir.policy.plan.TrafficPolicy;
import dev.weir.policy.plan.TrafficPolicy.OutlierEjection;
import dev.weir.policy.plan.TrafficPolicy.TargetKind;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** Which services pass over backends that do not answer, and which backends are passed over. */
final class Ejections {

  /** What {@code roster} of {@code struct weir_service} can say. */
  private static final int ROSTER = 255;

  private final Map<Integer, OutlierEjection> byService = new HashMap<>();

  /**
   * What TrafficPolicies say of whole Services. One that names a port of a Service by its name is
   * not in it: the plan does not know a port's name.
   */
  Ejections(Plan plan) {
    for (TrafficPolicy policy : plan.traffic()) {
      for (TrafficPolicy.Setting setting : policy.settings()) {
        if (setting instanceof OutlierEjection ejection) {
          policy.targets().stream()
              .filter(target -> target.kind() == TargetKind.SERVICE && target.section().isEmpty())
              .forEach(target -> byService.put(target.index(), ejection));
        }
      }
    }
  }

  /** What holds for one port of a service whose backends the kernel chooses. */
  Optional<OutlierEjection> of(Service service) {
    return service.tier() == Service.Tier.KERNEL && service.protocol() == Protocol.TCP
        ? Optional.ofNullable(byService.get(service.workload()))
        : Optional.empty();
  }

  /** The backends of a service that ejects, once each; none for others. */
  List<Integer> roster(Service service) {
    return of(service).isEmpty()
        ? List.of()
        : service.slots().stream().distinct().limit(ROSTER).toList();
  }

  /** Who is ejected now, the longest first. */
  static List<Ejection> read(Mesh mesh, Layouts layouts, long bootNanos) {
    BpfMap map = mesh.map(Mesh.EJECTIONS);
    List<Ejection> ejections = new ArrayList<>();
    map.forEach(
        (key, value) -> {
          long left = layouts.ejection.until().get(value, 0) - bootNanos;
          if (left > 0) {
            ejections.add(
                new Ejection(
                    layouts.ejectionKey.source().getInt(key, 0),
                    Address.of(layouts.ejectionKey.address().bytes(key, 0)),
                    layouts.ejectionKey.port().getInt(key, 0),
                    Duration.ofNanos(left),
                    layouts.ejection.times().getInt(value, 0)));
          }
        });
    ejections.sort(Comparator.comparing(Ejection::left).reversed());
    return List.copyOf(ejections);
  }
}
