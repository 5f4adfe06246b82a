// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.source;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.source.Node.Mapping;
import dev.weir.policy.source.Node.Scalar;
import dev.weir.policy.source.Node.Sequence;
import java.nio.charset.StandardCharsets;
import java.util.List;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.StringLength;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class DocumentReaderTest {

  private final Diagnostics diagnostics = new Diagnostics();

  private List<Node> read(String name, String text) {
    return DocumentReader.read(
        new SourceFile(name, text.getBytes(StandardCharsets.UTF_8)), diagnostics);
  }

  private static Node field(Node node, String key) {
    return ((Mapping) node).get(key).orElseThrow();
  }

  @Test
  void everyNodeKnowsItsPlace() {
    Node root = read("f.yaml", "a:\n  - b: 1\n    c: x\n").getFirst();
    Node item = ((Sequence) field(root, "a")).items().getFirst();
    assertThat(field(item, "c").at()).isEqualTo(new Position("f.yaml", 3, 8));
  }

  @Test
  void severalDocumentsAreReadAndEmptyOnesLeftOut() {
    assertThat(read("f.yaml", "a: 1\n---\n---\n# nothing\n---\nb: 2\n")).hasSize(2);
    assertThat(diagnostics.failed()).isFalse();
  }

  @Test
  void jsonWithTabsIsRead() {
    assertThat(read("f.json", "{\n\t\"a\": [1, \"two\"],\n\t\"b\": null\n}")).hasSize(1);
    assertThat(diagnostics.errors()).isEmpty();
  }

  @Test
  void quotesMakeAString() {
    Node root = read("f.yaml", "a: 80\nb: \"80\"\nc: yes\nd: true\n").getFirst();
    assertThat(((Scalar) field(root, "a")).type()).isEqualTo(Scalar.Type.INTEGER);
    assertThat(((Scalar) field(root, "b")).type()).isEqualTo(Scalar.Type.STRING);
    assertThat(((Scalar) field(root, "c")).type()).isEqualTo(Scalar.Type.STRING);
    assertThat(((Scalar) field(root, "d")).type()).isEqualTo(Scalar.Type.BOOLEAN);
  }

  @Test
  void anAliasStandsForWhatItNames() {
    Node root = read("f.yaml", "a: &x {k: v}\nb: *x\nc:\n  <<: *x\n  l: w\n").getFirst();
    assertThat(((Scalar) field(field(root, "b"), "k")).text()).isEqualTo("v");
    assertThat(((Scalar) field(field(root, "c"), "k")).text()).isEqualTo("v");
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      textBlock =
          """
          'a: 1\\na: 2'         | 2:1 | occurs twice
          'a: *b'               | 1:4 | no complete anchor
          'a: &x [*x]'          | 1:8 | no complete anchor
          'a: !!java.net.URL x' | 1:4 | tag
          '? [a]\\n: b'         | 1:3 | key must be a single value
          'a: [1'               | 1   | not valid YAML
          'a: "\\007"'          | 1   | U+0007
          """)
  void whatIsNoManifestIsAnErrorWithItsPlace(String text, String place, String message) {
    assertThat(read("f.yaml", text.translateEscapes())).isEmpty();
    assertThat(diagnostics.errors())
        .singleElement()
        .asString()
        .startsWith("f.yaml:" + place)
        .contains(message);
  }

  @Test
  void aFileThatIsNotTextIsRefused() {
    DocumentReader.read(new SourceFile("f.yaml", new byte[] {(byte) 0xff, 'a'}), diagnostics);
    assertThat(diagnostics.errors()).singleElement().asString().contains("UTF-8");
  }

  @Test
  void aliasesThatGrowWithoutBoundAreRefused() {
    StringBuilder text = new StringBuilder("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for (int i = 1; i < 12; i++) {
      text.append("a%d: &a%d [".formatted(i, i));
      text.append(("*a" + (i - 1) + ",").repeat(10)).append("]\n");
    }
    assertThat(read("f.yaml", text.toString())).isEmpty();
    assertThat(diagnostics.errors()).singleElement().asString().contains("aliases expanded");
  }

  @Test
  void nestingWithoutBoundIsRefused() {
    assertThat(read("f.yaml", "[".repeat(100_000))).isEmpty();
    assertThat(diagnostics.errors()).singleElement().asString().contains("nested deeper");
  }

  @Property(tries = 500)
  void noTextBreaksTheReader(@ForAll @StringLength(max = 60) String text) {
    documentsOrErrors(text);
  }

  private static void documentsOrErrors(String text) {
    Diagnostics found = new Diagnostics();
    List<Node> documents =
        DocumentReader.read(new SourceFile("f.yaml", text.getBytes(StandardCharsets.UTF_8)), found);
    assertThat(documents.isEmpty() || !found.failed()).isTrue();
  }

  @Property(tries = 1000)
  void noTextOfYamlCharactersBreaksTheReader(@ForAll long seed) {
    String alphabet = "-:?[]{}#&*!|>'\"%@,ab1~ \n\t<.";
    java.util.Random random = new java.util.Random(seed);
    StringBuilder text = new StringBuilder();
    for (int i = random.nextInt(40); i > 0; i--) {
      text.append(alphabet.charAt(random.nextInt(alphabet.length())));
    }
    documentsOrErrors(text.toString());
  }
}
