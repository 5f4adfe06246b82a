// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.steer;

import static dev.weir.policy.steer.Steered.SHOP;
import static dev.weir.policy.steer.Steered.asked;
import static dev.weir.policy.steer.Steered.errors;
import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.Compilation;
import dev.weir.policy.PolicyCompiler;
import dev.weir.policy.plan.Hbone;
import dev.weir.policy.source.SourceTree;
import org.junit.jupiter.api.Test;

/** Certificates of service accounts that are Secrets, as cert-manager writes them. */
class MeshIdentitiesTest {

  /** Of cluster.local/ns/shop/sa/web. */
  private static final String WEB =
      """
      -----BEGIN CERTIFICATE-----
      MIIBqTCCAVCgAwIBAgIUcO2dbZUhjPSk/115hystqRC4/uwwCgYIKoZIzj0EAwIw
      DzENMAsGA1UEAwwEbWVzaDAgFw0yNjExMjIwMTIzMzlaGA8yMTI2MDcyMTAxMjMz
      OVowADBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABADsNxdi33BpqbB8QpUpPONi
      SMLkMSikND1ilG4fgqxVBF8PYjBvyp+ct0X117cGYLVgJ2WoeB5CRgStYW4YZ1mj
      gZYwgZMwDAYDVR0TAQH/BAIwADAOBgNVHQ8BAf8EBAMCB4AwMwYDVR0RAQH/BCkw
      J4Ylc3BpZmZlOi8vY2x1c3Rlci5sb2NhbC9ucy9zaG9wL3NhL3dlYjAdBgNVHQ4E
      FgQUsM43MOzQXtyBbWVE4SNGzfRHOMwwHwYDVR0jBBgwFoAUYm25Pd8Nbu99t/I+
      H6W08uYf4sswCgYIKoZIzj0EAwIDRwAwRAIgbJLVpzKNP/F+VUwJgB3ne5ivw51J
      K97duWobfX9erKACIEyra8GUQz/v3iJw3+iRCwHsJsb0ANoZzhzJowrRUo1r
      -----END CERTIFICATE-----
      """;

  /** The same, but its keyUsage is not critical. */
  private static final String LOOSE =
      """
      -----BEGIN CERTIFICATE-----
      MIIBpzCCAU2gAwIBAgIUcO2dbZUhjPSk/115hystqRC4/u0wCgYIKoZIzj0EAwIw
      DzENMAsGA1UEAwwEbWVzaDAgFw0yNjExMjIwMTIzMzlaGA8yMTI2MDcyMTAxMjMz
      OVowADBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABOslln6rBTlDIXwwp27uukp0
      WqB76SW4W1y+9NayUD9A3U0xc4BW4aCltWXLkmH+EgBjYk4XO0PIg1hSkm2IdXuj
      gZMwgZAwDAYDVR0TAQH/BAIwADALBgNVHQ8EBAMCB4AwMwYDVR0RAQH/BCkwJ4Yl
      c3BpZmZlOi8vY2x1c3Rlci5sb2NhbC9ucy9zaG9wL3NhL3dlYjAdBgNVHQ4EFgQU
      0EwgBoCIY9L4lMcHP2k1Jgr1rIIwHwYDVR0jBBgwFoAUYm25Pd8Nbu99t/I+H6W0
      8uYf4sswCgYIKoZIzj0EAwIDSAAwRQIgXhHc0a4YwfRe5b4MPqTxWuZa4GhJkJ3j
      haJoEy6YOGMCIQDoNToEWnqND99mhvahnd+Wa2OQ/ZdfgROidtuVIyaBew==
      -----END CERTIFICATE-----
      """;

  private static final String ROOT =
      """
      -----BEGIN CERTIFICATE-----
      MIIBdDCCARugAwIBAgIUGz88Xc/oKCNQmxp0/G+gX+wo7hMwCgYIKoZIzj0EAwIw
      DzENMAsGA1UEAwwEbWVzaDAgFw0yNjExMjIwMTIzMzlaGA8yMTI2MTAyOTAxMjMz
      OVowDzENMAsGA1UEAwwEbWVzaDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABCOB
      iTAzr/um36Dwn8o2oAZ/JVaSp32E6Fn3eCd9vsZ7C0e6rqwnMoHldOdq8UwJR7Ur
      B04qvTGjkzU5JVICiBqjUzBRMB0GA1UdDgQWBBRibbk93w1u73238j4fpbTy5h/i
      yzAfBgNVHSMEGDAWgBRibbk93w1u73238j4fpbTy5h/iyzAPBgNVHRMBAf8EBTAD
      AQH/MAoGCCqGSM49BAMCA0cAMEQCIB9r6/cpjl4sT6u/B/OkTcSCPeyTYorAYJmr
      BMw0PnMjAiAV7DDyRUom+ILqmFg8GQxIHAHqslAfANm1Hma5UwO2vA==
      -----END CERTIFICATE-----
      """;

  private static final String MESH =
      """
      apiVersion: weir.dev/v1alpha1
      kind: Mesh
      metadata: {name: node, namespace: weir}
      spec: {hbone: {caCertificateRefs: [{name: roots}]}}
      ---
      """;

  private static final String ROOTS =
      "apiVersion: v1\n"
          + "kind: ConfigMap\n"
          + "metadata: {name: roots, namespace: weir}\n"
          + "data:\n"
          + "  ca.crt: |\n"
          + ROOT.indent(4)
          + "---\n";

  private static String secret(String namespace, String name, String certificate) {
    return "apiVersion: v1\nkind: Secret\nmetadata: {name: %s, namespace: %s}\n"
            .formatted(name, namespace)
        + "type: kubernetes.io/tls\nstringData:\n  tls.key: |\n    -----BEGIN PRIVATE KEY-----\n"
        + "    -----END PRIVATE KEY-----\n  tls.crt: |\n"
        + certificate.indent(4)
        + "---\n";
  }

  @Test
  void aSecretIsOfTheServiceAccountThatItsCertificateNames() {
    String[] files = {SHOP, MESH, ROOTS, secret("shop", "web-tls", WEB)};
    Hbone hbone = asked(files).proxy().hbone().orElseThrow();
    assertThat(hbone.identities()).containsExactly("shop/web-tls");
    assertThat(hbone.authorities()).singleElement().asString().contains("BEGIN CERTIFICATE");
    assertThat(errors(files)).isEmpty();
    Compilation compiled = PolicyCompiler.compile(SourceTree.of("f", String.join("", files)));
    assertThat(((Compilation.Compiled) compiled).keyPairs())
        .singleElement()
        .hasToString("TlsKeyPair[shop/web-tls]");
  }

  @Test
  void withoutTunnelsASecretIsOfNoUse() {
    Compilation compiled =
        PolicyCompiler.compile(SourceTree.of("f", SHOP + secret("shop", "web-tls", WEB)));
    assertThat(((Compilation.Compiled) compiled).keyPairs()).isEmpty();
  }

  /** Whoever writes Secrets of one namespace must not be somebody of another. */
  @Test
  void aSecretIsOfItsOwnNamespaceAlone() {
    assertThat(errors(SHOP, MESH, ROOTS, secret("other", "web-tls", WEB)))
        .singleElement()
        .asString()
        .matches("(?s)f:\\d+:\\d+: data: .*")
        .contains("spiffe://cluster.local/ns/shop/sa/web")
        .contains("spiffe://cluster.local/ns/other/sa/...");
  }

  @Test
  void anotherTrustDomainIsNone() {
    assertThat(
            errors(
                SHOP,
                MESH.replace("spec: {", "spec: {trustDomain: shop.example, "),
                ROOTS,
                secret("shop", "web-tls", WEB)))
        .singleElement()
        .asString()
        .contains("spiffe://shop.example/ns/shop/sa/...");
  }

  @Test
  void aServiceAccountHasOneSecret() {
    assertThat(
            errors(SHOP, MESH, ROOTS, secret("shop", "web-tls", WEB), secret("shop", "web-2", WEB)))
        .singleElement()
        .asString()
        .contains("is also that of Secret shop/web-");
  }

  @Test
  void whatNobodyWouldBelieveIsAnError() {
    assertThat(errors(SHOP, MESH, ROOTS, secret("shop", "web-tls", LOOSE)))
        .singleElement()
        .asString()
        .contains("keyUsage must be there and critical (X509-SVID 4.3)");
  }

  @Test
  void rootsThatAreNotThereAreAnError() {
    assertThat(errors(SHOP, MESH, secret("shop", "web-tls", WEB)))
        .singleElement()
        .asString()
        .contains("no ConfigMap weir/roots with certificates in ca.crt");
  }
}
