// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.connectivity.Connections;
import dev.weir.policy.connectivity.Connectivity;
import dev.weir.policy.connectivity.Difference;
import dev.weir.policy.model.ResourceReader;
import dev.weir.policy.model.Workload;
import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.reference.Outcome;
import dev.weir.policy.reference.Party;
import dev.weir.policy.reference.ReferenceEvaluator;
import dev.weir.policy.source.Diagnostics;
import dev.weir.policy.source.Purpose;
import dev.weir.policy.source.SourceTree;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import org.junit.jupiter.api.Test;

/** What {@code allowed} lists, against the reference evaluator and in examples. */
class AllowedSemanticsTest {

  private static Analysis analyse(String yaml) {
    Analysis analysis = PolicyCompiler.analyse(SourceTree.of("f.yaml", yaml));
    assertThat(analysis.compilation())
        .as(() -> analysis.compilation() + "\n" + yaml)
        .isInstanceOf(Compilation.Compiled.class);
    return analysis;
  }

  private static List<String> allowed(String yaml) {
    List<String> rows = new ArrayList<>();
    Connectivity.of(analyse(yaml).cluster())
        .forEach(r -> rows.add(r.source() + " -> " + r.destination() + ": " + r.connections()));
    return rows;
  }

  @Property
  void whatIsListedIsWhatTheApiAllows(@ForAll long seed) {
    check(RandomClusters.yaml(seed));
  }

  @Property
  void whatIsListedIsWhatMayCarrySomeRequest(@ForAll long seed) {
    check(
        String.join(
            "---\n",
            RandomClusters.documents(
                seed,
                EnumSet.of(
                    RandomClusters.Feature.AUDIT,
                    RandomClusters.Feature.AUTHORIZATION,
                    RandomClusters.Feature.REQUESTS,
                    RandomClusters.Feature.PEER_AUTHENTICATION,
                    RandomClusters.Feature.ELSEWHERE,
                    RandomClusters.Feature.SERVICES))));
  }

  private static void check(String yaml) {
    Analysis analysis = analyse(yaml);
    ReferenceEvaluator reference =
        new ReferenceEvaluator(
            ResourceReader.read(SourceTree.of("f.yaml", yaml), new Diagnostics(Purpose.ASK)));
    List<Connectivity.Row> rows = new ArrayList<>();
    Connectivity.of(analysis.cluster()).forEach(rows::add);
    List<Workload> workloads = analysis.cluster().workloads();
    // Listed when some rule that counts tells IPv6 addresses apart.
    boolean six = rows.stream().anyMatch(r -> (r.source() + r.destination()).contains(":"));
    for (Workload a : workloads) {
      for (Workload b : workloads) {
        if (!a.equals(b)) {
          check(
              reference,
              rows,
              new Party.Declared(a),
              a.peerName(),
              new Party.Declared(b),
              b.peerName(),
              yaml);
        }
      }
      for (String text : RandomClusters.OUTSIDE) {
        Address address = Address.parse(text).orElseThrow();
        if (six || address.isV4()) {
          check(
              reference,
              rows,
              new Party.Declared(a),
              a.peerName(),
              new Party.Outside(address),
              text,
              yaml);
          check(
              reference,
              rows,
              new Party.Outside(address),
              text,
              new Party.Declared(a),
              a.peerName(),
              yaml);
        }
      }
    }
  }

  private static void check(
      ReferenceEvaluator reference,
      List<Connectivity.Row> rows,
      Party from,
      String source,
      Party to,
      String destination,
      String yaml) {
    Connections listed = Connections.NONE;
    for (Connectivity.Row row : rows) {
      if (is(row.source(), source) && is(row.destination(), destination)) {
        listed = listed.or(row.connections());
      }
    }
    for (Protocol protocol : List.of(Protocol.TCP, Protocol.UDP, Protocol.SCTP)) {
      for (int port : RandomClusters.PORTS) {
        assertThat(!listed.and(Connections.of(protocol, port, port)).isEmpty())
            .as("%s -> %s %s %d\n%s", source, destination, protocol, port, yaml)
            .isEqualTo(reference.connection(from, to, protocol, port) != Outcome.REFUSE);
      }
    }
  }

  private static boolean is(String peer, String wanted) {
    int dash = peer.indexOf('-');
    if (peer.equals(wanted)) {
      return true;
    }
    if (peer.contains("[") || wanted.contains("[") || dash < 0) {
      return false;
    }
    Address address = Address.parse(wanted).orElseThrow();
    Address first = Address.parse(peer.substring(0, dash)).orElseThrow();
    Address last = Address.parse(peer.substring(dash + 1)).orElseThrow();
    return address.isV4() == first.isV4()
        && address.compareTo(first) >= 0
        && address.compareTo(last) <= 0;
  }

  @Test
  void everyWorkloadKindIsReadFromItsPodTemplate() {
    String pods =
        "{metadata: {labels: {app: a}}, spec: {containers: [{ports: [{name: http,"
            + " containerPort: 8080}]}]}}";
    StringBuilder yaml = new StringBuilder();
    for (String kind :
        List.of(
            "apps/v1 Deployment",
            "apps/v1 ReplicaSet",
            "apps/v1 StatefulSet",
            "apps/v1 DaemonSet",
            "batch/v1 Job",
            "v1 ReplicationController")) {
      yaml.append("---\napiVersion: ").append(kind.split(" ", -1)[0]);
      yaml.append("\nkind: ").append(kind.split(" ", -1)[1]);
      yaml.append("\nmetadata: {name: x}\nspec: {template: ").append(pods).append("}\n");
    }
    yaml.append("---\napiVersion: batch/v1\nkind: CronJob\nmetadata: {name: x}\n");
    yaml.append("spec: {jobTemplate: {spec: {template: ").append(pods).append("}}}\n");
    yaml.append(
        """
        ---
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata: {name: p}
        spec:
          podSelector: {matchLabels: {app: a}}
          ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}], ports: [{port: http}]}]
        """);
    assertThat(allowed(yaml.toString()))
        .filteredOn(row -> row.startsWith("0.0.0.0"))
        .containsExactly(
            "0.0.0.0-255.255.255.255 -> default/x[CronJob]: TCP 8080",
            "0.0.0.0-255.255.255.255 -> default/x[DaemonSet]: TCP 8080",
            "0.0.0.0-255.255.255.255 -> default/x[Deployment]: TCP 8080",
            "0.0.0.0-255.255.255.255 -> default/x[Job]: TCP 8080",
            "0.0.0.0-255.255.255.255 -> default/x[ReplicaSet]: TCP 8080",
            "0.0.0.0-255.255.255.255 -> default/x[ReplicationController]: TCP 8080",
            "0.0.0.0-255.255.255.255 -> default/x[StatefulSet]: TCP 8080");
  }

  @Test
  void aPodOfANodeIsNamedAfterItself() {
    assertThat(
            allowed(
                """
                apiVersion: v1
                kind: Pod
                metadata:
                  name: etcd-a
                  ownerReferences: [{apiVersion: v1, kind: Node, name: a, controller: true}]
                """))
        .containsExactly(
            "0.0.0.0-255.255.255.255 -> default/etcd-a[Pod]: All Connections",
            "default/etcd-a[Pod] -> 0.0.0.0-255.255.255.255: All Connections");
  }

  @Test
  void podsWithoutAPlaceHereAreInThePlanWithoutACgroup() {
    Analysis analysis =
        analyse("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: []}\n");
    assertThat(((Compilation.Compiled) analysis.compilation()).plan().workloads())
        .last()
        .satisfies(
            w -> {
              assertThat(w.kind()).isEqualTo("Pod");
              assertThat(w.cgroups()).isEmpty();
            });
  }

  @Test
  void addressesOfBothFamiliesAreToldApartWhenABlockIsOfIpv6() {
    assertThat(
            allowed(
                """
                apiVersion: v1
                kind: Pod
                metadata: {name: a}
                ---
                apiVersion: networking.k8s.io/v1
                kind: NetworkPolicy
                metadata: {name: p}
                spec:
                  policyTypes: [Ingress, Egress]
                  ingress: [{from: [{ipBlock: {cidr: "2001:db8::/32"}}], ports: [{port: 80}]}]
                """))
        .containsExactly(
            "2001:db8::-2001:db8:ffff:ffff:ffff:ffff:ffff:ffff -> default/a[Pod]: TCP 80");
  }

  @Test
  void theDifferenceOfFilesThatMeanTheSameIsNothing() {
    String one = RandomClusters.yaml(7);
    List<Difference.Row> rows = new ArrayList<>();
    assertThat(Difference.between(analyse(one).cluster(), analyse(one).cluster(), rows::add))
        .isEqualTo(Difference.Direction.EQUAL);
    assertThat(rows).isEmpty();
  }
}
