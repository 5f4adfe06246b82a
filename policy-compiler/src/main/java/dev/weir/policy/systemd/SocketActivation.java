// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.systemd;

import dev.weir.policy.model.Located;
import dev.weir.policy.model.UnitCgroups;
import dev.weir.policy.model.Workload;
import dev.weir.policy.source.Diagnostics;
import dev.weir.policy.source.Lint;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * Workloads whose sockets systemd makes. It makes the internet sockets of a {@code .socket} unit in
 * that unit's cgroup (systemd.resource-control(5), {@code IPAddressAllow=}: that is how its filters
 * apply to them), not in the service's: unless the workload names the unit, they are somebody
 * else's, who may not have its ports, and what they let in is not judged for it.
 */
public final class SocketActivation {

  private static final String USERS = "/user.slice/";

  private SocketActivation() {}

  /** Warns of workloads that do not name a socket unit of theirs. */
  public static void check(
      List<Workload> workloads, List<SocketUnit> units, Diagnostics diagnostics) {
    List<SocketUnit> listening = units.stream().filter(u -> !u.listens().isEmpty()).toList();
    if (listening.isEmpty()) {
      return;
    }
    for (Workload workload : workloads) {
      Optional<Located<String>> home = workload.cgroup();
      if (home.isPresent() && !home.get().value().startsWith(USERS)) {
        check(workload, home.get(), listening, diagnostics);
      }
    }
  }

  private static void check(
      Workload workload, Located<String> home, List<SocketUnit> units, Diagnostics diagnostics) {
    String service = unit(home.value());
    for (SocketUnit unit : units) {
      Optional<String> name =
          unit.instances().filter(home.value()::equals).isPresent()
              ? Optional.of(unit.name())
              : unit.nameFor(service);
      if (name.isPresent()) {
        String cgroup = UnitCgroups.path(name.get(), unit.slice());
        boolean there = workload.cgroups().stream().anyMatch(c -> covers(c.value(), cgroup));
        if (!there) {
          diagnostics.lint(
              Lint.UNNAMED_SOCKET,
              workload.meta().annotations(),
              home.at(),
              home.field(),
              unit.file()
                  + " listens on "
                  + String.join(", ", unit.listens())
                  + " for "
                  + service
                  + ", in the cgroup "
                  + cgroup
                  + ", which is not this workload's: a port of its own is refused to that socket,"
                  + " and what comes in by it is not judged for the workload",
              remedy(workload, name.get(), unit.slice()));
        }
      }
    }
  }

  private static boolean covers(String declared, String cgroup) {
    return cgroup.equals(declared) || cgroup.startsWith(declared + "/");
  }

  private static String remedy(Workload workload, String name, Optional<String> slice) {
    List<String> names = new ArrayList<>();
    workload.socketCgroups().forEach(cgroup -> names.add(unit(cgroup.value())));
    if (!names.contains(name)) {
      names.add(name);
    }
    return "write systemdSockets: ["
        + String.join(", ", names)
        + "]"
        + slice.map(s -> ", socketSlice: " + s).orElse("")
        + ", or disable and mask that unit if it is not in use";
  }

  /** The last part of its path. */
  private static String unit(String cgroup) {
    return cgroup.substring(cgroup.lastIndexOf('/') + 1);
  }
}
