// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.schema.Schema;
import dev.weir.policy.schema.Schemas;
import dev.weir.policy.source.Diagnostic;
import dev.weir.policy.source.Diagnostics;
import dev.weir.policy.source.DocumentReader;
import dev.weir.policy.source.Node;
import dev.weir.policy.source.Node.Entry;
import dev.weir.policy.source.Node.Mapping;
import dev.weir.policy.source.Node.Scalar;
import dev.weir.policy.source.Node.Sequence;
import dev.weir.policy.source.Position;
import dev.weir.policy.source.SourceFile;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Consumer;
import java.util.function.Function;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * What a schema refuses, its reader refuses, on both sides of every bound that the schema has:
 * {@code check} asks both, {@code apply} only the reader. And what the schema takes, the reader
 * takes, or an editor would call good what is refused; but for what a schema does not say.
 */
class SchemaBoundariesTest {

  private static final Position NOWHERE = new Position("", 0, 0);

  /** Good documents that have every field somewhere. */
  private static final Map<String, List<String>> DOCUMENTS =
      Map.of(
          "Workload",
          List.of(
              """
              {cgroup: /a/b, address: 10.0.0.1, serviceAccountName: a, handsOutSockets: true,
               ports: [{name: http, port: 80, protocol: TCP}]}
              """,
              "{systemdUnit: a.service, slice: b.slice, systemdSockets: [a.socket, b.socket],"
                  + " socketSlice: c.slice}",
              "{addresses: [10.0.0.1, 'fd00::1']}"),
          "Mesh",
          List.of(
              """
              {defaultDeny: true, audit: false, refuseWith: EPERM, icmp: Allow,
               governedCgroups: [/a],
               host: {governed: false, management: [{direction: Ingress, protocol: TCP, port: 22}]},
               budget: {mapEntries: 1, mapBytes: 1, proxyBytes: 1},
               proxy: {outboundPort: 15001, cgroup: /p}, metricsPort: 15020, healthPort: 15021,
               trustDomain: a.b, rootNamespace: a, trustPodAddresses: true,
               trustedProxies: [10.0.0.0/8, 'fd00::/8'],
               hbone: {port: 15008, serviceAccount: a/b, discover: Ambient,
                       caCertificateRefs: [
                         {group: "", kind: ConfigMap, namespace: a, name: b}],
                       peers: [{name: w, address: 192.0.2.7, port: 15008, serviceAccount: a/b,
                                workloads: [10.42.0.0/24, 10.43.0.1/32]}]},
               accessLog: {oneIn: 1, errors: true, perSecond: 1, query: false},
               tracing: {begin: true, sampledPercent: 1}}
              """),
          "PolicyTest",
          List.of(
              """
              {cases: [
                {name: a, from: b, to: c, port: 80, protocol: TCP, expect: allow},
                {name: b, from: b, to: c, port: 80,
                 request: {method: GET, host: a, path: /, headers: {a: b}},
                 expect: {verdict: allow, route: a/b, status: 200, shares: {a/b: 100%}}}]}
              """),
          "TrafficPolicy",
          List.of(
              """
              {targetRefs: [{group: '', kind: Service, name: a, sectionName: b}],
               rateLimit: {connections: {perSecond: 1, burst: 1, scope: Total},
                 packets: {perSecond: 1, burst: 1, scope: Total},
                 requests: [{requests: 1, unit: Second, burst: 1, by: {type: Header, header: a}}]},
               outlierEjection: {consecutiveErrors: 1, interval: 1s, baseEjectionTime: 1s,
                 maxEjectedPercent: 1},
               circuitLimits: {maxConnections: 1, maxPendingRequests: 1, maxRequests: 1,
                 maxRetries: 1},
               healthCheck: {type: HTTP, port: 1, path: /, host: a, interval: 1s, timeout: 1s,
                 healthyThreshold: 1, unhealthyThreshold: 1,
                 expectedStatus: {first: 200, last: 299}},
               locality: {prefer: [Node]}, slowStart: {window: 1s}, proxyUnavailable: Bypass}
              """,
              """
              {targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: a}],
               canaryRollback: {backend: {name: a, namespace: b}, errorMarginPercent: 1,
                 p99MarginPercent: 1, window: 1s, minimumRequests: 1},
               stickySplit: {type: Cookie, name: a, cookieLifetime: 1s}}
              """));

  /** Where a reader refuses more than a schema, and what a schema does not say. */
  private static final Map<String, String> STRICTER =
      Map.ofEntries(
          Map.entry("spec.address", "how addresses are written"),
          Map.entry("spec.addresses[]", "how addresses are written"),
          Map.entry("spec.hbone.peers", "that no two peers have the same name"),
          Map.entry("spec.hbone.peers[].address", "how addresses are written"),
          Map.entry("spec.cgroup", "bytes of UTF-8; a workload elsewhere hands out no sockets"),
          Map.entry("spec.governedCgroups[]", "bytes of UTF-8"),
          Map.entry("spec.proxy.cgroup", "bytes of UTF-8"),
          Map.entry("spec.systemdSockets", "socketSlice goes with them"),
          Map.entry("spec.ports", "each name and number once"),
          Map.entry("spec.targetRefs[].group", "the group goes with the kind"),
          Map.entry("spec.targetRefs[].kind", "the group goes with the kind"),
          Map.entry("spec.rateLimit.requests[].by.type", "header goes with type Header"),
          Map.entry("spec.rateLimit.requests[].by.header", "type Header needs one"),
          Map.entry("spec.outlierEjection.interval", "more than 0, at most a day"),
          Map.entry("spec.outlierEjection.baseEjectionTime", "more than 0, at most a day"),
          Map.entry("spec.healthCheck.interval", "at least timeout, at most a day"),
          Map.entry("spec.healthCheck.timeout", "more than 0, at most interval"),
          Map.entry("spec.healthCheck.type", "path and host go with type HTTP"),
          Map.entry("spec.healthCheck.expectedStatus.first", "at most last"),
          Map.entry("spec.healthCheck.expectedStatus.last", "at least first"),
          Map.entry("spec.canaryRollback.window", "a second to a day"),
          Map.entry("spec.slowStart.window", "more than 0, at most a day"),
          Map.entry("spec.stickySplit.type", "name and cookieLifetime go with it"),
          Map.entry("spec.stickySplit.name", "cookies and headers need one"),
          Map.entry("spec.stickySplit.cookieLifetime", "a second to 400 days"),
          Map.entry("spec.cases[].request", "what is expected of a request needs one"));

  /** What texts are tried wherever a text is: both sides of every form and length. */
  private static final List<String> TEXTS = texts();

  private static List<String> texts() {
    List<String> texts =
        new ArrayList<>(
            List.of(
                "",
                "a",
                "A",
                "é",
                "a b",
                "a\tb",
                "-a",
                "a-",
                "a--b",
                "8",
                "8a",
                "a_b",
                "a.b",
                "a..b",
                ".a",
                "*",
                "a/b",
                "/",
                "/a",
                "/a/",
                "/a//b",
                "/a b",
                "/a\tb",
                "/.",
                "/a/..",
                "/a.b",
                "a.service",
                "a@.service",
                "a@b.scope",
                "a.slice",
                "a@b.slice",
                "@a.service",
                "a.mount",
                "a.socket",
                "a@b.socket",
                "a@.socket",
                "a b.socket",
                ".socket",
                "a b.slice",
                ".slice",
                "\\x2d.slice",
                "1s",
                "0s",
                "10ms",
                "1h2m3s4ms",
                "1h2m3s4ms5s",
                "99999h",
                "100000s",
                "1.5s",
                "1d",
                "-1s",
                "s",
                "0%",
                "100%",
                "101%",
                "1000%",
                "99.999%",
                "0.1234%",
                "100",
                ".5%",
                "10.0.0.1",
                "::1",
                "fd00::1",
                "300.0.0.1",
                "allow",
                "Allow",
                "GET",
                "Node",
                "\u0000",
                "/\u007f",
                "x-header",
                "x header"));
    for (int length : List.of(15, 16, 63, 64, 253, 254, 255, 256, 257, 1024, 1025)) {
      texts.add("a".repeat(length));
      texts.add("/" + "a".repeat(length - 1));
      texts.add("/" + "é".repeat(length - 1));
    }
    return List.copyOf(texts);
  }

  /** A changed document. */
  private record Variant(String path, String change, Mapping document) {}

  private static Mapping parse(String text) {
    Diagnostics diagnostics = new Diagnostics();
    List<Node> nodes =
        DocumentReader.read(
            new SourceFile("f", text.getBytes(StandardCharsets.UTF_8)), diagnostics);
    assertThat(diagnostics.errors()).isEmpty();
    return (Mapping) nodes.getFirst();
  }

  private static Mapping schema(String kind) {
    return parse(Schemas.text(kind).orElseThrow());
  }

  private static Mapping document(String kind, String spec) {
    return parse(
        "{apiVersion: weir.dev/v1alpha1, kind: "
            + kind
            + ", metadata: {name: a}, spec: "
            + spec
            + "}");
  }

  private static Scalar text(String text) {
    return new Scalar(NOWHERE, text, Scalar.Type.STRING);
  }

  private static Scalar number(long number) {
    return new Scalar(NOWHERE, String.valueOf(number), Scalar.Type.INTEGER);
  }

  private static List<String> readerSays(String kind, Mapping document) {
    Diagnostics diagnostics = new Diagnostics();
    Fields fields = new Fields(document, "", diagnostics);
    Meta meta = new Meta("default", "a", Map.of(), Map.of(), "", NOWHERE);
    switch (kind) {
      case "Workload" -> NodeReader.workload(meta, fields);
      case "Mesh" -> NodeReader.mesh(meta, fields);
      case "TrafficPolicy" -> TrafficPolicyReader.read(meta, fields);
      default -> PolicyTestReader.read(meta, fields);
    }
    return diagnostics.errors().stream().map(Diagnostic::toString).toList();
  }

  private static List<String> schemaSays(Schema schema, Mapping document) {
    Diagnostics diagnostics = new Diagnostics();
    schema.check(document, diagnostics);
    return diagnostics.errors().stream().map(Diagnostic::toString).toList();
  }

  /** Every change of one field, in place of which {@code whole} makes a document. */
  private static void vary(
      Mapping schema,
      Node value,
      String path,
      Function<Optional<Node>, Mapping> whole,
      Set<String> met,
      Consumer<Variant> each) {
    met.add(path);
    Consumer<Node> with =
        n -> each.accept(new Variant(path, describe(n), whole.apply(Optional.of(n))));
    each.accept(new Variant(path, "left out", whole.apply(Optional.empty())));
    with.accept(number(1));
    with.accept(new Scalar(NOWHERE, "true", Scalar.Type.BOOLEAN));
    with.accept(new Mapping(NOWHERE, List.of()));
    with.accept(new Sequence(NOWHERE, List.of()));
    if (value instanceof Scalar) {
      TEXTS.forEach(t -> with.accept(text(t)));
    }
    for (String bound : List.of("minimum", "maximum")) {
      schema
          .get(bound)
          .map(n -> Long.parseLong(((Scalar) n).text()))
          .ifPresent(n -> List.of(n - 1, n, n + 1).forEach(i -> with.accept(number(i))));
    }
    schema.get("enum").ifPresent(words -> ((Sequence) words).items().forEach(with));
    schema
        .get("oneOf")
        .ifPresent(
            choices -> {
              for (Node choice : ((Sequence) choices).items()) {
                boolean object = ((Mapping) choice).get("properties").isPresent();
                if (object == value instanceof Mapping) {
                  vary((Mapping) choice, value, path, whole, met, each);
                }
              }
            });
    if (schema.get("oneOf").isPresent()) {
      return;
    }
    switch (value) {
      case Mapping mapping -> fields(schema, mapping, path, whole, met, each);
      case Sequence list -> items(schema, list, path, whole, met, each);
      case Scalar scalar -> {}
    }
  }

  private static String describe(Node node) {
    return node instanceof Sequence list ? list.items().size() + " items" : node.describe();
  }

  private static void fields(
      Mapping schema,
      Mapping value,
      String path,
      Function<Optional<Node>, Mapping> whole,
      Set<String> met,
      Consumer<Variant> each) {
    for (Entry entry : value.entries()) {
      String key = entry.key().text();
      if (path.isEmpty() && !key.equals("spec")) {
        continue;
      }
      Optional<Node> known = schema.get("properties").flatMap(p -> ((Mapping) p).get(key));
      Mapping field =
          (Mapping)
              known
                  .or(() -> schema.get("additionalProperties"))
                  .filter(Mapping.class::isInstance)
                  .orElseThrow(() -> new AssertionError(path + " has no field " + key));
      vary(
          field,
          entry.value(),
          path.isEmpty() ? key : path + "." + (known.isPresent() ? key : "*"),
          replacement -> whole.apply(Optional.of(with(value, key, replacement))),
          met,
          each);
    }
  }

  private static Mapping with(Mapping mapping, String key, Optional<Node> replacement) {
    List<Entry> entries = new ArrayList<>();
    for (Entry entry : mapping.entries()) {
      if (!entry.key().text().equals(key)) {
        entries.add(entry);
      } else {
        replacement.ifPresent(n -> entries.add(new Entry(entry.key(), n)));
      }
    }
    return new Mapping(NOWHERE, entries);
  }

  private static void items(
      Mapping schema,
      Sequence list,
      String path,
      Function<Optional<Node>, Mapping> whole,
      Set<String> met,
      Consumer<Variant> each) {
    int longest = schema.get("maxItems").map(n -> Integer.parseInt(((Scalar) n).text())).orElse(3);
    for (int length : new TreeSet<>(List.of(2, longest, longest + 1))) {
      Sequence many = new Sequence(NOWHERE, Collections.nCopies(length, list.items().getFirst()));
      each.accept(new Variant(path, describe(many), whole.apply(Optional.of(many))));
    }
    for (int i = 0; i < list.items().size(); i++) {
      int place = i;
      vary(
          (Mapping) schema.get("items").orElseThrow(),
          list.items().get(i),
          path + "[]",
          replacement -> {
            List<Node> items = new ArrayList<>(list.items());
            items.remove(place);
            replacement.ifPresent(n -> items.add(place, n));
            return whole.apply(Optional.of(new Sequence(NOWHERE, items)));
          },
          met,
          each);
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"Workload", "Mesh", "TrafficPolicy", "PolicyTest"})
  void theReaderRefusesWhatTheSchemaRefuses(String kind) {
    Schema schema = new Schema(schema(kind));
    List<String> wrong = new ArrayList<>();
    Set<String> stricter = new TreeSet<>();
    Set<String> met =
        forEach(
            kind,
            variant -> {
              List<String> schemaSays = schemaSays(schema, variant.document());
              List<String> readerSays = readerSays(kind, variant.document());
              String said = variant.path() + " " + variant.change() + ": only the ";
              if (!schemaSays.isEmpty() && readerSays.isEmpty()) {
                wrong.add(said + "schema: " + schemaSays);
              } else if (schemaSays.isEmpty() && !readerSays.isEmpty()) {
                stricter.add(variant.path());
                if (!STRICTER.containsKey(variant.path())) {
                  wrong.add(said + "reader: " + readerSays);
                }
              }
            });
    assertThat(wrong).isEmpty();
    Set<String> known = new TreeSet<>();
    SchemaAgreementTest.fields(schema(kind), "", known);
    known.removeIf(path -> !path.startsWith("spec"));
    assertThat(met).as("fields that the documents have").containsAll(known);
    Set<String> expected = new TreeSet<>(STRICTER.keySet());
    expected.retainAll(met);
    assertThat(stricter).as("fields whose reader is stricter").isEqualTo(expected);
  }

  private static Set<String> forEach(String kind, Consumer<Variant> each) {
    Set<String> met = new TreeSet<>();
    for (String spec : DOCUMENTS.getOrDefault(kind, List.of())) {
      Mapping document = document(kind, spec);
      assertThat(readerSays(kind, document)).isEmpty();
      assertThat(schemaSays(new Schema(schema(kind)), document)).isEmpty();
      fields(
          schema(kind),
          document,
          "",
          replacement -> (Mapping) replacement.orElseThrow(),
          met,
          each);
    }
    return met;
  }
}
