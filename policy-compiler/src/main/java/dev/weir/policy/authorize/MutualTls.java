// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.authorize;

import dev.weir.policy.cluster.Cluster;
import dev.weir.policy.cluster.Selectors;
import dev.weir.policy.model.Mesh;
import dev.weir.policy.model.PeerAuthentication;
import dev.weir.policy.model.PeerAuthentication.Mode;
import dev.weir.policy.model.Workload;
import dev.weir.policy.plan.Identity.StrictPorts;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;

/**
 * On which ports of each workload a remote peer must come by mutual TLS.
 *
 * <p>Source: Istio, PeerAuthentication reference. One with a selector is about workloads of its own
 * namespace only, in the root namespace too. Of several that are equally narrow only the oldest
 * counts, also where it says nothing.
 */
final class MutualTls {

  private static final int LAST_PORT = 65535;

  private final List<List<StrictPorts>> ofWorkload = new ArrayList<>();
  private final String rootNamespace;
  private final RuleTable rules;

  /** From the narrowest to the widest, equally narrow ones the oldest first. */
  private final List<PeerAuthentication> policies;

  /** What the policies about a workload say: the same list means the same. */
  private final Map<List<PeerAuthentication>, List<StrictPorts>> known = new HashMap<>();

  MutualTls(Cluster cluster, RuleTable rules) {
    this.rules = rules;
    this.rootNamespace = cluster.mesh().map(Mesh::rootNamespace).orElse(Mesh.ROOT_NAMESPACE);
    this.policies =
        cluster.all(PeerAuthentication.class).stream()
            .sorted(
                Comparator.comparingInt(this::width)
                    .thenComparing(
                        (PeerAuthentication p) ->
                            p.meta().created().isEmpty() ? "~" : p.meta().created())
                    .thenComparing(p -> p.meta().name()))
            .toList();
    for (Workload workload : policies.isEmpty() ? List.<Workload>of() : cluster.workloads()) {
      List<PeerAuthentication> about = counting(workload);
      ofWorkload.add(known.computeIfAbsent(about, this::strict));
    }
  }

  /** At most one with a selector, one of the namespace and one of the root namespace. */
  private List<PeerAuthentication> counting(Workload workload) {
    List<PeerAuthentication> counting = new ArrayList<>();
    for (PeerAuthentication policy : policies) {
      if ((counting.isEmpty() || width(counting.getLast()) < width(policy))
          && about(policy, workload)) {
        counting.add(policy);
      }
    }
    return counting;
  }

  private static boolean selects(PeerAuthentication policy) {
    return policy.selector().isPresent() && !policy.selector().get().isEmpty();
  }

  private int width(PeerAuthentication policy) {
    return selects(policy) ? 0 : policy.meta().namespace().equals(rootNamespace) ? 2 : 1;
  }

  private boolean about(PeerAuthentication policy, Workload workload) {
    String namespace = policy.meta().namespace();
    if (selects(policy)) {
      return namespace.equals(workload.meta().namespace())
          && policy
              .selector()
              .map(s -> Selectors.matches(s, workload.meta().labels()))
              .orElse(false);
    }
    return namespace.equals(rootNamespace) || namespace.equals(workload.meta().namespace());
  }

  /** Ranges of ports on which the first policy that says anything says STRICT. */
  private List<StrictPorts> strict(List<PeerAuthentication> counting) {
    TreeSet<Integer> starts = new TreeSet<>(List.of(0));
    for (PeerAuthentication policy : counting) {
      for (int port : policy.ports().keySet()) {
        starts.add(port);
        if (port < LAST_PORT) {
          starts.add(port + 1);
        }
      }
    }
    List<StrictPorts> result = new ArrayList<>();
    for (int first : starts) {
      Integer next = starts.higher(first);
      int last = next == null ? LAST_PORT : next - 1;
      for (PeerAuthentication policy : counting) {
        Mode mode = policy.ports().getOrDefault(first, Mode.UNSET);
        mode = mode == Mode.UNSET ? policy.mode() : mode;
        if (mode != Mode.UNSET) {
          if (mode == Mode.STRICT) {
            add(result, new StrictPorts(first, last, rules.of(policy)));
          }
          break;
        }
      }
    }
    return List.copyOf(result);
  }

  private static void add(List<StrictPorts> ranges, StrictPorts range) {
    if (!ranges.isEmpty()) {
      StrictPorts before = ranges.getLast();
      if (before.last() + 1 == range.first() && before.rule() == range.rule()) {
        ranges.set(ranges.size() - 1, new StrictPorts(before.first(), range.last(), range.rule()));
        return;
      }
    }
    ranges.add(range);
  }

  /** Whether anything demands it. */
  boolean isEmpty() {
    return ofWorkload.stream().allMatch(List::isEmpty);
  }

  /** Of one workload. */
  List<StrictPorts> of(int workload) {
    return ofWorkload.isEmpty() ? List.of() : ofWorkload.get(workload);
  }

  void tellApart(IdentityPartition partition) {
    Map<List<StrictPorts>, IntList> byPorts = new HashMap<>();
    for (int w = 0; w < ofWorkload.size(); w++) {
      if (!ofWorkload.get(w).isEmpty()) {
        byPorts.computeIfAbsent(ofWorkload.get(w), k -> new IntList()).add(w);
      }
    }
    partition.tellApart(byPorts);
  }
}
