// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.agent;

import static dev.weir.node.agent.TwoNodes.CART;
import static dev.weir.node.agent.TwoNodes.CART_SERVICE;
import static dev.weir.node.agent.TwoNodes.CART_WEB;
import static dev.weir.node.agent.TwoNodes.EAST;
import static dev.weir.node.agent.TwoNodes.EAST_WORKLOADS;
import static dev.weir.node.agent.TwoNodes.EAST_WORKLOADS_AT;
import static dev.weir.node.agent.TwoNodes.ONLY_WEB;
import static dev.weir.node.agent.TwoNodes.WEST;
import static dev.weir.node.agent.TwoNodes.WEST_WORKLOADS;
import static dev.weir.node.agent.TwoNodes.WEST_WORKLOADS_AT;
import static dev.weir.node.agent.TwoNodes.mesh;
import static dev.weir.node.agent.TwoNodes.peer;
import static dev.weir.node.agent.TwoNodes.status;
import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.node.identity.CertificateAuthority;
import dev.weir.node.identity.IdentityDirectory;
import dev.weir.node.identity.RootSource;
import dev.weir.node.identity.SpiffeId;
import dev.weir.node.kernel.KernelTest;
import dev.weir.policy.identity.PemCertificates;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.time.Instant;
import java.util.HexFormat;
import java.util.List;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/**
 * {@link TwoNodes} whose identities are Secrets among the policy files, and whose roots are a
 * ConfigMap's. They change while connections and requests go from node to node.
 */
@Tag("kernel")
final class SecretIdentitiesTest {

  private static final SpiffeId CALLER = new SpiffeId("cluster.local", "shop", "web");
  private static final SpiffeId CALLEE = new SpiffeId("cluster.local", "shop", "cart");
  private static final String ROUTED_SERVICE = "10.96.0.10";
  private static final String KEY = "-----BEGIN PRIVATE KEY-----";

  private static final RootSource MADE = new RootSource.Made(CertificateAuthority.ROOT_LIFE);

  /** What is asked over each pooled, new and kept connection between two changes, at least. */
  private static final int STEADILY = 20;

  /** A service of requests, which the proxy on east looks at as well. */
  private static final String ROUTED =
      """
      apiVersion: v1
      kind: Service
      metadata: {name: routed, namespace: shop}
      spec: {clusterIP: 10.96.0.10, selector: {app: cart}, ports: [{port: 80, targetPort: 8081}]}
      ---
      apiVersion: gateway.networking.k8s.io/v1
      kind: HTTPRoute
      metadata: {name: routed, namespace: shop}
      spec:
        parentRefs: [{group: "", kind: Service, name: routed}]
        rules: [{backendRefs: [{name: routed, port: 80}]}]
      """;

  @RegisterExtension final TwoNodes nodes = new TwoNodes();
  private final KernelTest east = nodes.east;
  private final KernelTest west = nodes.west;

  /** Each renewed certificate is to end later than the one before. */
  private Duration ahead = Duration.ZERO;

  @BeforeEach
  void secrets() throws Exception {
    String roots = "caCertificateRefs: [{name: roots}], ";
    nodes.write(east, "mesh.yaml", mesh("{" + roots + peer("west", WEST, WEST_WORKLOADS_AT) + "}"));
    nodes.write(west, "mesh.yaml", mesh("{" + roots + peer("east", EAST, EAST_WORKLOADS_AT) + "}"));
    nodes.write(east, "workloads.yaml", EAST_WORKLOADS);
    nodes.write(west, "workloads.yaml", WEST_WORKLOADS);
    nodes.write(east, "routed.yaml", ROUTED);
    nodes.write(west, "policy.yaml", ONLY_WEB);
    var _ = authority().init("cluster.local", MADE);
    issue();
    nodes.write(east, "roots.yaml", roots(bundle()));
    nodes.write(west, "roots.yaml", roots(bundle()));
    nodes.write(east, "web-tls.yaml", secret(CALLER));
    nodes.write(west, "cart-tls.yaml", secret(CALLEE));
    nodes.web(west, "cart", CART, CART_WEB);
    nodes.up();
  }

  private CertificateAuthority authority() throws IOException {
    Path directory = nodes.directory();
    int group = (Integer) Files.getAttribute(Path.of("/proc/self"), "unix:gid");
    return new CertificateAuthority(
        directory.resolve("state"),
        new IdentityDirectory(directory.resolve("run"), group),
        () -> Instant.now().plus(ahead));
  }

  /** New certificates for both, each with a key and serial number of its own. */
  private void issue() throws IOException {
    ahead = ahead.plusSeconds(10);
    var _ =
        authority()
            .issue(
                new TreeSet<>(List.of(CALLER, CALLEE)),
                false,
                false,
                new CertificateAuthority.Terms(CertificateAuthority.LEAF_LIFE, true, false));
  }

  private Path identities() {
    return nodes.directory().resolve("run/identities");
  }

  private String bundle() throws IOException {
    return Files.readString(identities().resolve("bundle.pem"));
  }

  /** Chain and key, as the authority wrote them. */
  private String issued(SpiffeId id) throws IOException {
    return Files.readString(
        identities().resolve("ns/" + id.namespace() + "/sa/" + id.account() + "/svid.pem"));
  }

  private X509Certificate leaf(SpiffeId id) throws Exception {
    return PemCertificates.read(chain(issued(id))).getFirst();
  }

  private static String chain(String issued) {
    return issued.substring(0, issued.indexOf(KEY));
  }

  private static String key(String issued) {
    return issued.substring(issued.indexOf(KEY));
  }

  private String secret(SpiffeId id) throws IOException {
    return secret(id, chain(issued(id)), key(issued(id)));
  }

  private static String secret(SpiffeId id, String chain, String key) {
    return "apiVersion: v1\nkind: Secret\nmetadata: {name: "
        + id.account()
        + "-tls, namespace: "
        + id.namespace()
        + "}\ntype: kubernetes.io/tls\nstringData:\n  tls.crt: |\n"
        + chain.indent(4)
        + "  tls.key: |\n"
        + key.indent(4);
  }

  private static String roots(String pem) {
    return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: roots, namespace: shop}\n"
        + "data:\n  ca.crt: |\n"
        + pem.indent(4);
  }

  private SteadyCaller.Running call() throws Exception {
    SteadyCaller.Running calls =
        new SteadyCaller.Running(
            nodes,
            east,
            "web",
            CART_SERVICE + ":80",
            WEST + ":" + CART_WEB,
            ROUTED_SERVICE + ":80");
    goesOn(calls);
    return calls;
  }

  /** Waits until much has been asked since now, and fails when anything was not answered. */
  private void goesOn(SteadyCaller.Running calls) throws Exception {
    List<SteadyCaller.Tally> before = calls.tallies();
    nodes.eventually(
        east,
        "connections go on",
        () -> {
          List<SteadyCaller.Tally> now = calls.tallies();
          assertThat(now).as(nodes.log(east) + nodes.log(west)).allMatch(SteadyCaller.Tally::clean);
          return Stream.iterate(0, i -> i < now.size(), i -> i + 1)
              .allMatch(
                  i ->
                      now.get(i).made() >= before.get(i).made() + STEADILY
                          && now.get(i).kept() >= before.get(i).kept() + STEADILY);
        });
  }

  /** Waits until new connections, and requests of who leads them, come with a certificate. */
  private void comesWith(SteadyCaller.Running calls, X509Certificate leaf) throws Exception {
    String hash =
        "Hash="
            + HexFormat.of()
                .formatHex(MessageDigest.getInstance("SHA-256").digest(leaf.getEncoded()));
    nodes.eventually(
        east,
        "new connections show the new certificate, not " + calls.tallies(),
        () -> calls.tallies().stream().skip(1).allMatch(t -> t.shown().contains(hash)));
  }

  private String shownByWest() throws Exception {
    Process process =
        nodes.start(
            NodeProcesses.java(west, ShownCertificate.class.getName(), WEST, "15008", "cart.shop"));
    return new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8).strip();
  }

  /** Puts what was issued last in force on both nodes, the callee's first. */
  private void renew() throws Exception {
    nodes.change(west, "cart-tls.yaml", secret(CALLEE));
    nodes.change(east, "web-tls.yaml", secret(CALLER));
    assertThat(status(west)).contains(ends(leaf(CALLEE)));
    assertThat(status(east)).contains(ends(leaf(CALLER)));
  }

  private static String ends(X509Certificate certificate) {
    return "\"ends\":\"" + certificate.getNotAfter().toInstant() + "\"";
  }

  @Test
  void renewedCertificatesAreShownByNewTunnelsAndNothingIsDropped() throws Exception {
    SteadyCaller.Running calls = call();
    comesWith(calls, leaf(CALLER));
    assertThat(shownByWest()).isEqualTo(leaf(CALLEE).getSerialNumber().toString());
    for (int i = 0; i < 3; i++) {
      X509Certificate before = leaf(CALLER);
      issue();
      assertThat(leaf(CALLER).getSerialNumber()).isNotEqualTo(before.getSerialNumber());
      assertThat(leaf(CALLER).getNotAfter()).isAfter(before.getNotAfter());
      renew();
      comesWith(calls, leaf(CALLER));
      goesOn(calls);
    }
    assertThat(shownByWest()).isEqualTo(leaf(CALLEE).getSerialNumber().toString());
  }

  @Test
  void aNewRootTakesTheOldOnesPlaceAndNothingIsDropped() throws Exception {
    SteadyCaller.Running calls = call();
    List<X509Certificate> old = PemCertificates.read(bundle());
    ahead = ahead.plusSeconds(10);
    var _ =
        authority()
            .rotate(
                MADE,
                new CertificateAuthority.Rotation(
                    Duration.ZERO, Duration.ZERO, false, CertificateAuthority.LEAF_LIFE, false));
    String both = bundle();
    assertThat(PemCertificates.read(both)).hasSize(2).containsAll(old);
    for (KernelTest node : List.of(east, west)) {
      nodes.change(node, "roots.yaml", roots(both));
    }
    goesOn(calls);
    issue();
    renew();
    comesWith(calls, leaf(CALLER));
    String fresh =
        Stream.of(both.split("(?=-----BEGIN CERTIFICATE-----)"))
            .filter(pem -> pem.startsWith("-----BEGIN") && !isOf(pem, old))
            .collect(Collectors.joining());
    assertThat(PemCertificates.read(fresh)).hasSize(1).doesNotContainAnyElementsOf(old);
    for (KernelTest node : List.of(east, west)) {
      nodes.change(node, "roots.yaml", roots(fresh));
    }
    goesOn(calls);
    // Handshakes are made by the new root alone.
    issue();
    renew();
    comesWith(calls, leaf(CALLER));
    goesOn(calls);
  }

  private static boolean isOf(String pem, List<X509Certificate> certificates) {
    try {
      return certificates.containsAll(PemCertificates.read(pem));
    } catch (java.security.cert.CertificateException e) {
      throw new AssertionError(e);
    }
  }

  @Test
  void aBrokenSecretIsRefusedAndWhatRunsGoesOn() throws Exception {
    SteadyCaller.Running calls = call();
    String before = issued(CALLER);
    X509Certificate shown = leaf(CALLER);
    issue();
    String fresh = issued(CALLER);
    String half = chain(fresh).substring(0, chain(fresh).length() / 2) + "\n";
    String nothing = KEY + "\nQUJD\n-----END PRIVATE KEY-----\n";
    refused(calls, secret(CALLER, half, key(fresh)), "tls.crt cannot be read");
    refused(calls, secret(CALLER, "none\n", key(fresh)), "tls.crt holds no PEM certificate");
    refused(
        calls, secret(CALLER, chain(fresh), nothing), "Secret shop/web-tls: the key in it is no");
    refused(
        calls,
        secret(CALLER, chain(fresh), key(before)),
        "Secret shop/web-tls: the key in it is not that of its certificate");
    assertThat(status(east)).contains(ends(shown));
    comesWith(calls, shown);
    nodes.change(east, "web-tls.yaml", secret(CALLER));
    comesWith(calls, leaf(CALLER));
    goesOn(calls);
  }

  private void refused(SteadyCaller.Running calls, String secret, String why) throws Exception {
    int said = nodes.log(east).length();
    nodes.write(east, "web-tls.yaml", secret);
    nodes.eventually(east, "refused: " + why, () -> nodes.log(east).substring(said).contains(why));
    nodes.inForce(east);
    goesOn(calls);
  }
}
