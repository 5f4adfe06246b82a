// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Where the kubelet puts the cgroup of a pod, of which a policy file gives only the uid: {@code
 * PODS/podUID}, in which {@code PODS} is the cgroup of all pods of the node, wherever that lies.
 * The name of {@code PODS} says which driver made it:
 *
 * <ul>
 *   <li>{@code kubepods}, of the cgroupfs driver: {@code PODS/podUID}, {@code
 *       PODS/burstable/podUID}, {@code PODS/besteffort/podUID}
 *   <li>{@code kubepods.slice} or another slice of that name, as {@code kubelet-kubepods.slice}, of
 *       the systemd driver, by whose rule a slice bears the names of those above it: {@code
 *       PODS/kubepods-podUID.slice}, {@code
 *       PODS/kubepods-burstable.slice/kubepods-burstable-podUID.slice}, the same with {@code
 *       besteffort}; dashes of the uid are underscores there
 * </ul>
 *
 * <p>Which of the three it is depends on the pod's quality of service, which changes with its
 * resources; so all are declared, and one of them is made. Containers, whose cgroups are below and
 * which each runtime names otherwise ({@code cri-containerd-ID.scope}, {@code crio-ID.scope},
 * {@code ID}), are the pod's.
 *
 * @see <a
 *     href="https://kubernetes.io/docs/tasks/administer-cluster/reserve-compute-resources/">Kubernetes,
 *     Reserve Compute Resources</a>
 */
final class PodCgroups {

  /** A uid, or the hash of its manifest that a static pod has in place of one. */
  private static final Pattern POD =
      Pattern.compile("(.*)/pod([0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})");

  private static final String CGROUPFS = "kubepods";
  private static final String SLICE = ".slice";

  private PodCgroups() {}

  /** The paths that a declared one may stand for: several for a pod's, itself for any other. */
  static List<String> places(String declared) {
    Matcher pod = POD.matcher(declared);
    if (!pod.matches()) {
      return List.of(declared);
    }
    String pods = pod.group(1);
    String uid = pod.group(2);
    String name = pods.substring(pods.lastIndexOf('/') + 1);
    if (name.equals(CGROUPFS)) {
      return List.of(
          pods + "/pod" + uid, pods + "/burstable/pod" + uid, pods + "/besteffort/pod" + uid);
    }
    if (!name.equals(CGROUPFS + SLICE) && !name.endsWith("-" + CGROUPFS + SLICE)) {
      return List.of(declared);
    }
    String prefix = name.substring(0, name.length() - SLICE.length());
    String leaf = "-pod" + uid.replace('-', '_') + SLICE;
    return List.of(
        pods + "/" + prefix + leaf,
        quality(pods, prefix + "-burstable", leaf),
        quality(pods, prefix + "-besteffort", leaf));
  }

  private static String quality(String pods, String slice, String leaf) {
    return pods + "/" + slice + SLICE + "/" + slice + leaf;
  }
}
