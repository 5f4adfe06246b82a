// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.steer;

import static dev.weir.policy.steer.Steered.SHOP;
import static dev.weir.policy.steer.Steered.asked;
import static dev.weir.policy.steer.Steered.errors;
import static dev.weir.policy.steer.Steered.route;
import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.ProxyPlan.BackendTls;
import org.junit.jupiter.api.Test;

/** How backends are dialled. */
class BackendTlsTest {

  private static final String ROUTE =
      route(
          "HTTPRoute",
          "r",
          "{parentRefs: [{group: '', kind: Service, name: a}],"
              + " rules: [{backendRefs: [{name: b, port: 80}]}]}");

  private static final String AUTHORITY =
      """
      apiVersion: v1
      kind: ConfigMap
      metadata: {name: ca, namespace: shop}
      data:
        ca.crt: |
          -----BEGIN CERTIFICATE-----
          -----END CERTIFICATE-----
      ---
      """;

  private static String policy(String name, String section, String hostname, String trust) {
    return """
    apiVersion: gateway.networking.k8s.io/v1
    kind: BackendTLSPolicy
    metadata: {name: NAME, namespace: shop}
    spec:
      targetRefs: [{group: "", kind: Service, name: b SECTION}]
      validation: {hostname: SNI, TRUST}
    ---
    """
        .replace("NAME", name)
        .replace(" SECTION", section)
        .replace("SNI", hostname)
        .replace("TRUST", trust);
  }

  private static BackendTls tls(Steered steered) {
    return steered.cluster("shop/b:80").tls().orElseThrow();
  }

  @Test
  void authoritiesComeFromTheConfigMap() {
    Steered steered =
        asked(
            SHOP,
            ROUTE,
            AUTHORITY,
            policy(
                "p",
                "",
                "b.example",
                "caCertificateRefs: [{group: '', kind: ConfigMap, name: ca}]"));
    assertThat(tls(steered).hostname()).isEqualTo("b.example");
    assertThat(tls(steered).authorities()).hasSize(1);
  }

  @Test
  void withoutItsAuthorityNoCertificateIsGoodEnough() {
    Steered steered =
        asked(
            SHOP,
            ROUTE,
            policy(
                "p",
                "",
                "b.example",
                "caCertificateRefs: [{group: '', kind: ConfigMap, name: ca}]"));
    assertThat(tls(steered).authorities()).isEmpty();
    assertThat(tls(steered).systemTrust()).isFalse();
    steered.warns("no ConfigMap shop/ca with ca.crt is among the files: connections fail");
  }

  @Test
  void aPolicyForOnePortGoesBeforeOneForTheService() {
    Steered steered =
        asked(
            SHOP,
            ROUTE,
            policy("a", "", "whole.example", "wellKnownCACertificates: System"),
            policy("z", ", sectionName: main", "port.example", "wellKnownCACertificates: System"));
    assertThat(tls(steered).hostname()).isEqualTo("port.example");
  }

  @Test
  void ofTwoPoliciesTheFirstByNameCounts() {
    Steered steered =
        asked(
            SHOP,
            ROUTE,
            policy("a", "", "a.example", "wellKnownCACertificates: System"),
            policy("b", "", "b.example", "wellKnownCACertificates: System"));
    assertThat(tls(steered).hostname()).isEqualTo("a.example");
    steered.warns("the older BackendTLSPolicy shop/a says how shop/b is dialled");
  }

  @Test
  void itCanBePutInForce() {
    assertThat(errors(SHOP, ROUTE, policy("a", "", "a.example", "wellKnownCACertificates: System")))
        .isEmpty();
  }
}
