// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.Protocol;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Pods are known by their uid, in whatever tree a kubelet makes for them. */
@Tag("kernel")
final class PodCgroupTest {

  private static final int PORT = 5432;
  private static final String UID = "1f2e3d4c-5b6a-7988-a7b6-c5d4e3f20110";
  private static final String SLICE_UID = "1f2e3d4c_5b6a_7988_a7b6_c5d4e3f20110";
  private static final String STATIC = "0123456789abcdef0123456789abcdef";
  private static final String ID =
      "4f0c2b1a4f0c2b1a4f0c2b1a4f0c2b1a4f0c2b1a4f0c2b1a4f0c2b1a4f0c2b1a";

  @RegisterExtension final KernelTest kernel = new KernelTest();

  private PlanBuilder onlyThePodMayReachDb(String pods, String uid) {
    return kernel
        .plan()
        .workloadIn("web", pods + "/pod" + uid)
        .workload("db")
        .owns("db", Protocol.TCP, PORT)
        .isolateIngress("db")
        .allow("web", "db", Protocol.TCP, PORT)
        .governed("");
  }

  private static String named(String path) {
    return path.replace("SUID", SLICE_UID)
        .replace("UID", UID)
        .replace("STATIC", STATIC)
        .replace("ID", ID);
  }

  @ParameterizedTest
  @CsvSource({
    // systemd driver: burstable, best effort, guaranteed; containerd and cri-o
    "kubepods.slice,"
        + " kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podSUID.slice/cri-containerd-ID.scope",
    "kubepods.slice,"
        + " kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podSUID.slice/crio-ID.scope/container",
    "kubepods.slice, kubepods.slice/kubepods-podSUID.slice/crio-conmon-ID.scope",
    // cgroupfs driver, k3s among others
    "kubepods, kubepods/burstable/podUID/ID",
    "kubepods, kubepods/besteffort/podUID/ID",
    "kubepods, kubepods/podUID/ID",
    // a node in a container (kind): of either driver, at whatever level
    "system.slice/docker-ID.scope/kubelet.slice/kubelet-kubepods.slice,"
        + " system.slice/docker-ID.scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-podSUID.slice/cri-containerd-ID.scope",
    "docker/ID/kubelet/kubepods, docker/ID/kubelet/kubepods/besteffort/podUID/ID",
    "a/b/c/d/kubepods, a/b/c/d/kubepods/burstable/podUID/ID/e/f",
  })
  void aPodIsKnownInEachLayoutWhetherItIsThereBeforeOrComesAfter(String pods, String container) {
    kernel.apply(onlyThePodMayReachDb(named(pods), UID).build());
    kernel.serve("db", "listen", "127.0.0.1", "5432", "--reply", "db");
    // Made just now, one directory after the other.
    assertThat(kernel.ask(named(container), "127.0.0.1", PORT)).isEqualTo("db");

    kernel.node().down();
    kernel.apply(onlyThePodMayReachDb(named(pods), UID).build());
    assertThat(kernel.ask(named(container), "127.0.0.1", PORT)).isEqualTo("db");
    assertThat(kernel.apply(onlyThePodMayReachDb(named(pods), UID).build()).remarks()).isEmpty();
  }

  @Test
  void aStaticPodIsKnownByTheHashOfItsManifest() {
    kernel.apply(onlyThePodMayReachDb("kubepods.slice", STATIC).build());
    kernel.serve("db", "listen", "127.0.0.1", "5432", "--reply", "db");
    String pod =
        "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + STATIC + ".slice/x";
    assertThat(kernel.ask(pod, "127.0.0.1", PORT)).isEqualTo("db");
  }

  @Test
  void anotherPodAndTheSameNameElsewhereAreNotThePod() {
    kernel.apply(onlyThePodMayReachDb("kubepods.slice", UID).build());
    kernel.serve("db", "listen", "127.0.0.1", "5432", "--reply", "db");
    String other = SLICE_UID.replace('1', '2');
    assertThat(
            kernel.ask(
                "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod"
                    + other
                    + ".slice/x",
                "127.0.0.1",
                PORT))
        .isEqualTo("ECONNREFUSED");
    // What another workload makes within its own cgroup, to look like the pod.
    assertThat(
            kernel.ask(
                "user.slice/kubepods.slice/kubepods-pod" + SLICE_UID + ".slice", "127.0.0.1", PORT))
        .isEqualTo("ECONNREFUSED");
    assertThat(kernel.ask("kubepods.slice/kubepods-burstable.slice", "127.0.0.1", PORT))
        .isEqualTo("ECONNREFUSED");
  }

  @Test
  void aPodThatHasNotComeIsOneThatIsWaitedFor() {
    assertThat(kernel.apply(onlyThePodMayReachDb("kubepods", UID).build()).remarks())
        .anyMatch(remark -> remark.startsWith("2 declared cgroups do not exist yet"));
    kernel.cgroup("db");
    kernel.cgroup("kubepods/besteffort/pod" + UID);
    assertThat(kernel.apply(onlyThePodMayReachDb("kubepods", UID).build()).remarks()).isEmpty();
  }
}
