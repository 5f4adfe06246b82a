// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.lint;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.Compilation;
import dev.weir.policy.PolicyCompiler;
import dev.weir.policy.source.Diagnostic;
import dev.weir.policy.source.Lint;
import dev.weir.policy.source.SourceFile;
import dev.weir.policy.source.SourceTree;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Objects;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Every lint finds what it is for, and is silent about what is nearly the same and right. */
class LintsTest {

  private static final String SHOP =
      """
      {apiVersion: weir.dev/v1alpha1, kind: Workload, metadata: {name: web, labels: {app: web}},
       spec: {cgroup: /web, serviceAccountName: web, ports: [{name: http, port: 80}]}}
      ---
      {apiVersion: weir.dev/v1alpha1, kind: Workload, metadata: {name: db, labels: {app: db}},
       spec: {cgroup: /db, ports: [{name: sql, port: 5432}]}}
      ---
      {apiVersion: v1, kind: Service, metadata: {name: web},
       spec: {clusterIP: 10.96.0.1, selector: {app: web}, ports: [{port: 80, name: http}]}}
      ---
      {apiVersion: v1, kind: Service, metadata: {name: db},
       spec: {clusterIP: 10.96.0.2, selector: {app: db}, ports: [{port: 5432, name: tcp-sql}]}}
      ---
      {apiVersion: v1, kind: Pod, metadata: {name: exporter, labels: {app: exporter}}, spec: {hostNetwork: true}}
      ---
      """;

  private static String network(String spec) {
    return "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p}, spec: "
        + spec
        + "}";
  }

  private static String access(String spec) {
    return "{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: p},"
        + " spec: "
        + spec
        + "}";
  }

  private static String route(String rules) {
    return "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: r}, spec:"
        + " {parentRefs: [{group: '', kind: Service, name: web}], rules: ["
        + rules
        + "]}}";
  }

  private static String service(String spec) {
    return "{apiVersion: v1, kind: Service, metadata: {name: s}, spec: " + spec + "}";
  }

  private static final String OTHER =
      """

      ---
      {apiVersion: v1, kind: Pod, metadata: {name: p, namespace: other, labels: {app: s}}, spec: {}}
      ---
      {apiVersion: v1, kind: Service, metadata: {name: s, namespace: other},
       spec: {clusterIP: 10.96.0.8, selector: {app: s}, ports: [{port: 80}]}}
      """;

  private static final String GATEWAY =
      """
      {apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: g},
       spec: {gatewayClassName: weir, listeners: [
        {name: tcp, port: 9000, protocol: TCP}, {name: other, port: 9001, protocol: TCP}]}}
      """;

  private static String tcp(String name, String listener) {
    return "\n"
        + "---\n"
        + "{apiVersion: gateway.networking.k8s.io/v1alpha2, kind: TCPRoute, metadata: {name:"
        + " "
        + name
        + "}, spec: {parentRefs: [{name: g, sectionName: "
        + listener
        + "}], rules: [{backendRefs: [{name: web, port: 80}]}]}}";
  }

  private static Arguments lint(String message, String wrong, String right) {
    return Arguments.of(message, wrong, right);
  }

  static Stream<Arguments> lints() {
    String web = "{podSelector: {matchLabels: {app: web}}, ";
    String db = "podSelector: {matchLabels: {app: db}}";
    return Stream.of(
        lint(
            "spec.podSelector: selects nobody in namespace default: the policy has no effect",
            network("{podSelector: {matchLabels: {app: webb}}}"),
            network("{podSelector: {matchLabels: {app: web}}}")),
        lint(
            "spec.ingress[0]: can never match: its peers select nobody",
            network(
                web
                    + "ingress: [{from: [{podSelector: {matchLabels: {a: b}}}], ports: [{port:"
                    + " 80}]}]}"),
            network(web + "ingress: [{from: [{" + db + "}], ports: [{port: 80}]}]}")),
        lint(
            "spec.ingress[0].from[1]: selects nobody",
            network(
                web
                    + "ingress: [{from: [{"
                    + db
                    + "}, {podSelector: {matchLabels: {a: b}}}], ports: [{port: 80}]}]}"),
            network(web + "ingress: [{from: [{" + db + "}], ports: [{port: 80}]}]}")),
        lint(
            "spec.ingress[0].ports[0].port: can never match: no destination has a TCP port named"
                + " \"htpp\"",
            network(web + "ingress: [{from: [{" + db + "}], ports: [{port: htpp}]}]}"),
            network(web + "ingress: [{from: [{" + db + "}], ports: [{port: http}]}]}")),
        lint(
            "spec.egress[0].ports[0].port: can never match: no destination has a UDP port named",
            network(web + "egress: [{to: [{" + db + "}], ports: [{port: sql, protocol: UDP}]}]}"),
            network(web + "egress: [{to: [{" + db + "}], ports: [{port: sql}]}]}")),
        lint(
            "spec.podSelector: is empty: the ingress rules open every pod of namespace default",
            network("{podSelector: {}, ingress: [{from: [{" + db + "}], ports: [{port: 80}]}]}"),
            network("{podSelector: {}, policyTypes: [Ingress, Egress]}")),
        lint(
            "spec.ingress[0]: names no ports: it opens every port of every protocol",
            network(web + "ingress: [{from: [{" + db + "}]}]}"),
            network(web + "ingress: [{from: [{" + db + "}], ports: [{port: 80}]}]}")),
        lint(
            "spec.ingress[0]: names neither peers nor ports: it opens everything to everybody",
            network(web + "ingress: [{}]}"),
            network(web + "ingress: [], egress: [{}]}")),
        lint(
            "spec.ingress[0].from[0]: 0.0.0.0/0 holds every address outside",
            network(
                web + "ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}], ports: [{port: 80}]}]}"),
            network(
                web + "ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}}], ports: [{port: 80}]}]}")),
        lint(
            "spec.egress[0].to[0]: ::/0 holds every address outside but the exceptions",
            network(
                web
                    + "egress: [{to: [{ipBlock: {cidr: '::/0', except: ['fd00::/8']}}], ports:"
                    + " [{port: 80}]}]}"),
            network(web + "egress: [{to: [{ipBlock: {cidr: 'fd00::/8'}}], ports: [{port: 80}]}]}")),
        lint(
            "spec.ingress[0].from[0]: an empty podSelector selects every pod of namespace default",
            network(web + "ingress: [{from: [{podSelector: {}}], ports: [{port: 80}]}]}"),
            network(web + "ingress: [{from: [{" + db + "}], ports: [{port: 80}]}]}")),
        lint(
            "spec.ingress[0].from[0]: selects every pod of every namespace",
            network(web + "ingress: [{from: [{namespaceSelector: {}}], ports: [{port: 80}]}]}"),
            network(
                web
                    + "ingress: [{from: [{namespaceSelector: {}, "
                    + db
                    + "}], ports: [{port: 80}]}]}")),
        lint(
            "spec.ingress[0].from: is an empty list, which means anybody",
            network(web + "ingress: [{from: [], ports: [{port: 80}]}]}"),
            network(web + "ingress: [{ports: [{port: 80}]}]}")),
        lint(
            "spec.podSelector: selects Pod default/exporter in its node's network",
            network("{podSelector: {matchLabels: {app: exporter}}}"),
            network("{podSelector: {matchLabels: {app: db}}}")),
        lint(
            "says the same as NetworkPolicy default/o",
            network("{podSelector: {matchLabels: {app: db}}}")
                + "\n---\n"
                + network("{podSelector: {matchLabels: {app: db}}}").replace("name: p", "name: o"),
            network("{podSelector: {matchLabels: {app: db}}}")
                + "\n---\n"
                + network("{podSelector: {matchLabels: {app: web}}}")
                    .replace("name: p", "name: o")),
        lint(
            "spec.selector: selects nobody: the policy has no effect",
            access(
                "{selector: {matchLabels: {app: webb}}, rules: [{from: [{source: {namespaces:"
                    + " [default]}}]}]}"),
            access(
                "{selector: {matchLabels: {app: web}}, rules: [{from: [{source: {namespaces:"
                    + " [default]}}]}]}")),
        lint(
            "spec.rules: there are none: nothing matches the policy, so it refuses all",
            access("{selector: {matchLabels: {app: web}}}"),
            access("{rules: [{from: [{source: {namespaces: [default]}}]}]}")),
        lint(
            "spec.rules: there are none: the policy never matches and does nothing",
            access("{action: AUDIT}"),
            access("{action: DENY, rules: [{}]}")),
        lint(
            "spec.rules[0]: is empty: it allows everybody everything",
            access("{rules: [{}]}"),
            access("{rules: [{to: [{operation: {ports: ['80']}}]}]}")),
        lint(
            "there is no namespace \"shopp\" among the files",
            access("{rules: [{from: [{source: {namespaces: [shopp]}}]}]}"),
            access("{rules: [{from: [{source: {namespaces: ['shop*', default]}}]}]}")),
        lint(
            "nobody runs as default/webb among the files",
            access(
                "{rules: [{from: [{source: {principals: [cluster.local/ns/default/sa/webb]}}]}]}"),
            access(
                "{rules: [{from: [{source: {principals: [cluster.local/ns/default/sa/web]}}]}]}")),
        lint(
            "spec.rules[0]: can never match: what its values name its not-values take away",
            access("{rules: [{to: [{operation: {ports: ['80'], notPorts: ['80']}}]}]}"),
            access("{rules: [{to: [{operation: {ports: ['80', '81'], notPorts: ['80']}}]}]}")),
        lint(
            "spec.rules[0]: can never match: what its values name its not-values take away",
            access(
                "{rules: [{when: [{key: source.namespace, values: [a-b], notValues: ['a-*']}]}]}"),
            access(
                "{rules: [{when: [{key: source.namespace, values: ['a*'], notValues: [a-b]}]}]}")),
        lint(
            "demands HTTP of port 5432, where Service default/db speaks tcp: it allows nothing",
            access(
                "{selector: {matchLabels: {app: db}}, rules: [{to: [{operation: {ports: ['5432'],"
                    + " methods: [GET]}}]}]}"),
            access(
                "{selector: {matchLabels: {app: web}}, rules: [{to: [{operation: {ports: ['80'],"
                    + " methods: [GET]}}]}]}")),
        lint(
            "says the same as AuthorizationPolicy default/o",
            access("{rules: [{to: [{operation: {ports: ['80']}}]}]}")
                + "\n---\n"
                + access("{rules: [{to: [{operation: {ports: ['80']}}]}]}")
                    .replace("name: p", "name: o"),
            access("{rules: [{to: [{operation: {ports: ['80']}}]}]}")
                + "\n---\n"
                + access("{rules: [{to: [{operation: {ports: ['81']}}]}]}")
                    .replace("name: p", "name: o")),
        lint(
            "spec.rules[0]: allows nothing: AuthorizationPolicy default/o",
            access("{rules: [{to: [{operation: {ports: ['80']}}]}]}")
                + "\n---\n"
                + access("{action: DENY, rules: [{to: [{operation: {ports: ['80']}}]}]}")
                    .replace("name: p", "name: o"),
            access("{rules: [{to: [{operation: {ports: ['80']}}]}]}")
                + "\n---\n"
                + access("{action: DENY, rules: [{to: [{operation: {ports: ['81']}}]}]}")
                    .replace("name: p", "name: o")),
        lint(
            "spec.rules[0].backendRefs: weights sum to zero",
            route("{backendRefs: [{name: web, port: 80, weight: 0}]}"),
            route("{backendRefs: [{name: web, port: 80, weight: 0}, {name: web, port: 80}]}")),
        lint(
            "spec.rules[1].matches[0]: never takes a request: rule 0 of HTTPRoute default/r",
            route(
                "{matches: [{path: {type: PathPrefix, value: /a}}], backendRefs: [{name: web, port:"
                    + " 80}]}, {matches: [{path: {type: PathPrefix, value: /a/}}], backendRefs:"
                    + " [{name: web, port: 80}]}"),
            route(
                "{matches: [{path: {type: PathPrefix, value: /a}}], backendRefs: [{name: web, port:"
                    + " 80}]}, {matches: [{path: {type: PathPrefix, value: /a/b}}], backendRefs:"
                    + " [{name: web, port: 80}]}")),
        lint(
            "spec.rules[0].from[0].source.ipBlocks: 0.0.0.0/0 holds every address",
            access("{rules: [{from: [{source: {ipBlocks: [0.0.0.0/0]}}]}]}"),
            access("{rules: [{from: [{source: {ipBlocks: [10.0.0.0/8]}}]}]}")),
        lint(
            "spec.egress: has no effect: policyTypes does not name Egress",
            network(web + "policyTypes: [Ingress], egress: [{to: [{" + db + "}]}]}"),
            network(web + "policyTypes: [Egress], egress: [{to: [{" + db + "}]}]}")),
        lint(
            "spec.selector: is missing: nobody is behind Service default/s",
            service("{clusterIP: 10.96.0.9, ports: [{port: 80}]}"),
            service("{clusterIP: 10.96.0.9, ports: [{port: 80}]}")
                + """

                ---
                {apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4,
                 metadata: {name: s, labels: {kubernetes.io/service-name: s}},
                 ports: [{name: '', port: 80}], endpoints: [{addresses: [192.0.2.1]}]}
                """),
        lint(
            "spec.ports[0]: nobody is behind Service default/s port 80",
            service("{clusterIP: 10.96.0.9, selector: {app: webb}, ports: [{port: 80}]}"),
            service("{clusterIP: 10.96.0.9, selector: {app: web}, ports: [{port: 80}]}")),
        lint(
            "spec.clusterIP: is missing: Service default/s has no virtual address",
            service("{selector: {app: web}, ports: [{port: 80}]}"),
            service("{clusterIP: None, selector: {app: web}, ports: [{port: 80}]}")),
        lint(
            "spec.rules[0].backendRefs[0]: no ReferenceGrant of namespace other allows Service"
                + " other/s",
            route("{backendRefs: [{name: s, namespace: other, port: 80}]}") + OTHER,
            route("{backendRefs: [{name: s, namespace: other, port: 80}]}")
                + OTHER
                + """

                ---
                {apiVersion: gateway.networking.k8s.io/v1beta1, kind: ReferenceGrant,
                 metadata: {name: g, namespace: other},
                 spec: {from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: default}],
                  to: [{group: '', kind: Service}]}}
                """),
        lint(
            "spec.rules[0].backendRefs[0]: there is no Service default/webb",
            route("{backendRefs: [{name: webb, port: 80}]}"),
            route("{backendRefs: [{name: web, port: 80}]}")),
        lint(
            "spec.parentRefs[0]: there is no Service default/webb: the route does not attach",
            route("{backendRefs: [{name: web, port: 80}]}").replace("name: web}]", "name: webb}]"),
            route("{backendRefs: [{name: web, port: 80}]}")),
        lint(
            "spec.parentRefs: never takes a connection: TCPRoute default/first",
            GATEWAY + tcp("first", "tcp") + tcp("second", "tcp"),
            GATEWAY + tcp("first", "tcp") + tcp("second", "other")));
  }

  private static List<Diagnostic> findings(String yaml) {
    Compilation compilation = PolicyCompiler.check(SourceTree.of("f", SHOP + yaml));
    assertThat(compilation).isInstanceOf(Compilation.Compiled.class);
    return compilation.warnings();
  }

  private static List<String> warnings(String yaml) {
    return findings(yaml).stream().map(Diagnostic::toString).toList();
  }

  /** What is said with these words. */
  private static Diagnostic finding(String message, String yaml) {
    return findings(yaml).stream()
        .filter(w -> w.toString().contains(message))
        .findFirst()
        .orElseThrow();
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("lints")
  void isFoundWithItsPlace(String message, String wrong, String right) {
    assertThat(warnings(wrong)).anySatisfy(w -> assertThat(w).startsWith("f:").contains(message));
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("lints")
  void isNotSaidOfWhatIsRight(String message, String wrong, String right) {
    assertThat(warnings(right)).noneSatisfy(w -> assertThat(w).contains(message));
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("lints")
  void hasALabelAndARemedy(String message, String wrong, String right) {
    Diagnostic finding = finding(message, wrong);
    assertThat(finding.remedy()).isNotEmpty();
    assertThat(finding.at().line()).isGreaterThan((int) SHOP.lines().count());
    assertThat(finding.lint()).isPresent();
    assertThat(finding.toString()).endsWith(") [" + finding.lint().get().label() + "]");
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("lints")
  void isNotSaidOfAnObjectWhoseAnnotationNamesIt(String message, String wrong, String right) {
    Diagnostic finding = finding(message, wrong);
    String label = finding.lint().orElseThrow().label();
    assertThat(warnings(annotated(wrong, label)))
        .noneSatisfy(w -> assertThat(w).endsWith("[" + label + "]"));
    assertThat(warnings(annotated(wrong, "another-lint")))
        .anySatisfy(w -> assertThat(w).endsWith("[" + label + "]"));
  }

  private static String annotated(String yaml, String labels) {
    return yaml.replaceAll(
        "metadata: \\{", "metadata: {annotations: {weir.dev/lint-ignore: '" + labels + "'}, ");
  }

  @Test
  void everyKindOfLintIsTried() {
    assertThat(
            lints()
                .map(Arguments::get)
                .map(a -> finding((String) a[0], (String) a[1]).lint().orElseThrow()))
        // Of the machine and not of the files alone: SocketActivationTest.
        .containsAll(EnumSet.complementOf(EnumSet.of(Lint.UNNAMED_SOCKET)));
  }

  @Test
  void anAnnotationSilencesALint() {
    String wide = network("{podSelector: {matchLabels: {app: web}}, ingress: [{}]}");
    assertThat(warnings(wide)).hasSize(1);
    assertThat(
            warnings(
                wide.replace(
                    "name: p", "name: p, annotations: {weir.dev/lint-ignore: 'duplicate, wide'}")))
        .isEmpty();
  }

  @Test
  void filesThatDeclareNobodyAreNotJudgedBySelectors() {
    Compilation compilation =
        PolicyCompiler.check(
            SourceTree.of("f", network("{podSelector: {matchLabels: {app: webb}}}")));
    assertThat(compilation.warnings()).isEmpty();
  }

  @Test
  void aQuestionIsNotAskedForLints() {
    assertThat(
            PolicyCompiler.analyse(
                    SourceTree.of(
                        "f", SHOP + network("{podSelector: {}, ingress: [{from: [], ports: []}]}")))
                .compilation()
                .warnings())
        .noneSatisfy(w -> assertThat(w.message()).contains("opens"));
  }

  @Test
  void nothingIsFoundInTheExample() throws Exception {
    SourceTree example = SourceTree.read(Path.of("..", "examples", "edge-node", "policy"));
    List<SourceFile> files = new ArrayList<>(example.files());
    files.add(
        new SourceFile(
            "secret.yaml",
            """
            apiVersion: v1
            kind: Secret
            metadata: {name: shop-tls, namespace: shop}
            type: kubernetes.io/tls
            stringData:
              tls.crt: "-----BEGIN CERTIFICATE-----"
              tls.key: "-----BEGIN PRIVATE KEY-----"
            """
                .getBytes(StandardCharsets.UTF_8)));
    Compilation compilation = PolicyCompiler.check(new SourceTree(files, List.of()));
    assertThat(compilation).isInstanceOf(Compilation.Compiled.class);
    assertThat(compilation.warnings()).map(Objects::toString).isEmpty();
  }
}
