// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.PlanCodec;
import dev.weir.policy.source.SourceFile;
import dev.weir.policy.source.SourceTree;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import org.junit.jupiter.api.Test;

/** The full compiler is the oracle. */
class IncrementalCompilerTest {

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
        assertThat(PlanCodec.encode(found.plan())).isEqualTo(PlanCodec.encode(expected.plan()));
        assertThat(found.warnings()).isEqualTo(expected.warnings());
      }
      case Compilation.Refused expected -> assertThat(incremental).isEqualTo(expected);
    }
  }

  @Property(tries = 60)
  void afterAnyEditsThePlanIsThatOfAFullCompile(@ForAll long seed) {
    Random random = new Random(seed);
    IncrementalCompiler incremental = new IncrementalCompiler();
    Map<String, String> texts = new TreeMap<>();
    for (String document : RandomClusters.documents(seed, RandomClusters.EVERYTHING)) {
      texts.put("f" + texts.size() + ".yaml", document);
    }
    for (int edit = 0; edit < 8; edit++) {
      SourceTree tree = tree(texts);
      assertSame(incremental.compile(tree), PolicyCompiler.compile(tree));
      edit(texts, random);
    }
  }

  private static void edit(Map<String, String> texts, Random random) {
    List<String> others = RandomClusters.documents(random.nextLong(), RandomClusters.EVERYTHING);
    String name = "f" + random.nextInt(texts.size() + 2) + ".yaml";
    switch (random.nextInt(6)) {
      case 0 -> {
        if (texts.size() > 1) {
          texts.remove(name);
        }
      }
      case 1 -> texts.computeIfPresent(name, (k, text) -> "# moved\n" + text);
      case 2 -> texts.computeIfPresent(name, (k, text) -> text + "# the same\n");
      case 3 -> texts.computeIfPresent(name, (k, text) -> text + "unknown: [\n");
      case 4 -> texts.computeIfPresent(name, (k, text) -> text.replace("8080", "9000"));
      default -> texts.put(name, others.get(random.nextInt(others.size())));
    }
  }

  @Test
  void whatSaysTheSameIsNotCompiledAgain() {
    IncrementalCompiler incremental = new IncrementalCompiler();
    String text = RandomClusters.yaml(7);
    Compilation first = incremental.compile(tree(Map.of("a.yaml", text)));
    assertThat(incremental.compile(tree(Map.of("a.yaml", text + "# a remark\n")))).isSameAs(first);
  }
}
