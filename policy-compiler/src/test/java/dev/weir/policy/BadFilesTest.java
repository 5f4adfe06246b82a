// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.source.Diagnostic;
import dev.weir.policy.source.SourceTree;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Every error names file, line, column and field, and says what to do. */
class BadFilesTest {

  private static final String POLICY =
      """
      apiVersion: networking.k8s.io/v1
      kind: NetworkPolicy
      metadata: {name: p}
      spec:
        podSelector: {}
      """;
  private static final String WORKLOAD =
      """
      apiVersion: weir.dev/v1alpha1
      kind: Workload
      metadata: {name: w}
      spec:
        cgroup: /t/w
      """;
  private static final String SERVICE =
      """
      apiVersion: v1
      kind: Service
      metadata: {name: s}
      spec:
        selector: {app: a}
        clusterIP: 10.96.0.1
      """;
  private static final String MESH =
      """
      apiVersion: weir.dev/v1alpha1
      kind: Mesh
      metadata: {name: m}
      spec:
      """;
  private static final String ROUTE =
      """
      apiVersion: gateway.networking.k8s.io/v1
      kind: HTTPRoute
      metadata: {name: r}
      spec:
      """;
  private static final String GATEWAY =
      """
      apiVersion: gateway.networking.k8s.io/v1
      kind: Gateway
      metadata: {name: g}
      spec:
        gatewayClassName: weir
      """;

  static Stream<Arguments> errors() {
    return Stream.of(
        bad("just text", "f:1:1: is the string \"just text\", but must be an object"),
        bad("kind: Service\n", "f:1:1: apiVersion: is missing"),
        bad("apiVersion: v1\nkind: Service\n", "f:1:1: metadata: is missing"),
        bad(
            "apiVersion: v1\nkind: Service\nmetadata: {name: Cart}\n",
            "f:3:18: metadata.name: \"Cart\" is not a name (lower-case"),
        bad(
            "apiVersion: networking.k8s.io/v1beta1\nkind: NetworkPolicy\nmetadata: {name: p}\n",
            "f:1:13: apiVersion: version v1beta1 is not known (use networking.k8s.io/v1)"),
        bad(
            "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {name: p}\n",
            "f:2:7: kind: tokens of requests are not verified"),
        bad(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: UDPRoute\nmetadata: {name: p}\n",
            "f:2:7: kind: UDPRoute is not honoured yet"),
        bad(
            "apiVersion: networking.k8s.io/v1\nkind: NetworkPolcy\nmetadata: {name: p}\n",
            "f:2:7: kind: networking.k8s.io has no kind NetworkPolcy that Weir knows"),
        bad(
            WORKLOAD + "---\n" + WORKLOAD,
            "f:7:1: metadata.name: Workload default/w is already at f:1:1"),
        bad(
            POLICY + "  policyTypes: [Inbound]\n",
            "f:6:16: spec.policyTypes: \"Inbound\" is no policy type (Ingress or Egress)"),
        bad(
            POLICY + "  ingress:\n    - from: [{}]\n",
            "f:7:14: spec.ingress[0].from[0]: has neither podSelector"),
        bad(
            POLICY + "  ingress:\n    - from: [{ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}}]\n",
            "f:7:14: spec.ingress[0].from[0]: has ipBlock beside a selector"),
        bad(
            POLICY + "  ingress:\n    - from: [{ipBlock: {cidr: 10.0.0.0}}]\n",
            "f:7:31: spec.ingress[0].from[0].ipBlock.cidr: \"10.0.0.0\" is no address block"),
        bad(
            POLICY
                + "  ingress:\n"
                + "    - from: [{ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/16]}}]\n",
            "spec.ingress[0].from[0].ipBlock.except: 11.0.0.0/16 does not lie strictly within"),
        bad(
            POLICY + "  ingress:\n    - ports: [{port: 70000}]\n",
            "f:7:22: spec.ingress[0].ports[0].port: is 70000, but must be from 1 to 65535"),
        bad(
            POLICY + "  ingress:\n    - ports: [{port: \"80\"}]\n",
            "f:7:22: spec.ingress[0].ports[0].port: \"80\" is not a port name (a number without"),
        bad(
            POLICY + "  ingress:\n    - ports: [{port: http, endPort: 90}]\n",
            "spec.ingress[0].ports[0].endPort: needs a port that is a number"),
        bad(
            POLICY + "  ingress:\n    - ports: [{port: 80, endPort: 79}]\n",
            "f:7:35: spec.ingress[0].ports[0].endPort: is smaller than port"),
        bad(
            POLICY + "  egress:\n    - ports: [{port: 80, protocol: tcp}]\n",
            "spec.egress[0].ports[0].protocol: is \"tcp\" (one of: SCTP, TCP, UDP)"),
        bad(
            POLICY.replace("{}", "{matchExpressions: [{key: a, operator: In}]}"),
            "spec.podSelector.matchExpressions[0].values: is missing or empty"),
        bad(
            POLICY.replace("{}", "{matchLabels: {app: 1}}"),
            "f:5:36: spec.podSelector.matchLabels.app: is the number 1, but must be a string (write"
                + " it in quotes)"),
        bad(POLICY + "  ingress: {}\n", "f:6:12: spec.ingress: is a mapping, but must be a list"),
        bad(
            WORKLOAD.replace("cgroup: /t/w", "ports: []"),
            "f:5:3: spec: does not say where it lives (write one of: cgroup:"),
        bad(
            WORKLOAD.replace("cgroup: /t/w", "address: 10.0.0.1\n  handsOutSockets: true"),
            "f:6:20: spec.handsOutSockets: means nothing for a workload that runs elsewhere"),
        bad(
            WORKLOAD.replace("cgroup: /t/w", "address: 10.0.0.1\n  systemdSockets: [w.socket]"),
            "f:6:19: spec.systemdSockets: means nothing without systemdUnit or cgroup (remove it)"),
        bad(
            WORKLOAD + "  systemdSockets: [w.service]\n",
            "f:6:19: spec.systemdSockets: \"w.service\" is no socket unit (as name.socket or"),
        bad(
            WORKLOAD + "  socketSlice: w.slice\n",
            "f:6:16: spec.socketSlice: means nothing without systemdSockets (remove it)"),
        bad(
            WORKLOAD + "  systemdSockets: [w.socket]\n  socketSlice: w\n",
            "f:7:16: spec.socketSlice: \"w\" is no slice (as name.slice)"),
        bad(
            WORKLOAD
                + "  systemdSockets: [w.socket]\n---\n"
                + WORKLOAD.replace("name: w", "name: v").replace("/t/w", "/t/v")
                + "  systemdSockets: [v.socket, w.socket]\n",
            "f:6:20: spec.systemdSockets[0]: /system.slice/w.socket is also the cgroup declared at"
                + " f:13:30"),
        bad(
            MESH + "  trustDomain: Cluster.Local\n",
            "f:5:16: spec.trustDomain: \"Cluster.Local\" is no trust domain (lower-case"),
        bad(
            MESH + "  trustedProxies: [10.0.0.1]\n",
            "f:5:19: spec.trustedProxies: \"10.0.0.1\" is no block of addresses"),
        bad(
            MESH + "  trustedProxies: [0.0.0.0/0]\n",
            "f:5:19: spec.trustedProxies: \"0.0.0.0/0\" is everybody"),
        bad(
            MESH + "  rootNamespace: a.b\n",
            "f:5:18: spec.rootNamespace: \"a.b\" is not a namespace"),
        bad(
            POLICY.replace("name: p", "name: p, annotations: {weir.dev/audit: \"yes\"}"),
            "f:3:51: metadata.annotations.weir.dev/audit: is \"yes\" (\"true\" or \"false\", in"),
        bad(
            POLICY.replace("name: p", "name: p, annotations: {weir.dev/audit: true}"),
            "f:3:51: metadata.annotations.weir.dev/audit: is true, but must be a string (write it"),
        bad(
            WORKLOAD.replace("name: w", "name: w, annotations: {weir.dev/audit: \"true\"}"),
            "metadata.annotations.weir.dev/audit: a Workload has no audit mode (set it on"),
        bad(
            WORKLOAD + "  systemdUnit: w.service\n",
            "f:5:3: spec: has both cgroup and systemdUnit"),
        bad(
            WORKLOAD.replace("/t/w", "/t/../w"),
            "f:5:11: spec.cgroup: \"/t/../w\" is no path of a cgroup"),
        bad(
            WORKLOAD + "  address: 127.0.0.1\n",
            "f:6:12: spec.address: \"127.0.0.1\" is not an address of its own"),
        bad(
            WORKLOAD + "---\n" + WORKLOAD.replace("name: w", "name: v"),
            "spec.cgroup: /t/w is also the cgroup declared at f:"),
        bad(
            WORKLOAD
                + "  ports: [{port: 80}]\n---\n"
                + WORKLOAD.replace("name: w", "name: v").replace("/t/w", "/t/v")
                + "  ports: [{port: 80}]\n",
            "spec.ports: TCP 80 of this node also belongs to Workload default/v at f:13:11"),
        bad(
            WORKLOAD + "  ports: [{port: 15001}]\n",
            "f:6:11: spec.ports: TCP 15001 of this node also belongs to the proxy's capture port"),
        bad(
            WORKLOAD + "  address: 10.9.0.1\n  ports: [{port: 15001}]\n",
            "f:7:11: spec.ports: TCP 15001 of its own network namespace also belongs to the"
                + " proxy's"),
        bad(
            SERVICE + "  ports: [{port: 80}]\n  clusterIPs: [10.96.0.2]\n",
            "f:6:14: spec.clusterIP: is not the first of clusterIPs"),
        bad(SERVICE, "f:5:3: spec.ports: is missing or empty"),
        bad(
            """
            apiVersion: networking.k8s.io/v1
            kind: NetworkPolicy
            metadata: {name: p}
            spec:
              egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8}}], ports: [{port: http}]}]
            """,
            "f:5:57: spec.egress[0].ports: an ipBlock has no port named \"http\""),
        bad(
            """
            apiVersion: v1
            kind: Pod
            metadata: {name: p}
            spec: {containers: [{ports: [{name: http}]}]}
            """,
            "f:4:30: spec.containers[0].ports[0].containerPort: is missing"),
        bad(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec: {replicas: 1}\n",
            "f:4:7: spec.template: is missing: a Deployment says there what its pods are"),
        bad(
            "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: d}\nspec: {}\n",
            "f:4:7: spec.jobTemplate: is missing"),
        bad(
            """
            apiVersion: networking.k8s.io/v1
            kind: Ingress
            metadata: {name: i}
            spec: {defaultBackend: {service: {name: s}}}
            """,
            "spec.defaultBackend.service.port: is missing (name or number of a port"),
        bad(
            SERVICE
                + "  ports: [{port: 80}]\n---\n"
                + SERVICE.replace("name: s", "name: t")
                + "  ports: [{port: 80}]\n",
            "spec.clusterIP: 10.96.0.1 is also the address of Service default/s"),
        bad(
            MESH + "  host: {governed: true}\n",
            "f:5:9: spec.host.management: must not be empty when the host is governed"),
        bad(
            MESH + "  refuseWith: RST\n",
            "f:5:15: spec.refuseWith: is \"RST\" (one of: ECONNREFUSED, EPERM)"),
        bad(
            MESH + "  icmp: Maybe\n",
            "f:5:9: spec.icmp: is \"Maybe\" (one of: Allow, Policy, Refuse)"),
        bad(
            MESH + "  metricsPort: 15021\n",
            "TCP 15021 of this node also belongs to the metrics port"),
        bad(
            MESH
                + "  audit: true\n---\n"
                + MESH.replace("{name: m}", "{name: n}")
                + "  audit: true\n",
            "there is more than one Mesh"),
        bad(
            ROUTE + "  parentRefs: [{kind: Service, name: s}]\n",
            "spec.parentRefs[0]: Service is not a kind of gateway.networking.k8s.io (write group:"
                + " \"\""),
        bad(
            ROUTE + "  rules: [{matches: [{path: {type: RegularExpression, value: \"(\"}}]}]\n",
            "spec.rules[0].matches[0].path.value: is no regular expression"),
        bad(
            ROUTE + "  rules: [{filters: [{type: RequestMirror, requestMirror: {}}]}]\n",
            "spec.rules[0].filters[0].requestMirror.backendRef.name: is missing"),
        bad(
            ROUTE + "  rules: [{timeouts: {request: 10}}]\n",
            "spec.rules[0].timeouts.request: is the number 10, but must be a string"),
        bad(
            ROUTE + "  rules: [{timeouts: {request: 1s, backendRequest: 2s}}]\n",
            "spec.rules[0].timeouts.backendRequest: is longer than request"),
        bad(
            ROUTE + "  rules: [{retry: {codes: [200]}}]\n",
            "spec.rules[0].retry.codes[0]: is 200, but must be from 400 to 599"),
        bad(
            GATEWAY + "  listeners: [{name: a, port: 80, protocol: UDP}]\n",
            "spec.listeners[0].protocol: listeners of protocol UDP are not served"),
        bad(
            GATEWAY + "  listeners: [{name: a, port: 443, protocol: HTTPS}]\n",
            "spec.listeners[0].tls: a listener that ends TLS needs certificateRefs"),
        bad(
            GATEWAY
                + "  listeners:\n    - name: a\n      port: 443\n      protocol: HTTPS\n"
                + "      tls: {certificateRefs: [{name: t}]}\n",
            "f:10:31: spec.listeners[0].tls.certificateRefs[0]: Secret default/t of type"
                + " kubernetes.io/tls is not among the files"),
        bad(
            GATEWAY
                + "  listeners: [{name: a, port: 80, protocol: HTTP}, {name: b, port: 80, protocol:"
                + " HTTP}]\n",
            "spec.listeners[1].name: port, protocol and hostname are also those of listener a"),
        bad(
            """
            apiVersion: v1
            kind: Secret
            metadata: {name: t}
            type: kubernetes.io/tls
            data: {tls.crt: "!", tls.key: ""}
            """,
            "f:5:7: data: tls.crt is not base64"));
  }

  private static Arguments bad(String yaml, String message) {
    return Arguments.of(message, yaml);
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("errors")
  void isRefusedWithPlaceAndRemedy(String message, String yaml) {
    Compilation compilation = PolicyCompiler.compile(SourceTree.of("f", yaml));
    assertThat(compilation).isInstanceOf(Compilation.Refused.class);
    List<String> errors =
        ((Compilation.Refused) compilation).errors().stream().map(Diagnostic::toString).toList();
    assertThat(errors).anySatisfy(e -> assertThat(e).contains(message));
  }

  @Test
  void oneBadFileRefusesAllOfThem() {
    Compilation compilation =
        PolicyCompiler.compile(SourceTree.of("f", WORKLOAD + "---\nkind: Nothing\n"));
    assertThat(compilation).isInstanceOf(Compilation.Refused.class);
  }

  @Test
  void unknownFieldsAreWarnings() {
    Compilation compilation =
        PolicyCompiler.compile(SourceTree.of("f", WORKLOAD + "  cgruop: /x\n"));
    assertThat(compilation).isInstanceOf(Compilation.Compiled.class);
    assertThat(compilation.warnings())
        .singleElement()
        .hasToString("f:6:3: spec.cgruop: is not a field of this kind (did you mean cgroup?)");
  }

  @Test
  void whatOnlyAnApiServerRefusesIsAWarning() {
    Compilation compilation =
        PolicyCompiler.compile(
            SourceTree.of(
                "f",
                """
                apiVersion: networking.k8s.io/v1
                kind: NetworkPolicy
                metadata: {name: a_b}
                spec: {}
                """));
    assertThat(compilation).isInstanceOf(Compilation.Compiled.class);
    assertThat(compilation.warnings())
        .singleElement()
        .hasToString(
            "f:3:18: metadata.name: \"a_b\" is a name that an API server refuses: it has '_'");
  }

  @Test
  void itemsOfATypedListNeedNotSayTheirKind() {
    Compilation compilation =
        PolicyCompiler.compile(
            SourceTree.of(
                "f",
                """
                apiVersion: v1
                kind: PodList
                items: [{metadata: {name: a}}, {metadata: {name: a}}]
                """));
    assertThat(((Compilation.Refused) compilation).errors())
        .singleElement()
        .hasToString(
            "f:3:32: metadata.name: Pod default/a is already at f:3:9 (remove or rename one of the"
                + " two)");
  }

  @Test
  void kindsThatSayNothingAboutTrafficArePassedOver() {
    Compilation compilation =
        PolicyCompiler.compile(
            SourceTree.of(
                "f", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: b}\n"));
    assertThat(compilation).isInstanceOf(Compilation.Compiled.class);
    assertThat(compilation.warnings()).isEmpty();
  }

  @Test
  void aMissingDirectoryIsAnError() {
    Compilation compilation =
        PolicyCompiler.compileDirectory(java.nio.file.Path.of("no", "such", "directory"));
    assertThat(compilation).isInstanceOf(Compilation.Refused.class);
  }
}
