// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.model.EndpointSlice.Endpoint;
import dev.weir.policy.source.Diagnostic;
import dev.weir.policy.source.Diagnostics;
import dev.weir.policy.source.SourceTree;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class EndpointSliceTest {

  private static final String HEAD =
      """
      apiVersion: discovery.k8s.io/v1
      kind: EndpointSlice
      metadata: {name: s-1, namespace: shop, labels: {kubernetes.io/service-name: s}}
      """;

  private final Diagnostics diagnostics = new Diagnostics();

  private List<Resource> read(String yaml) {
    return ResourceReader.read(SourceTree.of("f", yaml), diagnostics);
  }

  private EndpointSlice slice(String yaml) {
    List<Resource> resources = read(yaml);
    assertThat(diagnostics.errors()).isEmpty();
    return (EndpointSlice) resources.getFirst();
  }

  private Endpoint endpoint(String yaml) {
    return slice(HEAD + "addressType: IPv4\nendpoints: [" + yaml + "]\n")
        .subsets()
        .getFirst()
        .endpoints()
        .getFirst();
  }

  @Test
  void itsServiceIsTheLabels() {
    EndpointSlice slice =
        slice(HEAD + "addressType: IPv6\nports: [{name: web, port: 8080}]\nendpoints: []\n");
    assertThat(slice.service()).isEqualTo("s");
    assertThat(slice.subsets().getFirst().ports()).singleElement().hasNoNullFieldsOrProperties();
    assertThat(diagnostics.warnings()).isEmpty();
  }

  @ParameterizedTest(name = "{0}: ready {1}, serving {2}, terminating {3}")
  @CsvSource(
      delimiter = '|',
      value = {
        "{}                                               | true  | true  | false",
        "{ready: true}                                    | true  | true  | false",
        "{ready: false}                                   | false | false | false",
        "{ready: false, serving: true, terminating: true} | false | true  | true",
        "{ready: null}                                    | true  | true  | false"
      })
  void whatIsNotSaidOfAConditionHasTheDefaultOfTheApi(
      String conditions, boolean ready, boolean serving, boolean terminating) {
    Endpoint endpoint = endpoint("{addresses: [10.0.0.1], conditions: " + conditions + "}");
    assertThat(endpoint.ready()).isEqualTo(ready);
    assertThat(endpoint.serving()).isEqualTo(serving);
    assertThat(endpoint.terminating()).isEqualTo(terminating);
  }

  @Test
  void itsPodIsKnownByTheReference() {
    assertThat(endpoint("{addresses: [10.0.0.1], targetRef: {kind: Pod, name: p}}").pod())
        .contains("shop/p");
    assertThat(endpoint("{addresses: [10.0.0.1], targetRef: {kind: Node, name: p}}").pod())
        .isEmpty();
  }

  @Test
  void aSliceOfKubernetesOwnMakingIsMarked() {
    String derived =
        HEAD.replace(
            "name: s}",
            "name: s, endpointslice.kubernetes.io/managed-by: endpointslice-controller.k8s.io}");
    assertThat(slice(derived + "addressType: IPv4\n").derived()).isTrue();
    assertThat(slice(HEAD + "addressType: IPv4\n").derived()).isFalse();
  }

  @Test
  void withoutTheLabelItBelongsToNobody() {
    assertThat(
            read(
                "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: s},"
                    + " addressType: IPv4}"))
        .isEmpty();
    assertThat(diagnostics.warnings())
        .singleElement()
        .asString()
        .contains("has no label kubernetes.io/service-name");
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "endpoints: []                                             | addressType: is missing",
        "addressType: IPv5                                         | addressType: is \"IPv5\" (one",
        "{addressType: IPv4, endpoints: [{addresses: []}]}         | addresses: is missing or",
        "{addressType: IPv4, endpoints: [{addresses: ['fd00::1']}]} | is no address of this type",
        "{addressType: IPv6, endpoints: [{addresses: [10.0.0.1]}]} | is no address of this type",
        "{addressType: IPv4, endpoints: [{addresses: [127.0.0.1]}]} | cannot be an endpoint",
        "{addressType: IPv4, ports: [{port: 0}]}                   | ports[0].port: is 0, but must",
        "{addressType: IPv4, ports: [{name: A_}]}                  | is not the name of a port",
        "{addressType: IPv4, ports: [{name: a}, {name: a}]}        | ports[1]: occurs twice"
      })
  void whatCannotBeMeantIsAnError(String rest, String message) {
    String body = rest.startsWith("{") ? rest.substring(1, rest.length() - 1) : rest;
    read(
        "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: s}, "
            + body
            + "}");
    assertThat(diagnostics.errors())
        .extracting(Diagnostic::toString)
        .anySatisfy(e -> assertThat(e).contains(message));
  }

  @Test
  void namesAreNotResolved() {
    assertThat(
            slice(HEAD + "addressType: FQDN\nendpoints: [{addresses: [a.example]}]\n")
                .subsets()
                .getFirst()
                .endpoints())
        .isEmpty();
    assertThat(diagnostics.warnings()).singleElement().asString().contains("not resolved");
  }

  @Test
  void endpointsAreReadAsSubsetsOfOneSlice() {
    EndpointSlice slice =
        slice(
            """
            apiVersion: v1
            kind: Endpoints
            metadata: {name: s, namespace: shop}
            subsets:
              - addresses: [{ip: 10.0.0.1, targetRef: {kind: Pod, name: p, namespace: shop}}]
                notReadyAddresses: [{ip: "fd00::2", nodeName: n}]
                ports: [{name: web, port: 8080, protocol: TCP}]
            """);
    assertThat(slice.id()).isEqualTo("Endpoints shop/s");
    assertThat(slice.service()).isEqualTo("s");
    assertThat(slice.subsets().getFirst().endpoints())
        .extracting(Endpoint::ready)
        .containsExactly(true, false);
    assertThat(diagnostics.warnings()).isEmpty();
  }

  @Test
  void endpointsThatHoldALockAreNone() {
    assertThat(
            read(
                """
                apiVersion: v1
                kind: Endpoints
                metadata: {name: l, annotations: {control-plane.alpha.kubernetes.io/leader: "{}"}}
                """))
        .isEmpty();
  }

  @Test
  void aConfigMapIsReadOnlyForItsAuthorities() {
    assertThat(
            read(
                """
                {apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {ca.crt: PEM, b: c}}
                ---
                {apiVersion: v1, kind: ConfigMap, metadata: {name: b}, data: {x: y}, odd: 1}
                """))
        .singleElement()
        .matches(r -> ((ConfigMap) r).certificatesPem().equals("PEM"));
    assertThat(diagnostics.warnings()).isEmpty();
  }
}
