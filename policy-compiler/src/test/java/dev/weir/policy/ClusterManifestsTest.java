// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.model.Located;
import dev.weir.policy.model.Workload;
import dev.weir.policy.source.SourceTree;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Manifests as Helm renders them and as {@code kubectl get -o yaml} writes them. */
class ClusterManifestsTest {

  private static final Path MANIFESTS = Path.of("src", "test", "resources", "manifests");

  private static Workload workload(String name) {
    Analysis analysis =
        PolicyCompiler.analyse(SourceTree.read(MANIFESTS.resolve("kubectl-get.yaml")));
    return analysis.cluster().workloads().stream()
        .filter(w -> w.meta().name().equals(name))
        .findFirst()
        .orElseThrow();
  }

  @ParameterizedTest
  @ValueSource(strings = {"helm-release.yaml", "kubectl-get.yaml"})
  void nothingIsSaidAboutWhatIsAsItAlwaysIs(String file) {
    Compilation compilation = PolicyCompiler.check(SourceTree.read(MANIFESTS.resolve(file)));
    assertThat(compilation).isInstanceOf(Compilation.Compiled.class);
    assertThat(compilation.warnings()).isEmpty();
  }

  @Test
  void aPodIsNamedAfterTheDeploymentOfItsReplicaSet() {
    assertThat(workload("web-7f9c-x2x2x").peerName()).isEqualTo("web/web[Deployment]");
    assertThat(workload("web-7f9c").peerName()).isEqualTo("web/web[Deployment]");
  }

  @Test
  void whatHasEndedIsNoWorkload() {
    assertThat(
            PolicyCompiler.analyse(SourceTree.read(MANIFESTS.resolve("kubectl-get.yaml")))
                .cluster()
                .workloads())
        .extracting(w -> w.meta().name())
        .doesNotContain("migrate-done", "web-5d4b")
        .contains("node-exporter", "web");
  }

  @Test
  void aPodHasTheAddressesOfItsStatus() {
    assertThat(workload("web-7f9c-x2x2x").addresses())
        .extracting(Located::value)
        .hasToString("[10.244.1.7, fd00:10:244:1::7]");
  }

  @Test
  void aPodOfTheHostsNetworkHasNoAddressOfItsOwn() {
    assertThat(workload("node-exporter").addresses()).isEmpty();
    assertThat(workload("node-exporter").hostNetwork()).isTrue();
  }

  @Test
  void ownersInACircleEnd() {
    Analysis analysis =
        PolicyCompiler.analyse(
            SourceTree.of(
                "f",
                """
                apiVersion: v1
                kind: Pod
                metadata: {name: a, ownerReferences: [{kind: Pod, name: b, controller: true}]}
                ---
                apiVersion: v1
                kind: Pod
                metadata: {name: b, ownerReferences: [{kind: Pod, name: a, controller: true}]}
                """));
    assertThat(analysis.cluster().workloads()).hasSize(2);
  }

  @Test
  void aMistypedFieldThatWouldMatterIsAWarning() {
    Compilation compilation =
        PolicyCompiler.check(
            SourceTree.of(
                "f",
                """
                apiVersion: v1
                kind: Pod
                metadata: {name: a}
                spec:
                  serviceAcountName: web
                  containers: [{port: [{containerPort: 80}]}]
                """));
    List<String> warnings = compilation.warnings().stream().map(Object::toString).toList();
    assertThat(warnings)
        .containsExactly(
            "f:5:3: spec.serviceAcountName: is not a field of this kind (did you mean"
                + " serviceAccountName?)",
            "f:6:17: spec.containers[0].port: is not a field of this kind (did you mean ports?)");
  }
}
