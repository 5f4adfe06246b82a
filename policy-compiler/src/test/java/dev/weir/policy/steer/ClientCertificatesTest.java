// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.steer;

import static dev.weir.policy.steer.Steered.SHOP;
import static dev.weir.policy.steer.Steered.asked;
import static dev.weir.policy.steer.Steered.errors;
import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.ProxyPlan.ClientTrust;
import dev.weir.policy.plan.ProxyPlan.Listener;
import dev.weir.policy.plan.ProxyPlan.Tls;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Whose certificates clients of Gateways must show (GEP-91). */
class ClientCertificatesTest {

  private static final String PEM =
      """
          -----BEGIN CERTIFICATE-----
          MIIBfDCCASGgAwIBAgIUVxlyr9bsfOL8EEvOP41qaqD92L4wCgYIKoZIzj0EAwIw
          EjEQMA4GA1UEAwwHY2xpZW50czAgFw0yNjExMjIwMDA5NDZaGA8yMTI2MTAyOTAw
          MDk0NlowEjEQMA4GA1UEAwwHY2xpZW50czBZMBMGByqGSM49AgEGCCqGSM49AwEH
          A0IABBMXA3r7LT1IKAtWgrS0PcqHp3eC0NGYjVo8u/Vh9BPL730B4w5Xe0YYq/MD
          S+VfVu9O7qKv/k2sWIk0E9p8gxajUzBRMB0GA1UdDgQWBBRtjXzkwiSsZG0TLSl3
          FTzZiEEJiTAfBgNVHSMEGDAWgBRtjXzkwiSsZG0TLSl3FTzZiEEJiTAPBgNVHRMB
          Af8EBTADAQH/MAoGCCqGSM49BAMCA0kAMEYCIQDNCYXGzVVM2cNxwICEw65HlwSF
          tvpqC93WK4xQaVNOQQIhAKFnnNsELLD/cRIX5Dr7BlLPjmPKSOddx+18IgRb9ozD
          -----END CERTIFICATE-----
      """;

  private static final String REF = "{group: '', kind: ConfigMap, name: ca}";

  private static String authority(String kind, String name, String namespace, String pem) {
    return "apiVersion: v1\nkind: %s\nmetadata: {name: %s, namespace: %s}\n%s:\n  ca.crt: |\n%s---\n"
        .formatted(kind, name, namespace, kind.equals("Secret") ? "stringData" : "data", pem);
  }

  private static final String CA = authority("ConfigMap", "ca", "shop", PEM);

  private static final String KEYS =
      """
      apiVersion: v1
      kind: Secret
      metadata: {name: keys, namespace: shop}
      type: kubernetes.io/tls
      stringData:
        tls.crt: "-----BEGIN CERTIFICATE-----\\n-----END CERTIFICATE-----\\n"
        tls.key: "-----BEGIN PRIVATE KEY-----\\n-----END PRIVATE KEY-----\\n"
      ---
      """;

  /** A Gateway with HTTPS at 443 and 8443, TLS that ends here at 9443 and HTTP at 80. */
  private static String gateway(String tls, String own) {
    return """
    apiVersion: gateway.networking.k8s.io/v1
    kind: Gateway
    metadata: {name: g, namespace: shop}
    spec:
      gatewayClassName: weir
      tls: TLS
      listeners:
      - {name: a, port: 443, protocol: HTTPS, tls: {OWN certificateRefs: [{name: keys}]}}
      - {name: b, port: 8443, protocol: HTTPS, tls: {certificateRefs: [{name: keys}]}}
      - {name: c, port: 9443, protocol: TLS, tls: {mode: Terminate, certificateRefs: [{name: keys}]}}
      - {name: d, port: 80, protocol: HTTP}
    ---
    """
        .replace("OWN", own)
        .replace("TLS\n", tls + "\n");
  }

  private static String validation(String refs) {
    return "{validation: {caCertificateRefs: [" + refs + "]}}";
  }

  private static Optional<ClientTrust> clients(Steered steered, String listener) {
    return steered.proxy().listeners().stream()
        .filter(l -> l.name().equals(listener))
        .findFirst()
        .flatMap(Listener::tls)
        .flatMap(Tls::clients);
  }

  @Test
  void theDefaultIsForAllListenersThatEndTls() {
    String[] files = {
      SHOP, KEYS, CA, gateway("{frontend: {default: " + validation(REF) + "}}", "")
    };
    Steered steered = asked(files);
    for (String listener : new String[] {"a", "b", "c"}) {
      assertThat(clients(steered, listener))
          .hasValueSatisfying(
              trust -> {
                assertThat(trust.required()).isTrue();
                assertThat(trust.authorities()).singleElement().asString().contains("MIIBfDCCASGg");
              });
    }
    assertThat(clients(steered, "d")).isEmpty();
    assertThat(errors(files)).isEmpty();
  }

  @Test
  void whatIsSaidOfAPortHoldsThereInPlaceOfTheDefault() {
    Steered steered =
        asked(
            SHOP,
            KEYS,
            CA,
            gateway(
                "{frontend: {default: "
                    + validation(REF)
                    + ", perPort: [{port: 443, tls: {}}, {port: 8443, tls: {validation: {mode:"
                    + " AllowInsecureFallback, caCertificateRefs: ["
                    + REF
                    + "]}}}]}}",
                ""));
    assertThat(clients(steered, "a")).isEmpty();
    assertThat(clients(steered, "b")).map(ClientTrust::required).contains(false);
    assertThat(clients(steered, "c")).map(ClientTrust::required).contains(true);
  }

  @Test
  void aListenersOwnGoesBeforeTheGateways() {
    Steered steered =
        asked(
            SHOP,
            KEYS,
            CA,
            gateway(
                "{frontend: {default: {}}}",
                "frontendValidation: {caCertificateRefs: [" + REF + "]},"));
    assertThat(clients(steered, "a")).map(ClientTrust::required).contains(true);
    assertThat(clients(steered, "b")).isEmpty();
  }

  @Test
  void authoritiesMayBeInSecretsOfAnyType() {
    String[] files = {
      SHOP,
      KEYS,
      authority("Secret", "ca", "shop", PEM),
      gateway(
          "{frontend: {default: " + validation("{group: '', kind: Secret, name: ca}") + "}}", "")
    };
    assertThat(clients(asked(files), "a").orElseThrow().authorities()).hasSize(1);
    assertThat(errors(files)).isEmpty();
  }

  @Test
  void anotherNamespacesAuthorityNeedsAGrant() {
    String there = authority("ConfigMap", "ca", "trust", PEM);
    String[] files = {
      SHOP,
      KEYS,
      there,
      gateway(
          "{frontend: {default: "
              + validation("{group: '', kind: ConfigMap, name: ca, namespace: trust}")
              + "}}",
          "")
    };
    assertThat(errors(files))
        .isNotEmpty()
        .allSatisfy(e -> assertThat(e).contains("no ReferenceGrant of namespace trust allows"));
    assertThat(clients(asked(files), "a")).map(ClientTrust::authorities).hasValue(List.of());
    files[1] +=
        """
        apiVersion: gateway.networking.k8s.io/v1beta1
        kind: ReferenceGrant
        metadata: {name: g, namespace: trust}
        spec:
          from: [{group: gateway.networking.k8s.io, kind: Gateway, namespace: shop}]
          to: [{group: "", kind: ConfigMap}]
        ---
        """;
    assertThat(errors(files)).isEmpty();
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "{frontend: {default: {validation: {caCertificateRefs: [{group: '', kind: ConfigMap, name:"
            + " gone}]}}}} | no ConfigMap shop/gone with ca.crt is among the files",
        "{frontend: {default: {validation: {caCertificateRefs: [{group: '', kind: ConfigMap, name:"
            + " broken}]}}}} | certificate 1 cannot be read",
        "{frontend: {default: {validation: {caCertificateRefs: [{group: '', kind: ConfigMap, name:"
            + " empty}]}}}} | there is none in it",
        "{frontend: {default: {validation: {caCertificateRefs: [{group: x.io, kind: Bundle, name:"
            + " ca}]}}}} | authorities of kind Bundle are not known",
        "{frontend: {default: {validation: {caCertificateRefs: []}}}} | is missing or empty",
        "{frontend: {default: {validation: {caCertificateRefs: [{name: ca}]}}}} | is missing",
        "{frontend: {default: {validation: {mode: Maybe, caCertificateRefs: [{group: '', kind:"
            + " ConfigMap, name: ca}]}}}} | one of: AllowInsecureFallback, AllowValidOnly",
        "{frontend: {perPort: []}} | is missing",
        "{frontend: {default: {}, perPort: [{port: 443, tls: {}}, {port: 443, tls: {}}]}} | occurs"
            + " twice",
        "{frontend: {default: {}, perPort: [{port: 443}]}} | is missing",
      })
  void whatCannotBeHonouredIsAnError(String tls, String says) {
    assertThat(
            errors(
                SHOP,
                KEYS,
                CA,
                authority("ConfigMap", "empty", "shop", "    nothing\n"),
                authority(
                    "ConfigMap",
                    "broken",
                    "shop",
                    "    -----BEGIN CERTIFICATE-----\n    AAAA\n    -----END CERTIFICATE-----\n"),
                gateway(tls, "")))
        .isNotEmpty()
        .allSatisfy(e -> assertThat(e).matches("(?s)f:\\d+:\\d+: spec\\.tls.*").contains(says));
  }

  @Test
  void aPortThatNoListenerHasIsProbablyAMistake() {
    asked(SHOP, KEYS, gateway("{frontend: {default: {}, perPort: [{port: 80, tls: {}}]}}", ""))
        .warns("no listener that ends TLS has port 80");
  }
}
