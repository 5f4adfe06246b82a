// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.steer;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.Analysis;
import dev.weir.policy.Compilation;
import dev.weir.policy.PolicyCompiler;
import dev.weir.policy.plan.Backend;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.ProxyPlan;
import dev.weir.policy.plan.ProxyPlan.Cluster;
import dev.weir.policy.plan.Service;
import dev.weir.policy.source.Diagnostic;
import dev.weir.policy.source.SourceTree;
import java.util.Collections;
import java.util.List;

/** A few files as the tests of this package ask about them. */
record Steered(Plan plan, List<String> warnings) {

  /** Two services {@code a} and {@code b} in namespace {@code shop}, each with a workload. */
  static final String SHOP =
      workload("a") + workload("b") + service("a", "10.96.0.1") + service("b", "10.96.0.2");

  private static String workload(String name) {
    return """
    apiVersion: weir.dev/v1alpha1
    kind: Workload
    metadata: {name: NAME, namespace: shop, labels: {app: NAME}}
    spec: {cgroup: /NAME, address: 10.0.0.NUMBER}
    ---
    """
        .replace("NAME", name)
        .replace("NUMBER", String.valueOf(name.charAt(0) - 'a' + 1));
  }

  static String service(String name, String address) {
    return """
    apiVersion: v1
    kind: Service
    metadata: {name: NAME, namespace: shop}
    spec: {clusterIP: ADDRESS, selector: {app: NAME}, ports: [{name: main, port: 80, targetPort: 8080}]}
    ---
    """
        .replace("NAME", name)
        .replace("ADDRESS", address);
  }

  static String route(String kind, String name, String spec) {
    return """
    apiVersion: gateway.networking.k8s.io/v1
    kind: KIND
    metadata: {name: NAME, namespace: shop}
    spec: SPEC
    ---
    """
        .replace("KIND", kind)
        .replace("NAME", name)
        .replace("SPEC", spec);
  }

  static String gateway(String name, String listeners) {
    return """
    apiVersion: gateway.networking.k8s.io/v1
    kind: Gateway
    metadata: {name: NAME, namespace: shop}
    spec: {gatewayClassName: weir, listeners: LISTENERS}
    ---
    """
        .replace("NAME", name)
        .replace("LISTENERS", listeners);
  }

  /** What questions are answered from. */
  static Steered asked(String... files) {
    Analysis analysis = PolicyCompiler.analyse(SourceTree.of("f", String.join("", files)));
    if (analysis.compilation() instanceof Compilation.Compiled compiled) {
      return new Steered(
          compiled.plan(), compiled.warnings().stream().map(Diagnostic::toString).toList());
    }
    throw new AssertionError(analysis.compilation());
  }

  /** Why the files cannot be put in force; empty when they can. */
  static List<String> errors(String... files) {
    return switch (PolicyCompiler.compile(SourceTree.of("f", String.join("", files)))) {
      case Compilation.Compiled compiled -> List.of();
      case Compilation.Refused refused ->
          refused.errors().stream().map(Diagnostic::toString).toList();
    };
  }

  ProxyPlan proxy() {
    return plan.proxy();
  }

  Service service(String name) {
    return plan.services().stream()
        .filter(s -> plan.workloads().get(s.workload()).name().equals(name))
        .findFirst()
        .orElseThrow();
  }

  /** How many slots of a service lead to a workload. */
  int slots(String service, String workload) {
    int count = 0;
    for (int slot : service(service).slots()) {
      Backend backend = plan.backends().get(slot);
      count += slot != 0 && name(backend.workload()).equals(workload) ? 1 : 0;
    }
    return count;
  }

  /** How many slots of a service lead nowhere. */
  int refused(String service) {
    return Collections.frequency(service(service).slots(), 0);
  }

  Cluster cluster(String name) {
    return proxy().clusters().stream().filter(c -> c.name().equals(name)).findFirst().orElseThrow();
  }

  String name(int workload) {
    return plan.workloads().get(workload).name();
  }

  void warns(String part) {
    assertThat(warnings).anySatisfy(w -> assertThat(w).contains(part));
  }
}
