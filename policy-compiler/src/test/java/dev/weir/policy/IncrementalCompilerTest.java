// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.RandomClusters.Feature;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.PlanCodec;
import dev.weir.policy.source.SourceFile;
import dev.weir.policy.source.SourceTree;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.time.Instant;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The full compiler is the oracle. */
class IncrementalCompilerTest {

  private static final Pattern KIND = Pattern.compile("kind: (\\w+)");
  private static final Pattern NAME = Pattern.compile("name: ([-\\w]+)");
  private static final Pattern NAMESPACE = Pattern.compile("namespace: ([-\\w]+)");

  private static SourceTree tree(Map<String, String> texts) {
    List<SourceFile> files = new ArrayList<>();
    texts.forEach(
        (name, text) -> files.add(new SourceFile(name, text.getBytes(StandardCharsets.UTF_8))));
    return new SourceTree(files, List.of());
  }

  private static void assertSame(Compilation incremental, Compilation full) {
    switch (full) {
      case Compilation.Compiled expected -> {
        assertThat(incremental).isInstanceOf(Compilation.Compiled.class);
        Compilation.Compiled found = (Compilation.Compiled) incremental;
        assertThat(found.plan()).isEqualTo(expected.plan());
        assertThat(PlanCodec.encode(found.plan())).isEqualTo(PlanCodec.encode(expected.plan()));
        assertThat(found.warnings()).isEqualTo(expected.warnings());
        assertThat(found.keyPairs()).isEqualTo(expected.keyPairs());
      }
      case Compilation.Refused expected -> assertThat(incremental).isEqualTo(expected);
    }
  }

  /** One file for each object, so that another object of its name takes its place. */
  private static String file(String document) {
    return first(KIND, document)
        + "-"
        + first(NAMESPACE, document)
        + "-"
        + first(NAME, document)
        + ".yaml";
  }

  private static String first(Pattern pattern, String document) {
    Matcher matcher = pattern.matcher(document);
    return matcher.find() ? matcher.group(1) : "";
  }

  @Property(tries = 400)
  void afterAnyEditsThePlanIsThatOfAFullCompile(@ForAll long seed) {
    Random random = new Random(seed);
    EnumSet<Feature> features = EnumSet.noneOf(Feature.class);
    for (Feature feature : Feature.values()) {
      if (random.nextBoolean()) {
        features.add(feature);
      }
    }
    Map<String, String> texts = new TreeMap<>();
    for (String document : RandomClusters.documents(seed, features)) {
      texts.put(file(document), document);
    }
    IncrementalCompiler incremental = new IncrementalCompiler();
    for (int edit = 0; edit < 12; edit++) {
      SourceTree tree = tree(texts);
      assertSame(incremental.compile(tree), PolicyCompiler.compile(tree));
      for (int changes = random.nextInt(5) == 0 ? 3 : 1; changes > 0; changes--) {
        edit(texts, random, features);
      }
    }
  }

  @Property(tries = 200)
  void whereNothingButServicesSteersThePlanIsThatOfAFullCompile(@ForAll long seed) {
    Random random = new Random(seed);
    Map<String, String> texts = new TreeMap<>();
    for (int i = 0; i < 5; i++) {
      texts.put("w" + i + ".yaml", workload(i, random, true));
      texts.put("s" + i + ".yaml", service(i, random, true));
    }
    for (String document : RandomClusters.documents(seed, EnumSet.noneOf(Feature.class))) {
      if (first(KIND, document).equals("NetworkPolicy")) {
        texts.put(file(document), document);
      }
    }
    IncrementalCompiler incremental = new IncrementalCompiler();
    for (int edit = 0; edit < 12; edit++) {
      SourceTree tree = tree(texts);
      assertSame(incremental.compile(tree), PolicyCompiler.compile(tree));
      int i = random.nextInt(5);
      boolean careful = random.nextInt(4) > 0;
      if (random.nextBoolean()) {
        texts.put("w" + i + ".yaml", workload(i, random, careful));
      } else {
        texts.put("s" + i + ".yaml", service(i, random, careful));
      }
    }
  }

  /** One whose cgroup and address are nobody else's, if it is made with care. */
  private static String workload(int i, Random random, boolean careful) {
    int at = careful ? 10 * i + random.nextInt(2) : random.nextInt(40);
    return """
    apiVersion: weir.dev/v1alpha1
    kind: Workload
    metadata: {name: w%d, namespace: red, labels: {app: %s, tier: %s}}
    spec: {%s%s ports: [{name: http, port: %d}]}
    """
        .formatted(
            i,
            random.nextBoolean() ? "a" : "b",
            random.nextBoolean() ? "x" : "y",
            careful || random.nextBoolean() ? "cgroup: /w" + at + "," : "",
            random.nextInt(4) > 0 ? " address: 10.0.0." + at + "," : "",
            random.nextBoolean() ? 80 : 8000 + i);
  }

  private static String service(int i, Random random, boolean careful) {
    int at = careful ? 10 * i + 5 + random.nextInt(2) : random.nextInt(40);
    return """
    apiVersion: v1
    kind: Service
    metadata: {name: s%d, namespace: red, labels: {app: %s}}
    spec: {%s%s ports: [{name: p, port: %d, targetPort: %s}]}
    """
        .formatted(
            i,
            random.nextBoolean() ? "a" : "b",
            random.nextInt(5) > 0 ? "clusterIP: 10.0.0." + at + "," : "",
            switch (random.nextInt(4)) {
              case 0 -> "";
              case 1 -> " selector: {app: a, tier: y},";
              default -> " selector: {app: " + (random.nextBoolean() ? "a" : "b") + "},";
            },
            80 + random.nextInt(2),
            random.nextBoolean() ? "http" : "8080");
  }

  private static void edit(Map<String, String> texts, Random random, EnumSet<Feature> features) {
    List<String> names = List.copyOf(texts.keySet());
    String name = names.isEmpty() ? "none" : names.get(random.nextInt(names.size()));
    switch (random.nextInt(14)) {
      case 0 -> texts.remove(name);
      case 1 -> texts.computeIfPresent(name, (k, text) -> "# moved\n" + text);
      case 2 -> texts.computeIfPresent(name, (k, text) -> text + "# the same\n");
      case 3 -> texts.computeIfPresent(name, (k, text) -> text + "unknown: [\n");
      case 4 -> texts.computeIfPresent(name, (k, text) -> text.replace("unknown: [\n", ""));
      case 5 -> texts.computeIfPresent(name, (k, text) -> text.replace("8080", "9000"));
      case 6 -> texts.computeIfPresent(name, (k, text) -> text.replace("app: a", "app: b"));
      case 7 -> texts.put("again.yaml", texts.getOrDefault(name, ""));
      case 8 -> texts.remove("again.yaml");
      default -> {
        // An object of a kind that is likely to be there already, perhaps in the place of another.
        List<String> others = Documents.of(random.nextLong(), features);
        String wanted = first(KIND, texts.getOrDefault(name, ""));
        List<String> alike =
            others.stream().filter(text -> first(KIND, text).equals(wanted)).toList();
        List<String> pool = alike.isEmpty() || random.nextInt(4) == 0 ? others : alike;
        String document = pool.get(random.nextInt(pool.size()));
        texts.put(file(document), document);
      }
    }
  }

  /** A random cluster's, and what steers connections besides. */
  private static final class Documents {

    static List<String> of(long seed, EnumSet<Feature> features) {
      List<String> documents = new ArrayList<>(RandomClusters.documents(seed, features));
      if (features.contains(Feature.SERVICES)) {
        documents.addAll(steering(new Random(seed)));
      }
      return documents;
    }

    private static List<String> steering(Random random) {
      String namespace = random.nextBoolean() ? "red" : "blue";
      String app = List.of("a", "b", "c").get(random.nextInt(3));
      int weight = random.nextInt(4);
      return List.of(
          """
          apiVersion: v1
          kind: Service
          metadata: {name: more-%d, namespace: %s}
          spec: {clusterIP: 10.96.1.%d, selector: {app: %s}, ports: [{port: %d, targetPort: http}]}
          """
              .formatted(weight, namespace, weight, app, 80 + random.nextInt(2)),
          """
          apiVersion: v1
          kind: Service
          metadata: {name: written, namespace: %s}
          spec: {clusterIP: 10.96.2.1, ports: [{name: w, port: 80}]}
          """
              .formatted(namespace),
          """
          apiVersion: discovery.k8s.io/v1
          kind: EndpointSlice
          metadata: {name: slice, namespace: %s, labels: {kubernetes.io/service-name: written}}
          addressType: IPv4
          ports: [{name: w, port: %d}]
          endpoints:
            - addresses: [172.16.0.%d]
            - addresses: [192.0.2.%d]
          """
              .formatted(namespace, 8000 + weight, 1 + random.nextInt(4), 1 + weight),
          """
          apiVersion: gateway.networking.k8s.io/v1
          kind: HTTPRoute
          metadata: {name: r%d, namespace: %s}
          spec:
            parentRefs: [{group: "", kind: Service, name: more-%d}]
            rules:
              - matches: [{path: {value: /%s}}]
                backendRefs: [{name: more-0, port: 80}, {name: more-1, port: 80, weight: %d}]
          """
              .formatted(random.nextInt(2), namespace, random.nextInt(4), app, weight),
          """
          apiVersion: gateway.networking.k8s.io/v1alpha2
          kind: TCPRoute
          metadata: {name: t, namespace: %s}
          spec:
            parentRefs: [{group: "", kind: Service, name: more-%d}]
            rules:
              - backendRefs: [{name: more-2, port: 80, weight: %d}, {name: more-3, port: 80}]
          """
              .formatted(namespace, random.nextInt(4), weight),
          """
          apiVersion: gateway.networking.k8s.io/v1
          kind: Gateway
          metadata: {name: g, namespace: %s}
          spec:
            gatewayClassName: weir
            listeners: [{name: web, port: %d, protocol: HTTP}]
          """
              .formatted(namespace, 7000 + weight),
          """
          apiVersion: gateway.networking.k8s.io/v1
          kind: HTTPRoute
          metadata: {name: at-gateway, namespace: %s}
          spec:
            parentRefs: [{name: g}]
            rules:
              - backendRefs: [{name: more-%d, port: 80}]
          """
              .formatted(namespace, weight));
    }
  }

  @Test
  void whatSaysTheSameIsNotCompiledAgain() {
    IncrementalCompiler incremental = new IncrementalCompiler();
    String text = RandomClusters.yaml(7);
    Compilation first = incremental.compile(tree(Map.of("a.yaml", text)));
    assertThat(incremental.compile(tree(Map.of("a.yaml", text + "# a remark\n")))).isSameAs(first);
  }

  @Test
  void filesOfADirectoryThatAreWrittenInQuickSuccessionAreNotMissed(@TempDir Path directory)
      throws IOException {
    IncrementalCompiler incremental = new IncrementalCompiler();
    Random random = new Random(11);
    Files.createDirectories(directory.resolve("sub/.hidden"));
    for (int edit = 0; edit < 60; edit++) {
      Path file = directory.resolve((edit % 3 == 0 ? "sub/" : "") + "f" + edit % 5 + ".yaml");
      switch (random.nextInt(8)) {
        case 0 -> Files.deleteIfExists(file);
        case 1 -> Files.writeString(directory.resolve("sub/.hidden/a.yaml"), "unknown: [");
        case 2 -> Files.writeString(file, "kind: [");
        default ->
            // Files of one length, so that only their times and what is in them differ.
            Files.writeString(
                file,
                SERVICE.formatted(edit % 5, edit % 3 == 0 ? "sub" : "top", 10 + random.nextInt(9)));
      }
      assertSame(
          incremental.compileDirectory(directory), PolicyCompiler.compileDirectory(directory));
    }
  }

  @Test
  void whatIsWrongWithADirectoryIsSaidAsByAFullCompile(@TempDir Path directory) throws IOException {
    IncrementalCompiler incremental = new IncrementalCompiler();
    Path gone = directory.resolve("gone");
    assertSame(incremental.compileDirectory(gone), PolicyCompiler.compileDirectory(gone));
    Files.createDirectories(gone);
    assertSame(incremental.compileDirectory(gone), PolicyCompiler.compileDirectory(gone));
    Files.createSymbolicLink(gone.resolve("circle"), gone);
    assertSame(incremental.compileDirectory(gone), PolicyCompiler.compileDirectory(gone));
  }

  @Test
  void aFileThatLooksAsItDidIsNotReadAgain(@TempDir Path directory) throws IOException {
    IncrementalCompiler incremental = new IncrementalCompiler();
    Path file = directory.resolve("f.yaml");
    Files.writeString(file, SERVICE.formatted(1, "top", 10));
    FileTime past = FileTime.from(Instant.parse("2026-01-01T00:00:00.5Z"));
    Files.setLastModifiedTime(file, past);
    Plan first = plan(incremental.compileDirectory(directory));
    Files.writeString(file, SERVICE.formatted(1, "top", 20));
    Files.setLastModifiedTime(file, past);
    assertThat(plan(incremental.compileDirectory(directory))).isSameAs(first);
    Files.setLastModifiedTime(file, FileTime.from(Instant.parse("2026-01-02T00:00:00.5Z")));
    assertThat(plan(incremental.compileDirectory(directory))).isNotEqualTo(first);
  }

  private static final String SERVICE =
      """
      apiVersion: v1
      kind: Service
      metadata: {name: s%d, namespace: %s}
      spec: {clusterIP: 10.96.0.%d, selector: {app: a}, ports: [{port: 80}]}
      """;

  private static Plan plan(Compilation compilation) {
    assertThat(compilation).isInstanceOf(Compilation.Compiled.class);
    return ((Compilation.Compiled) compilation).plan();
  }

  @Test
  void aPlanAfterAPolicyHasChangedTakesOverWhatTheLastOneHas() {
    SourceTree before = SyntheticPolicy.files(40, 20, 100);
    SourceTree after = edited(before, "g7.yaml", "port: 1024", "port: 2024");
    IncrementalCompiler incremental = new IncrementalCompiler();
    Plan first = plan(incremental.compile(before));
    Plan second = plan(incremental.compile(after));
    assertThat(second.verdicts()).isNotEqualTo(first.verdicts());
    assertThat(second.workloads()).isSameAs(first.workloads());
    assertThat(second.endpoints()).isSameAs(first.endpoints());
  }

  private static final String WORLD =
      """
      apiVersion: weir.dev/v1alpha1
      kind: Workload
      metadata: {name: w, namespace: n, labels: {app: a}}
      spec: {cgroup: /w, address: 10.0.0.1, ports: [{name: http, port: 8080}]}
      ---
      apiVersion: weir.dev/v1alpha1
      kind: Workload
      metadata: {name: x, namespace: n, labels: {app: b}}
      spec: {cgroup: /x, address: 10.0.0.2, ports: [{name: http, port: 8080}]}
      """;

  private static SourceTree world(String workload, String service) {
    return tree(Map.of("w.yaml", WORLD + workload, "s.yaml", service));
  }

  @Test
  void aServiceThatHasChangedLeavesTheOthersBackendsWhatTheyAre() {
    IncrementalCompiler incremental = new IncrementalCompiler();
    String service = SERVICE.formatted(1, "n", 10);
    Plan first = plan(incremental.compile(world("", service)));
    SourceTree after = world("", service.replace("port: 80", "port: 81, targetPort: 80"));
    Plan second = plan(incremental.compile(after));
    assertThat(second).isEqualTo(plan(PolicyCompiler.compile(after)));
    assertThat(second.services()).isNotEqualTo(first.services());
    assertThat(second.backends()).isSameAs(first.backends());
  }

  @Test
  void aWorkloadWithALabelThatNobodySelectsLeavesBackendsWhatTheyAre() {
    IncrementalCompiler incremental = new IncrementalCompiler();
    String service = SERVICE.formatted(1, "n", 10);
    Plan first = plan(incremental.compile(world("", service)));
    SourceTree after =
        tree(Map.of("w.yaml", WORLD.replace("app: b", "app: b, version: v2"), "s.yaml", service));
    Plan second = plan(incremental.compile(after));
    assertThat(second).isEqualTo(plan(PolicyCompiler.compile(after)));
    assertThat(second.workloads()).isNotEqualTo(first.workloads());
    assertThat(second.backends()).isSameAs(first.backends());
    assertThat(second.endpoints()).isSameAs(first.endpoints());
  }

  @Test
  void afterARefusedFileTheNextGoodOneTakesOverWhatTheLastPlanHas() {
    SourceTree before = SyntheticPolicy.files(40, 20, 100);
    IncrementalCompiler incremental = new IncrementalCompiler();
    Plan first = plan(incremental.compile(before));
    SourceTree bad = edited(before, "g7.yaml", "port: 1024", "port: x y");
    assertSame(incremental.compile(bad), PolicyCompiler.compile(bad));
    SourceTree good = edited(before, "g7.yaml", "port: 1024", "port: 2024");
    Plan second = plan(incremental.compile(good));
    assertThat(second).isEqualTo(plan(PolicyCompiler.compile(good)));
    assertThat(second.workloads()).isSameAs(first.workloads());
  }

  private static SourceTree edited(SourceTree tree, String file, String from, String to) {
    return new SourceTree(
        tree.files().stream()
            .map(
                f ->
                    f.name().equals(file)
                        ? new SourceFile(
                            file,
                            new String(f.content(), StandardCharsets.UTF_8)
                                .replace(from, to)
                                .getBytes(StandardCharsets.UTF_8))
                        : f)
            .toList(),
        tree.problems());
  }
}
