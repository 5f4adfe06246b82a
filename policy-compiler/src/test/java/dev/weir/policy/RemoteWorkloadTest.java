// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.model.NetworkPolicy;
import dev.weir.policy.plan.Endpoint;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.source.SourceTree;
import java.util.List;
import org.junit.jupiter.api.Test;

/** What runs elsewhere is known by its address only when the Mesh trusts such addresses. */
class RemoteWorkloadTest {

  private static final String ELSEWHERE =
      """
      apiVersion: weir.dev/v1alpha1
      kind: Workload
      metadata: {name: elsewhere}
      spec: {address: 10.9.0.1}
      ---
      """;
  private static final String TRUST =
      """
      apiVersion: weir.dev/v1alpha1
      kind: Mesh
      metadata: {name: m}
      spec: {trustPodAddresses: true}
      ---
      """;

  private static Plan plan(String yaml) {
    Compilation compilation = PolicyCompiler.compile(SourceTree.of("f", yaml));
    assertThat(compilation).isInstanceOf(Compilation.Compiled.class);
    return ((Compilation.Compiled) compilation).plan();
  }

  @Test
  void itsAddressIsNotBelieved() {
    assertThat(plan(ELSEWHERE).endpoints()).isEmpty();
  }

  @Test
  void itsAddressIsBelievedWhenTheMeshTrustsPodAddresses() {
    Plan plan = plan(TRUST + ELSEWHERE);
    assertThat(plan.endpoints()).singleElement().matches(Endpoint::remote);
    assertThat(plan.workloads().get(plan.endpoints().getFirst().workload()).name())
        .isEqualTo("elsewhere");
  }

  @Test
  void itHasNoCgroupAndOwnsNoPortOfThisNode() {
    Plan plan =
        plan(ELSEWHERE.replace("10.9.0.1}", "10.9.0.1, ports: [{port: 15001}, {port: 80}]}"));
    assertThat(plan.workloads().getLast().cgroups()).isEmpty();
    assertThat(plan.ports()).noneMatch(p -> p.port() == 80);
  }

  @Test
  void auditIsReadFromTheAnnotation() {
    Analysis analysis =
        PolicyCompiler.analyse(
            SourceTree.of(
                "f",
                """
                apiVersion: networking.k8s.io/v1
                kind: NetworkPolicy
                metadata: {name: a, annotations: {weir.dev/audit: "true"}}
                ---
                apiVersion: networking.k8s.io/v1
                kind: NetworkPolicy
                metadata: {name: b, annotations: {weir.dev/audit: "false"}}
                spec: {}
                """));
    List<NetworkPolicy> policies = analysis.cluster().all(NetworkPolicy.class);
    assertThat(policies).extracting(NetworkPolicy::audit).containsExactly(true, false);
  }
}
