// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.tuple;

import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.PortOwner;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.Reserved;
import dev.weir.policy.source.SourceTree;
import org.junit.jupiter.api.Test;

/** In whose network namespace a plan says that a declared port has an owner. */
final class PortOwnerTest {

  private static final String PODS =
      """
      apiVersion: weir.dev/v1alpha1
      kind: Workload
      metadata: {name: db}
      spec: {cgroup: /t/db, address: 10.9.0.1, ports: [{port: 5432}, {port: 5432, protocol: UDP}]}
      ---
      apiVersion: weir.dev/v1alpha1
      kind: Workload
      metadata: {name: replica}
      spec: {cgroup: /t/replica, address: 10.9.0.2, ports: [{port: 5432}]}
      ---
      apiVersion: weir.dev/v1alpha1
      kind: Workload
      metadata: {name: api}
      spec: {cgroup: /t/api, ports: [{port: 5432}]}
      """;

  private static Plan plan(String text) {
    Compilation compilation = PolicyCompiler.compile(SourceTree.of("f", text));
    assertThat(compilation).isInstanceOf(Compilation.Compiled.class);
    return ((Compilation.Compiled) compilation).plan();
  }

  @Test
  void whoHasAnAddressOwnsItsPortsInANamespaceOfItsOwn() {
    Plan plan = plan(PODS);
    assertThat(plan.ports())
        .filteredOn(owner -> owner.workload() >= Reserved.values().length)
        .extracting(
            owner -> plan.workloads().get(owner.workload()).name(),
            PortOwner::protocol,
            PortOwner::port,
            PortOwner::apart)
        .containsExactlyInAnyOrder(
            tuple("db", Protocol.TCP, 5432, true),
            tuple("db", Protocol.UDP, 5432, true),
            tuple("replica", Protocol.TCP, 5432, true),
            tuple("api", Protocol.TCP, 5432, false));
  }

  @Test
  void thePortsOfTheProxyAndTheAgentAreTheNodes() {
    assertThat(plan(PODS).ports())
        .filteredOn(owner -> owner.workload() < Reserved.values().length)
        .hasSize(3)
        .noneMatch(PortOwner::apart);
  }

  @Test
  void aPortOfAPodIsNoneOfTheAgents() {
    Plan plan =
        plan(PODS.replace("/t/api, ports: [{port: 5432}]", "/t/api").replace("5432", "15020"));
    assertThat(plan.ports()).anyMatch(owner -> owner.apart() && owner.port() == 15020);
    assertThat(plan.ports()).filteredOn(plan.settings()::servedByAgent).noneMatch(PortOwner::apart);
  }
}
