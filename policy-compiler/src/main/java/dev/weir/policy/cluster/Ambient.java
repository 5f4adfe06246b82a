// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.cluster;

import dev.weir.policy.model.Meta;
import dev.weir.policy.model.Namespace;
import dev.weir.policy.model.Workload;
import dev.weir.policy.source.Diagnostics;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Which pods Istio's ambient mode has captured, as far as Kubernetes objects say so: at port 15008
 * of such a pod's own addresses HBONE is spoken in its name (istio.io, Ztunnel traffic
 * redirection). What is meant to be captured and is not yet counts as captured: not reaching it is
 * better than reaching it in plain text.
 */
final class Ambient {

  /** What is so; the node agent of Istio writes it (Resource Annotations). */
  private static final String REDIRECTION = "ambient.istio.io/redirection";

  private static final String ENABLED = "enabled";

  /** What ought to be so, on a pod or its namespace (Resource Labels). */
  private static final String MODE = "istio.io/dataplane-mode";

  private static final String AMBIENT = "ambient";
  private static final String NONE = "none";

  /** Is on every pod that was given a sidecar: those Istio does not capture. */
  private static final String SIDECAR = "sidecar.istio.io/status";

  private Ambient() {}

  /**
   * Whether a workload is such a pod.
   *
   * @param namespace labels of its namespace
   */
  static boolean captures(Workload workload, Map<String, String> namespace) {
    if (!workload.kind().equals("Pod") || workload.hostNetwork()) {
      return false;
    }
    Meta meta = workload.meta();
    if (ENABLED.equals(meta.annotations().get(REDIRECTION))) {
      return true;
    }
    String mode = meta.labels().get(MODE);
    return !meta.annotations().containsKey(SIDECAR)
        && AMBIENT.equals(mode != null ? mode : namespace.get(MODE));
  }

  /** Notes an error for each value that nobody knows: it may have been meant to say "captured". */
  static void check(List<Workload> workloads, List<Namespace> namespaces, Diagnostics diagnostics) {
    for (Namespace namespace : namespaces) {
      known(namespace.meta(), MODE, namespace.meta().labels(), "labels", diagnostics);
    }
    for (Workload workload : workloads) {
      if (workload.kind().equals("Pod")) {
        Meta meta = workload.meta();
        known(meta, MODE, meta.labels(), "labels", diagnostics);
        known(meta, REDIRECTION, meta.annotations(), "annotations", diagnostics);
      }
    }
  }

  private static void known(
      Meta meta, String key, Map<String, String> all, String field, Diagnostics diagnostics) {
    // "pending": the node agent is about to; then the labels decide.
    Set<String> values = key.equals(MODE) ? Set.of(AMBIENT, NONE) : Set.of(ENABLED, "pending");
    String value = all.get(key);
    if (value != null && !values.contains(value)) {
      diagnostics.error(
          meta.at(),
          "metadata." + field,
          key
              + " is \""
              + value
              + "\", and Mesh.spec.hbone.discover cannot tell whether that is captured",
          key.equals(MODE) ? "ambient or none" : "enabled, or leave it out");
    }
  }
}
