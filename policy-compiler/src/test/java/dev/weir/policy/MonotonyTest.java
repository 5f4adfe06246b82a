// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.Verdict.Decision;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.function.BiPredicate;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.Test;

/** What one more policy can and cannot do, whatever the cluster. */
class MonotonyTest {

  private static final int CLUSTERS = 25;

  /** Most of them, when the first ones all stay as they are. */
  private static final int AT_MOST = 2_000;

  private static void check(
      UnaryOperator<List<String>> change, BiPredicate<Decision, Decision> fine) {
    long first = new Random().nextLong();
    int changed = 0;
    for (int i = 0; i < CLUSTERS || changed == 0 && i < AT_MOST; i++) {
      List<String> documents = RandomClusters.documents(first + i, RandomClusters.EVERYTHING);
      List<String> after = change.apply(documents);
      List<Decision> old = Oracle.verdicts(documents);
      List<Decision> now = Oracle.verdicts(after);
      assertThat(now).hasSameSizeAs(old);
      for (int q = 0; q < old.size(); q++) {
        if (!fine.test(old.get(q), now.get(q))) {
          throw new AssertionError(
              "seed %d: %s became %s in%n%s"
                  .formatted(first + i, old.get(q), now.get(q), String.join("---\n", after)));
        }
        changed += old.get(q) == now.get(q) ? 0 : 1;
      }
    }
    // A change that changes nothing would show nothing.
    assertThat(changed).isPositive();
  }

  private static boolean closed(Decision old, Decision now) {
    return old != Decision.REFUSE && now == Decision.REFUSE;
  }

  private static boolean opened(Decision old, Decision now) {
    return old == Decision.REFUSE && now != Decision.REFUSE;
  }

  private static UnaryOperator<List<String>> plus(String document) {
    return documents -> {
      List<String> more = new ArrayList<>(documents);
      more.add(document);
      return more;
    };
  }

  @Test
  void oneMoreAllowRuleClosesNothing() {
    check(
        documents ->
            documents.stream()
                .map(
                    d ->
                        d.contains("action: ALLOW") && d.contains("  rules:\n")
                            ? d + "    - {from: [{source: {namespaces: [red]}}]}\n"
                            : d)
                .toList(),
        (old, now) -> !closed(old, now));
  }

  @Test
  void oneMoreDenyPolicyOpensNothing() {
    check(
        plus(
            """
            apiVersion: security.istio.io/v1
            kind: AuthorizationPolicy
            metadata: {name: more, namespace: red}
            spec:
              action: DENY
              rules: [{to: [{operation: {ports: ["80"]}}]}]
            """),
        (old, now) -> !opened(old, now));
  }

  @Test
  void anAuditedNetworkPolicyRefusesNothingAndOpensNothing() {
    check(
        plus(
            """
            apiVersion: networking.k8s.io/v1
            kind: NetworkPolicy
            metadata: {name: more, namespace: red, annotations: {weir.dev/audit: "true"}}
            spec:
              podSelector: {}
              policyTypes: [Ingress, Egress]
              ingress: [{ports: [{port: 80}]}]
            """),
        (old, now) -> !closed(old, now) && !opened(old, now));
  }

  @Test
  void anAuditedAuthorizationPolicyRefusesNothingAndOpensNothing() {
    check(
        plus(
            """
            apiVersion: security.istio.io/v1
            kind: AuthorizationPolicy
            metadata: {name: more, namespace: red, annotations: {istio.io/dry-run: "true"}}
            spec:
              action: DENY
              rules: [{}]
            """),
        (old, now) -> !closed(old, now) && !opened(old, now));
  }
}
