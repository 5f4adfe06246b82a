// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.tuple;

import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Backend;
import dev.weir.policy.plan.Hbone;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.PlanCodec;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.Reserved;
import dev.weir.policy.plan.Service;
import dev.weir.policy.plan.Verdict.Decision;
import dev.weir.policy.plan.VerdictIndex;
import dev.weir.policy.source.Diagnostic;
import dev.weir.policy.source.SourceTree;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Pods that an ambient mesh has captured are reached by tunnels to their own addresses. */
class DiscoveredPeersTest {

  private static final String MESH =
      """
      apiVersion: weir.dev/v1alpha1
      kind: Mesh
      metadata: {name: east}
      spec: {hbone: {discover: Ambient}}
      ---
      apiVersion: weir.dev/v1alpha1
      kind: Workload
      metadata: {name: web, namespace: shop, labels: {app: web}}
      spec: {cgroup: /shop/web, address: 10.42.0.5, serviceAccountName: web, ports: [{port: 9000}]}
      ---
      """;

  private static final String PLAIN = MESH.replace("{discover: Ambient}", "{}");

  private static final String CAPTURED = "annotations: {ambient.istio.io/redirection: enabled}";
  private static final String AMBIENT = "labels: {istio.io/dataplane-mode: ambient}";
  private static final String NONE = "labels: {istio.io/dataplane-mode: none}";

  /** The pod {@code cart} at 10.42.2.9. */
  private static String pod(String metadata) {
    return pod("cart", "10.42.2.9", metadata);
  }

  private static String pod(String name, String address, String metadata) {
    return """
    apiVersion: v1
    kind: Pod
    metadata: {name: %s, namespace: shop, %s}
    spec:
      serviceAccountName: %s
      containers: [{name: c, ports: [{containerPort: 8080}]}]
    status: {podIP: %s}
    ---
    """
        .formatted(name, metadata, name, address);
  }

  private static String namespace(String metadata) {
    return "{apiVersion: v1, kind: Namespace, metadata: {name: shop, " + metadata + "}}\n---\n";
  }

  private static Plan plan(String yaml) {
    Compilation compilation = PolicyCompiler.compile(SourceTree.of("f", yaml));
    assertThat(compilation).isInstanceOf(Compilation.Compiled.class);
    return ((Compilation.Compiled) compilation).plan();
  }

  private static List<String> errors(String yaml) {
    Compilation compilation = PolicyCompiler.compile(SourceTree.of("f", yaml));
    assertThat(compilation).isInstanceOf(Compilation.Refused.class);
    return ((Compilation.Refused) compilation).errors().stream().map(Diagnostic::toString).toList();
  }

  private static Hbone.Peer peer(String name, String address) {
    return new Hbone.Peer(name, Address.parse(address).orElseThrow(), 15008, "");
  }

  /** Where its tunnels lead, of each workload that has some. */
  private static List<String> through(Plan plan) {
    Hbone hbone = plan.proxy().hbone().orElseThrow();
    return hbone.through().stream()
        .map(
            t ->
                plan.workloads().get(t.workload()).name()
                    + " "
                    + hbone.peers().get(t.peer()).address())
        .toList();
  }

  private static int identity(Plan plan, String name) {
    return plan.workloads().stream()
        .filter(w -> w.name().equals(name) && !w.kind().equals("Service"))
        .findFirst()
        .orElseThrow()
        .identity();
  }

  private static Decision proxyDials(Plan plan, String name, int port) {
    return new VerdictIndex(plan)
        .lookup(Reserved.PROXY.index(), identity(plan, name), Protocol.TCP, port)
        .decision();
  }

  private static Decision webDials(Plan plan, String name, Protocol protocol) {
    return new VerdictIndex(plan)
        .lookup(identity(plan, "web"), identity(plan, name), protocol, 8080)
        .decision();
  }

  @Test
  void aPodThatWasCapturedTakesTunnelsAtItsOwnAddress() throws Exception {
    Plan plan = plan(MESH + pod(CAPTURED));
    assertThat(plan.proxy().hbone().orElseThrow().peers())
        .containsExactly(peer("shop/cart", "10.42.2.9"));
    assertThat(through(plan)).containsExactly("cart 10.42.2.9");
    assertThat(plan.backends())
        .extracting(Backend::address, Backend::port)
        .contains(tuple(Address.parse("10.42.2.9").orElseThrow(), 8080));
    assertThat(PlanCodec.decode(PlanCodec.encode(plan))).isEqualTo(plan);
  }

  @Test
  void itIsReachedByTheProxyAloneWhichDialsWhereTunnelsAreTaken() {
    Plan plan = plan(MESH + pod(CAPTURED) + pod("stock", "10.42.2.10", ""));
    assertThat(webDials(plan, "cart", Protocol.TCP)).isEqualTo(Decision.INSPECT);
    assertThat(webDials(plan, "cart", Protocol.UDP)).isEqualTo(Decision.ALLOW);
    assertThat(webDials(plan, "stock", Protocol.TCP)).isEqualTo(Decision.ALLOW);
    assertThat(proxyDials(plan, "cart", 15008)).isEqualTo(Decision.ALLOW);
    for (int port : new int[] {8080, 15009, 1}) {
      assertThat(proxyDials(plan, "cart", port)).as("%d", port).isEqualTo(Decision.REFUSE);
    }
    assertThat(proxyDials(plan, "stock", 15008)).isEqualTo(Decision.REFUSE);
  }

  @Test
  void aServiceThatLeadsToItLeadsToTheProxy() {
    String service =
        """
        apiVersion: v1
        kind: Service
        metadata: {name: cart, namespace: shop}
        spec: {clusterIP: 10.96.0.9, selector: {app: cart}, ports: [{port: 80, targetPort: 8080}]}
        """;
    String labelled = pod("labels: {app: cart, istio.io/dataplane-mode: ambient}");
    assertThat(plan(MESH + labelled + service).services())
        .singleElement()
        .matches(s -> s.tier() == Service.Tier.PROXY);
    assertThat(plan(PLAIN + labelled + service).services())
        .allMatch(s -> s.tier() != Service.Tier.PROXY);
  }

  @Test
  void itsLabelSaysSoOrThatOfItsNamespace() {
    assertThat(through(plan(MESH + pod(AMBIENT)))).containsExactly("cart 10.42.2.9");
    assertThat(through(plan(MESH + namespace(AMBIENT) + pod(""))))
        .containsExactly("cart 10.42.2.9");
    assertThat(through(plan(MESH + namespace(NONE) + pod(AMBIENT))))
        .containsExactly("cart 10.42.2.9");
    assertThat(through(plan(MESH + namespace("") + pod("")))).isEmpty();
  }

  @Test
  void itsOwnLabelGoesBeforeThatOfItsNamespace() {
    assertThat(through(plan(MESH + namespace(AMBIENT) + pod(NONE)))).isEmpty();
  }

  @Test
  void whoIsStillCapturedIsWhateverTheLabelsSay() {
    assertThat(through(plan(MESH + namespace(AMBIENT) + pod(NONE + ", " + CAPTURED))))
        .containsExactly("cart 10.42.2.9");
  }

  @Test
  void whoIsAboutToBeCapturedIsNotReachedInPlainText() {
    String pending = CAPTURED.replace("enabled", "pending");
    assertThat(through(plan(MESH + namespace(AMBIENT) + pod(pending)))).hasSize(1);
    assertThat(through(plan(MESH + pod(pending)))).isEmpty();
  }

  @Test
  void podsOfTheHostsNetworkAndWithSidecarsAreNotCaptured() {
    String host = pod(AMBIENT).replace("spec:\n", "spec:\n  hostNetwork: true\n");
    assertThat(through(plan(MESH + host))).isEmpty();
    assertThat(through(plan(MESH + namespace(AMBIENT) + host))).isEmpty();
    assertThat(
            through(
                plan(
                    MESH
                        + namespace(AMBIENT)
                        + pod("annotations: {sidecar.istio.io/status: '{}'}"))))
        .isEmpty();
  }

  @Test
  void withoutBeingToldToNothingIsDiscovered() {
    Plan plan = plan(PLAIN + namespace(AMBIENT) + pod(CAPTURED));
    assertThat(plan.proxy().hbone().orElseThrow().peers()).isEmpty();
    assertThat(through(plan)).isEmpty();
    assertThat(webDials(plan, "cart", Protocol.TCP)).isEqualTo(Decision.ALLOW);
    assertThat(proxyDials(plan, "cart", 15008)).isEqualTo(Decision.REFUSE);
  }

  @Test
  void aPeerThatIsListedGoesBefore() {
    Plan plan =
        plan(
            MESH.replace(
                    "{discover: Ambient}",
                    "{discover: Ambient,"
                        + " peers: [{name: west, address: 192.0.2.7, workloads: [10.42.2.8/31]}]}")
                + pod(CAPTURED)
                + pod("stock", "10.42.2.10", CAPTURED));
    assertThat(plan.proxy().hbone().orElseThrow().peers())
        .containsExactly(peer("west", "192.0.2.7"), peer("shop/stock", "10.42.2.10"));
    assertThat(through(plan)).containsExactly("cart 192.0.2.7", "stock 10.42.2.10");
    // Though nothing else tells the two apart.
    assertThat(proxyDials(plan, "cart", 15008)).isEqualTo(Decision.REFUSE);
    assertThat(proxyDials(plan, "stock", 15008)).isEqualTo(Decision.ALLOW);
  }

  @Test
  void eachAddressOfAPodTakesTunnels() {
    Plan plan =
        plan(
            MESH
                + pod(CAPTURED)
                    .replace("{podIP: 10.42.2.9}", "{podIPs: [{ip: 10.42.2.9}, {ip: 'fd00::9'}]}"));
    assertThat(through(plan)).containsExactly("cart 10.42.2.9", "cart fd00::9");
  }

  @Test
  void aPodOfThisNodeIsReachedAsItIs() {
    Plan plan = plan(MESH + pod("web-1", "10.42.0.5", CAPTURED) + pod(CAPTURED));
    assertThat(through(plan)).containsExactly("cart 10.42.2.9");
  }

  @Test
  void aPodThatNothingSaysWhereItIsIsNoPeer() {
    assertThat(through(plan(MESH + pod(CAPTURED).replace("status: {podIP: 10.42.2.9}\n", ""))))
        .isEmpty();
  }

  @Test
  void twoPodsDoNotHaveOneAddress() {
    assertThat(errors(MESH + pod(CAPTURED) + pod("stock", "10.42.2.9", CAPTURED)))
        .singleElement()
        .asString()
        .contains("f:25:17: status.podIP", "10.42.2.9 is also the address declared at f:17:17");
  }

  @Test
  void whatNobodyKnowsIsNotTakenForPlainText() {
    String mode = "labels: {istio.io/dataplane-mode: Ambient}";
    assertThat(errors(MESH + pod(mode)))
        .singleElement()
        .asString()
        .contains("f:11:1", "istio.io/dataplane-mode is \"Ambient\"", "ambient or none");
    assertThat(errors(MESH + namespace(mode))).singleElement().asString().contains("f:11:1");
    assertThat(errors(MESH + pod(CAPTURED.replace("enabled", "on"))))
        .singleElement()
        .asString()
        .contains("f:11:1", "ambient.istio.io/redirection is \"on\"");
    assertThat(errors(MESH.replace("Ambient", "ambient")))
        .singleElement()
        .asString()
        .contains("f:4:", "spec.hbone.discover", "is \"ambient\"", "one of: Ambient");
    assertThat(through(plan(PLAIN + pod(mode)))).isEmpty();
  }

  @Test
  void thousandsOfPodsAreThousandsOfPeersAndAsManyRowsAsOne() {
    StringBuilder files = new StringBuilder(MESH).append(namespace(AMBIENT));
    for (int i = 0; i < 5000; i++) {
      files.append(pod("cart-" + i, "10.42." + (1 + i / 250) + "." + (1 + i % 250), ""));
    }
    Plan many = plan(files.toString());
    Plan one = plan(MESH + namespace(AMBIENT) + pod(""));
    assertThat(many.proxy().hbone().orElseThrow().peers()).hasSize(5000);
    assertThat(many.verdicts()).hasSameSizeAs(one.verdicts());
    assertThat(PlanCodec.encode(PlanCodec.forProxy(many))).hasSizeLessThan(5000 * 400);
  }

  @Test
  void anUpdateGivesTheSameAsCompilingEverything() {
    String pods = pod("stock", "10.42.2.10", NONE);
    String free =
        "{apiVersion: weir.dev/v1alpha1, kind: Workload, metadata: {name: late, namespace: shop},"
            + " spec: {cgroup: /late, address: 10.42.0.6}}\n";
    IncrementalCompiler compiler = new IncrementalCompiler();
    for (String files :
        List.of(
            MESH + pod(CAPTURED) + pods + free,
            MESH + pod("") + pods + free,
            MESH + pod(AMBIENT) + pods + free,
            MESH + pod(AMBIENT) + pods + free.replace("10.42.0.6", "10.42.2.10"),
            MESH + pod(AMBIENT) + pods.replace("none", "ambient") + free,
            PLAIN + pod(AMBIENT) + pods + free,
            MESH + namespace(AMBIENT) + pod("") + pods + free,
            MESH + namespace(NONE) + pod("") + pods + free)) {
      assertThat(((Compilation.Compiled) compiler.compile(SourceTree.of("f", files))).plan())
          .isEqualTo(plan(files));
    }
  }
}
