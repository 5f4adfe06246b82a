// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.answer.Change;
import dev.weir.policy.answer.Explainer;
import dev.weir.policy.answer.Explanation;
import dev.weir.policy.answer.Party;
import dev.weir.policy.answer.Remedy;
import dev.weir.policy.answer.Request;
import dev.weir.policy.json.Json;
import dev.weir.policy.model.Service;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.Verdict.Decision;
import dev.weir.policy.source.SourceTree;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.stream.Collectors;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import org.junit.jupiter.api.Test;
import org.snakeyaml.engine.v2.api.Load;
import org.snakeyaml.engine.v2.api.LoadSettings;

/** What {@code explain} says would allow a connection is put into the files, and allows it. */
class RemedyTest {

  private static Analysis analyse(String yaml) {
    return PolicyCompiler.analyse(SourceTree.of("f.yaml", yaml));
  }

  private static Explanation explain(String yaml, String from, String to, int port)
      throws Explainer.UnclearException {
    Analysis analysis = analyse(yaml);
    assertThat(analysis.compilation()).as(yaml).isInstanceOf(Compilation.Compiled.class);
    Explainer explainer = new Explainer(analysis, (Compilation.Compiled) analysis.compilation());
    Party source = explainer.party(from, Protocol.TCP, 0);
    return explainer.explain(source, explainer.party(to, Protocol.TCP, port), Protocol.TCP, port);
  }

  /** The files after a change, as any tool that knows JSON Patch would make it. */
  private static String apply(String yaml, List<Change> changes) {
    List<Object> documents = new ArrayList<>();
    new Load(LoadSettings.builder().build())
        .loadAllFromString(yaml)
        .forEach(document -> documents.add(asJson(document)));
    for (Change change : changes) {
      if (change.path().isEmpty()) {
        documents.add(change.value());
        continue;
      }
      for (Object document : documents) {
        Map<?, ?> metadata = (Map<?, ?>) member(document, "metadata");
        if (change.kind().equals(member(document, "kind"))
            && change.name().equals(member(metadata, "name"))
            && (change.kind().equals("Mesh")
                || change
                    .namespace()
                    .equals(
                        metadata.containsKey("namespace")
                            ? member(metadata, "namespace")
                            : "default"))) {
          add(document, change.path().substring(1).split("/"), change.value());
        }
      }
    }
    return documents.stream().map(Json::pretty).collect(Collectors.joining("---\n"));
  }

  /** JSON has no numbers for keys. */
  private static Object asJson(Object value) {
    return switch (value) {
      case Map<?, ?> map -> {
        Map<String, Object> copy = new LinkedHashMap<>();
        map.forEach((k, v) -> copy.put(String.valueOf(k), asJson(v)));
        yield copy;
      }
      case List<?> list ->
          list.stream()
              .map(RemedyTest::asJson)
              .collect(Collectors.toCollection(ArrayList<Object>::new));
      default -> value;
    };
  }

  private static Object member(Object map, String key) {
    return Objects.requireNonNull(((Map<?, ?>) map).get(key), key);
  }

  @SuppressWarnings("unchecked")
  private static void add(Object document, String[] path, Object value) {
    Object at = document;
    for (int i = 0; i < path.length - 1; i++) {
      at =
          at instanceof List<?> list
              ? Objects.requireNonNull(list.get(Integer.parseInt(path[i])))
              : member(at, path[i]);
    }
    String last = path[path.length - 1];
    if (at instanceof List<?> list) {
      assertThat(last).isEqualTo("-");
      ((List<Object>) list).add(value);
    } else {
      ((Map<String, Object>) Objects.requireNonNull(at)).put(last, value);
    }
  }

  /** A question, and its answer by some files. */
  private interface Question {
    Explanation ask(Explainer explainer) throws Explainer.UnclearException;
  }

  private static Explanation ask(String yaml, Question question) throws Explainer.UnclearException {
    Analysis analysis = analyse(yaml);
    assertThat(analysis.compilation()).as(yaml).isInstanceOf(Compilation.Compiled.class);
    return question.ask(new Explainer(analysis, (Compilation.Compiled) analysis.compilation()));
  }

  private static boolean passes(Explanation explanation) {
    return explanation.decision() == Decision.ALLOW || explanation.decision() == Decision.INSPECT;
  }

  /** Puts what is said to allow it into the files, which must allow it then. */
  private static void allowsIt(String yaml, Question question) throws Exception {
    Explanation before = ask(yaml, question);
    if (passes(before)) {
      return;
    }
    Remedy remedy = before.remedy().orElseThrow();
    if (remedy.changes().isEmpty()) {
      assertThat(remedy.note())
          .as("%s in%n%s", before, yaml)
          .containsAnyOf(
              "no change of policy helps",
              "has no labels",
              "nobody can tell who it is",
              "nobody can be named who is not declared",
              "no one change of policy excepts all");
      return;
    }
    String changed = apply(yaml, remedy.changes());
    Explanation after = ask(changed, question);
    if (after.decision() == Decision.AUDIT) {
      // What is enforced lets it pass now; the next question is about policies in audit.
      changed = apply(changed, after.remedy().orElseThrow().changes());
      after = ask(changed, question);
    }
    assertThat(passes(after)).as("%s%nthen %s%nin %s", before, after, yaml).isTrue();
  }

  private static final List<String> METHODS = List.of("GET", "POST");

  private static Request request(String method, String path, String host) {
    return Request.of(method, host, path, Map.of("x-user", "alice")).orElseThrow();
  }

  @Property(tries = 40)
  void theSmallestChangeAllowsTheRequest(@ForAll long seed) throws Exception {
    String yaml = String.join("---\n", RandomClusters.documents(seed, RandomClusters.EVERYTHING));
    Analysis analysis = analyse(yaml);
    List<String> workloads =
        analysis.cluster().workloads().stream()
            .map(w -> "workload/" + w.meta().qualifiedName())
            .toList();
    List<String> sources = new ArrayList<>(workloads);
    sources.add("10.1.2.3");
    for (String from : sources) {
      for (String to : workloads) {
        for (String method : METHODS) {
          allowsIt(
              yaml,
              e ->
                  e.explain(
                      e.party(from, Protocol.TCP, 0),
                      e.party(to, Protocol.TCP, 80),
                      80,
                      request(method, "/a/b", "a.example")));
        }
        allowsIt(
            yaml,
            e ->
                e.inPlaintext(
                    e.party(from, Protocol.TCP, 0),
                    e.party(to, Protocol.TCP, 80),
                    80,
                    Optional.empty()));
      }
      for (Service service : analysis.cluster().all(Service.class)) {
        for (Service.Port port : service.ports()) {
          allowsIt(
              yaml,
              e ->
                  e.explain(
                      e.party(from, Protocol.TCP, 0),
                      e.party(
                          "service/" + service.meta().qualifiedName(), Protocol.TCP, port.port()),
                      port.port(),
                      request("GET", "/a/b", service.meta().name())));
        }
      }
    }
  }

  @Property(tries = 60)
  void theSmallestChangeAllowsTheConnection(@ForAll long seed) throws Exception {
    String yaml = String.join("---\n", RandomClusters.documents(seed, RandomClusters.EVERYTHING));
    Analysis analysis = analyse(yaml);
    List<String> parties =
        new ArrayList<>(
            analysis.cluster().workloads().stream()
                .map(w -> "workload/" + w.meta().qualifiedName())
                .toList());
    parties.addAll(List.of("10.1.2.3", "2001:db8::5"));
    for (String from : parties) {
      for (String to : parties) {
        for (int port : List.of(80, 9000)) {
          Explanation explanation = explain(yaml, from, to, port);
          boolean refused = !explanation.made() || explanation.decision() == Decision.AUDIT;
          assertThat(explanation.remedy().isPresent()).isEqualTo(refused);
          if (refused && !explanation.remedy().orElseThrow().changes().isEmpty()) {
            String changed = apply(yaml, explanation.remedy().orElseThrow().changes());
            Explanation after = explain(changed, from, to, port);
            if (after.decision() == Decision.AUDIT) {
              // What is enforced lets it pass now; the next question is about policies in audit.
              changed = apply(changed, after.remedy().orElseThrow().changes());
              after = explain(changed, from, to, port);
            }
            assertThat(after.decision())
                .as("%s -> %s %d: %s in%n%s", from, to, port, explanation.remedy(), yaml)
                .isIn(Decision.ALLOW, Decision.INSPECT);
          }
        }
      }
    }
  }

  private static final String SHOP =
      """
      apiVersion: weir.dev/v1alpha1
      kind: Workload
      metadata: {name: web, namespace: shop, labels: {app: web, tier: front}}
      spec: {cgroup: /web}
      ---
      apiVersion: weir.dev/v1alpha1
      kind: Workload
      metadata: {name: cart, namespace: shop, labels: {app: cart, tier: front}}
      spec: {cgroup: /cart}
      ---
      apiVersion: weir.dev/v1alpha1
      kind: Workload
      metadata: {name: orders, namespace: shop, labels: {app: orders}}
      spec: {cgroup: /orders, ports: [{port: 8080}]}
      ---
      apiVersion: networking.k8s.io/v1
      kind: NetworkPolicy
      metadata: {name: orders, namespace: shop}
      spec:
        podSelector: {matchLabels: {app: orders}}
        ingress:
          - from: [{podSelector: {matchLabels: {app: cart}}}]
            ports: [{port: 8080}]
      """;

  private static Change only(Explanation explanation) {
    Remedy remedy = explanation.remedy().orElseThrow();
    assertThat(remedy.changes()).hasSize(1);
    return remedy.changes().getFirst();
  }

  @Test
  void aClauseForThisPortAloneGetsTheSourceByItsOwnLabel() throws Exception {
    Change change = only(explain(SHOP, "web", "orders", 8080));
    assertThat(change.describe())
        .isEqualTo("add to NetworkPolicy shop/orders spec.ingress[0].from (f.yaml:22)");
    assertThat(change.yaml())
        .isEqualTo(
            """
            - podSelector:
                matchLabels:
                  app: web
            """);
  }

  @Test
  void aClauseForThisSourceAloneGetsThePort() throws Exception {
    Change change = only(explain(SHOP, "cart", "orders", 9090));
    assertThat(change.path()).isEqualTo("/spec/ingress/0/ports/-");
    assertThat(change.yaml()).isEqualTo("- port: 9090\n  protocol: TCP\n");
  }

  @Test
  void aClauseThatWouldOpenMoreIsLeftAlone() throws Exception {
    Change change = only(explain(SHOP, "web", "orders", 9090));
    assertThat(change.path()).isEqualTo("/spec/ingress/-");
  }

  @Test
  void anAddressOutsideIsNamedByItself() throws Exception {
    Change change = only(explain(SHOP, "192.0.2.7", "orders", 8080));
    assertThat(change.value()).isEqualTo(Map.of("ipBlock", Map.of("cidr", "192.0.2.7/32")));
  }

  @Test
  void whatDefaultDenyIsolatesGetsAPolicy() throws Exception {
    String mesh =
        "\n---\n{apiVersion: weir.dev/v1alpha1, kind: Mesh, metadata: {name: m},"
            + " spec: {defaultDeny: true}}\n";
    Explanation explanation = explain(SHOP + mesh, "web", "orders", 8080);
    assertThat(explanation.remedy().orElseThrow().changes())
        .extracting(Change::describe)
        .containsExactly(
            "make a NetworkPolicy shop/web-to-shop-orders",
            "add to NetworkPolicy shop/orders spec.ingress[0].from (f.yaml:22)");
    assertThat(
            explain(
                    apply(SHOP + mesh, explanation.remedy().orElseThrow().changes()),
                    "web",
                    "orders",
                    8080)
                .made())
        .isTrue();
  }

  @Test
  void aGovernedHostIsLetThroughByMesh() throws Exception {
    String mesh =
        "\n---\n{apiVersion: weir.dev/v1alpha1, kind: Mesh, metadata: {name: m}, spec: {host:"
            + " {governed: true, management: [{direction: Ingress, protocol: TCP, port: 22}]}}}\n";
    Explanation explanation = explain(SHOP + mesh, "host", "orders", 8080);
    assertThat(explanation.made()).isFalse();
    assertThat(
            explain(
                    apply(SHOP + mesh, explanation.remedy().orElseThrow().changes()),
                    "host",
                    "orders",
                    8080)
                .made())
        .isTrue();
  }

  @Test
  void whatNobodyDeclaredCannotBeNamed() throws Exception {
    Remedy remedy = explain(SHOP, "unknown", "orders", 8080).remedy().orElseThrow();
    assertThat(remedy.changes()).isEmpty();
    assertThat(remedy.note()).contains("declare a Workload");
  }

  @Test
  void whatIsAllowedNeedsNoRemedy() throws Exception {
    assertThat(explain(SHOP, "cart", "orders", 8080).remedy()).isEmpty();
  }

  @Test
  void yamlQuotesWhatWouldMeanSomethingElse() {
    Map<String, Object> value = new LinkedHashMap<>();
    value.put("a", "true");
    value.put("b", "10");
    value.put("c", Map.of());
    assertThat(new Change("K", "n", "x", "", 0, "/spec", value).yaml())
        .isEqualTo("a: \"true\"\nb: \"10\"\nc: {}\n");
  }
}
