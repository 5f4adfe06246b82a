// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import static java.util.Map.entry;
import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.model.AuthorizationPolicy.Action;
import dev.weir.policy.model.PeerAuthentication.Mode;
import dev.weir.policy.source.Diagnostic;
import dev.weir.policy.source.Diagnostics;
import dev.weir.policy.source.Purpose;
import dev.weir.policy.source.SourceTree;
import java.util.Collections;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class AuthorizationPolicyReaderTest {

  private static final String POLICY =
      """
      apiVersion: security.istio.io/v1
      kind: AuthorizationPolicy
      metadata: {name: p, namespace: shop}
      """;
  private static final String PEERS =
      """
      apiVersion: security.istio.io/v1
      kind: PeerAuthentication
      metadata: {name: p, namespace: shop}
      """;

  private record Result(List<Resource> resources, Diagnostics diagnostics) {
    List<String> errors() {
      return diagnostics.errors().stream().map(Diagnostic::toString).toList();
    }

    List<String> warnings() {
      return diagnostics.warnings().stream().map(Diagnostic::toString).toList();
    }

    AuthorizationPolicy policy() {
      assertThat(errors()).isEmpty();
      return (AuthorizationPolicy) resources.getFirst();
    }
  }

  private static Result read(String text, Purpose purpose) {
    Diagnostics diagnostics = new Diagnostics(purpose);
    return new Result(ResourceReader.read(SourceTree.of("f", text), diagnostics), diagnostics);
  }

  private static Result rule(String rule) {
    return read(POLICY + "spec: {rules: [" + rule + "]}\n", Purpose.CHECK);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "{from: []}|spec.rules[0].from: is an empty list",
        "{from: [{}]}|spec.rules[0].from[0].source: is missing",
        "{from: [{source: {ipBlocks: [10.0.0.0/33]}}]}|ipBlocks[0]: \"10.0.0.0/33\" is no address",
        "{from: [{source: {notRemoteIpBlocks: [x]}}]}|notRemoteIpBlocks[0]: \"x\" is no address",
        "{from: [{source: {serviceAccounts: [a/b/c]}}]}|serviceAccounts[0]: \"a/b/c\" is no",
        "{from: [{source: {serviceAccounts: ['a/*']}}]}|\"a/*\" has a wildcard",
        "{to: [{operation: {ports: ['65536']}}]}|ports[0]: \"65536\" is no port",
        "{to: [{operation: {ports: [80]}}]}|must be a string (write it in quotes)",
        "{to: [{operation: {paths: ['/a/{x}']}}]}|paths[0]: \"/a/{x}\" has braces",
        "{to: [{operation: {paths: ['/{**}/{*}']}}]}|has an operator after {**}",
        "{to: [{operation: {paths: ['/{*}/a*']}}]}|has the segment \"a*\"",
        "{when: [{values: [a]}]}|spec.rules[0].when[0].key: is missing",
        "{when: [{key: '', values: [a]}]}|spec.rules[0].when[0].key: is empty",
        "{when: [{key: 'request.headers[a]'}]}|values: is missing or empty",
        "{when: [{key: 'request.headers[a]', values: ['']}]}|values[0]: is an empty string",
        "{when: [{key: request.headers, values: [a]}]}|must have a name in brackets",
        "{when: [{key: 'request.auth.claims[', values: [a]}]}|must have a name in brackets",
        "{when: [{key: experimental.envoy.filters.a, values: [a]}]}|must have a name in brackets",
        "{when: [{key: destination.port, values: ['65536']}]}|\"65536\" is no port",
        "{when: [{key: remote.ip, notValues: ['1.2.3']}]}|\"1.2.3\" is no address",
        "{from: [{source: {ipBlocks: ['10.0.0.0/08']}}]}|ipBlocks[0]: \"10.0.0.0/08\" is no"
            + " address",
        "{from: [{source: {ipBlocks: ['010.0.0.1']}}]}|ipBlocks[0]: \"010.0.0.1\" is no address",
        "{from: [{source: {ipBlocks: ['*']}}]}|ipBlocks[0]: \"*\" is no address",
        "{from: [{source: {serviceAccounts: [a], notPrincipals: [b]}}]}|beside principals",
        "{from: [{source: {notServiceAccounts: [a], namespaces: [b]}}]}|beside principals",
        "{from: [{source: {serviceAccounts: [/a]}}]}|serviceAccounts[0]: \"/a\" is no",
        "{from: [{source: {serviceAccounts: [a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a]}}]}"
            + "|serviceAccounts: has 17 entries, more than 16",
        "{to: [{}]}|spec.rules[0].to[0].operation: is missing",
        "{to: [{operation: {methods: []}}]}|operation: is empty",
        "{to: [{operation: {hosts: ['']}}]}|hosts[0]: is an empty string",
        "{to: [{operation: {notPorts: ['-1']}}]}|notPorts[0]: \"-1\" is no port",
        "{to: [{operation: {ports: ['*']}}]}|ports[0]: \"*\" is no port",
        "{to: [{operation: {paths: ['/a/x{*}']}}]}|paths[0]: \"/a/x{*}\" has braces",
        "{to: [{operation: {paths: ['/a/{***}']}}]}|paths[0]: \"/a/{***}\" has braces",
        "{to: [{operation: {notPaths: ['/{**}/{**}']}}]}|has an operator after {**}",
        "{to: [{operation: {paths: ['/a//{*}']}}]}|has the segment \"\"",
        "{when: [{key: source.ip, values: [a]}]}|values[0]: \"a\" is no address",
        "{when: [{key: destination.port, notValues: [http]}]}|notValues[0]: \"http\" is no port",
        "{when: [{key: 'request.headers[]', values: [a]}]}|must have a name in brackets",
        "{when: [{key: request.headersx, values: [a]}]}|must have a name in brackets",
        "{when: [{key: destination.namespace, values: [a]}]}|a policy is about its own namespace",
        "{when: [{key: 'destination.labels[a]', values: [a]}]}|say it with the policy's selector",
        "null|spec.rules[0]: is null",
      })
  void refusesWhatIstioRefuses(String rule, String message) {
    Result result = rule(rule);

    assertThat(result.errors()).anySatisfy(e -> assertThat(e).contains(message));
    assertThat(result.errors()).allSatisfy(e -> assertThat(e).startsWith("f:4:"));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "{}",
        "{from: [{source: {ipBlocks: [10.1.2.3, '10.0.0.0/8', 'fd00::/8', '::1']}}]}",
        "{from: [{source: {trustDomains: [td], notNamespaces: ['dev-*']}}]}",
        "{from: [{source: {serviceAccounts: [web, shop/web]}}]}",
        "{to: [{operation: {paths: ['/{*}/a/{**}', '/x*', '*.js', '/a/{**}/b', '*']}}]}",
        "{to: [{operation: {ports: ['0', '65535']}}]}",
        "{when: [{key: 'request.auth.claims[a][b]', values: [x]}]}",
        "{when: [{key: 'request.headers[:authority]', notValues: [x]}]}",
        "{when: [{key: source.ip, values: [10.1.2.3/8], notValues: ['::1']}]}",
        "{to: [{operation: {methods: [foo, 'GET*'], hosts: ['*.example', 'a:*']}}]}",
        "{to: [{operation: {paths: ['/foo/*/bar', '/{*}/']}}]}",
        "{from: [{source: {serviceAccounts: [a], ipBlocks: [10.0.0.0/8]}}]}",
      })
  void takesWhatIstioTakes(String rule) {
    Result result = rule(rule);

    assertThat(result.errors()).isEmpty();
    assertThat(result.warnings()).isEmpty();
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "{action: DENY, rules: []}|spec.rules: is missing or empty",
        "{action: deny, rules: [{}]}|spec.action: is \"deny\"",
        "{action: CUSTOM, rules: [{}]}|spec.provider: has no name",
        "{action: CUSTOM, provider: {name: ''}, rules: [{}]}|spec.provider: has no name",
        "{action: CUSTOM, provider: {name: x}}|spec.rules: is missing or empty",
        "{action: CUSTOM, provider: {name: x}, rules: [{from: [{source: {notNamespaces: [a]}}]}]}"
            + "|CUSTOM cannot",
        "{action: CUSTOM, provider: {name: x}, rules: [{when: [{key: source.principal, values:"
            + " [a]}]}]}|source.principal cannot be asked by action CUSTOM",
        "{action: DENY, provider: {name: x}, rules: [{}]}|means nothing with action DENY",
        "{selector: {matchLabels: {'': a}}}|matchLabels: has an empty key",
        "{selector: {matchLabels: {'a*': b}}}|has a wildcard",
        "{selector: {matchLabels: {a: '*'}}}|has a wildcard",
        "{selector: {matchExpressions: [{key: a, operator: Exists}]}}|is no field of this selector",
        "{targetRef: {kind: Gateway, name: g}}|kind: Gateway cannot be a target",
        "{targetRef: {kind: '', name: g}}|kind:  cannot be a target",
        "{targetRef: {kind: Service, name: ''}}|name: is empty",
        "{targetRef: {kind: Service}}|name: is missing",
        "{targetRefs: [{kind: Service, name: a, namespace: b}]}|only about its own namespace",
        "{targetRef: {kind: Service, name: a}, selector: {}}|only one of selector, targetRef",
        "{targetRefs: [{kind: Service, name: a}], targetRef: {kind: Service, name: a}}|only one of",
      })
  void refusesPoliciesThatIstioRefuses(String spec, String message) {
    assertThat(read(POLICY + "spec: " + spec + "\n", Purpose.CHECK).errors())
        .anySatisfy(e -> assertThat(e).contains(message));
  }

  @Test
  void refusesMoreRulesThanTheSchemaAllows() {
    String rules = String.join(",", Collections.nCopies(513, "{}"));

    assertThat(rule(rules).errors()).singleElement().asString().contains("more than 512");
  }

  @Test
  void warnsOfAnUnknownField() {
    assertThat(rule("{to: [{operation: {paths: [/], verbs: [GET]}}]}").warnings())
        .containsExactly(
            "f:4:47: spec.rules[0].to[0].operation.verbs: is not a field of this kind");
  }

  @Test
  void refusesADenyPolicyThatNeverMatches() {
    assertThat(read(POLICY + "spec: {action: DENY}\n", Purpose.CHECK).errors())
        .singleElement()
        .asString()
        .contains("spec.rules: is missing or empty");
  }

  @Test
  void aPolicyWithoutSpecAllowsNothing() {
    AuthorizationPolicy policy = read(POLICY, Purpose.CHECK).policy();

    assertThat(policy.action()).isEqualTo(Action.ALLOW);
    assertThat(policy.rules()).isEmpty();
  }

  @Test
  void customIsOnlyForQuestionsAndThereRefusesWhatMatches() {
    String custom = POLICY + "spec: {action: CUSTOM, provider: {name: x}, rules: [{}]}\n";

    assertThat(read(custom, Purpose.CHECK).policy().action()).isEqualTo(Action.DENY);
    assertThat(read(custom, Purpose.ENFORCE).errors()).hasSize(1);
  }

  @Test
  void aProviderNeedsActionCustom() {
    assertThat(read(POLICY + "spec: {provider: {name: x}}\n", Purpose.CHECK).errors())
        .singleElement()
        .asString()
        .contains("spec.provider: means nothing with action ALLOW");
  }

  @ParameterizedTest
  @CsvSource({"istio.io/dry-run,true", "weir.dev/audit,true", "istio.io/dry-run,1"})
  void annotationsPutAPolicyInAudit(String annotation, String value) {
    String text =
        POLICY.replace(
            "namespace: shop",
            "namespace: shop, annotations: {" + annotation + ": '" + value + "'}");

    assertThat(read(text, Purpose.CHECK).policy().audit()).isTrue();
  }

  @Test
  void anAnnotationThatIsNoTruthValueIsRefused() {
    String text =
        POLICY.replace("namespace: shop", "namespace: shop, annotations: {weir.dev/audit: maybe}");

    assertThat(read(text, Purpose.CHECK).errors())
        .singleElement()
        .asString()
        .contains("weir.dev/audit: is \"maybe\"");
  }

  @Test
  void targetRefsAreReadAsReferences() {
    AuthorizationPolicy policy =
        read(POLICY + "spec: {targetRefs: [{kind: Service, name: web}]}\n", Purpose.CHECK).policy();

    assertThat(policy.targets())
        .singleElement()
        .satisfies(t -> assertThat(t.kind() + " " + t.name()).isEqualTo("Service web"));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "{portLevelMtls: {'80': {mode: STRICT}}}|portLevelMtls: needs a selector",
        "{selector: {matchLabels: {a: b}}, portLevelMtls: {}}|portLevelMtls: is empty",
        "{selector: {matchLabels: {a: b}}, portLevelMtls: {'0': {mode: STRICT}}}|is no port",
        "{mtls: {mode: ON}}|spec.mtls.mode: is \"ON\"",
      })
  void refusesWhatIstioRefusesOfPeerAuthentication(String spec, String message) {
    assertThat(read(PEERS + "spec: " + spec + "\n", Purpose.CHECK).errors())
        .anySatisfy(e -> assertThat(e).contains(message));
  }

  @Test
  void readsPeerAuthentication() {
    Result result =
        read(
            PEERS
                + "spec: {selector: {matchLabels: {a: b}}, mtls: {mode: STRICT}, portLevelMtls:"
                + " {80: {mode: DISABLE}}}\n",
            Purpose.ENFORCE);

    assertThat(result.errors()).isEmpty();
    PeerAuthentication peers = (PeerAuthentication) result.resources().getFirst();
    assertThat(peers.mode()).isEqualTo(Mode.STRICT);
    assertThat(peers.ports()).containsOnly(entry(80, Mode.DISABLE));
  }

  @Test
  void tokensAreNotVerifiedYet() {
    String text =
        "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {name: p}\n";

    assertThat(read(text, Purpose.ENFORCE).errors()).hasSize(1);
    assertThat(read(text, Purpose.CHECK).errors()).isEmpty();
    assertThat(read(text, Purpose.CHECK).warnings()).hasSize(1);
  }
}
