// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.source;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.stream.Stream;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The library is the oracle: where the fast reader has an answer, it is the library's. */
class PlainReaderTest {

  private static final List<String> PIECES =
      List.of(
          "a",
          "b: ",
          "kind",
          ": ",
          ":",
          "\n",
          "\n  ",
          "\n    ",
          "\n- ",
          "\n  - ",
          "- ",
          "-",
          "---\n",
          "\n---\n",
          "...",
          "# c",
          " # c",
          "#",
          "\"",
          "'",
          "\"x\"",
          "'y'",
          "\\",
          "\\n",
          "\\\"",
          "[",
          "]",
          "{",
          "}",
          ",",
          ", ",
          "[a, b]",
          "{c: d}",
          "{\"e\":1}",
          "{}",
          "[]",
          "null",
          "~",
          "80",
          "-5",
          "1.5",
          "0x1f",
          "true",
          "?",
          "? ",
          "|",
          "|\n",
          ">",
          "&a ",
          "*a",
          "!",
          "!!str ",
          "<<: ",
          "%",
          "@",
          "`",
          "\t",
          "\r",
          "\r\n",
          " ",
          "  ",
          "é",
          "\uFEFF",
          "10.0.0.0/8",
          "f:x:",
          "k/l.m",
          "+",
          "=",
          "$x",
          "(",
          "\u0085",
          "\u007f",
          ";",
          "x y",
          "x: y",
          "x:y",
          "x#y",
          "x #y",
          "metadata:\n  name: n\n",
          "items:\n- a: 1\n  b: 2\n",
          "spec:\n  ports:\n    - port: 80\n");

  private static List<SourceFile> corpus() {
    try (Stream<Path> paths = Files.walk(Path.of("src/test/resources"))) {
      List<SourceFile> files = new ArrayList<>();
      for (Path path : paths.filter(p -> p.toString().matches(".*\\.(ya?ml|json)")).toList()) {
        files.add(new SourceFile(path.toString(), Files.readAllBytes(path)));
      }
      return files;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static final List<SourceFile> CORPUS = corpus();

  /** Whether the fast reader has an answer, which then must be the library's. */
  private static boolean agrees(SourceFile file) {
    Optional<List<Node>> fast = PlainReader.read(file, new Texts());
    if (fast.isPresent()) {
      Diagnostics diagnostics = new Diagnostics();
      List<Node> documents = DocumentReader.readAny(file, diagnostics);
      assertThat(diagnostics.errors()).isEmpty();
      assertThat(fast.get()).isEqualTo(documents);
    }
    return fast.isPresent();
  }

  private static boolean agrees(String text) {
    return agrees(new SourceFile("f.yaml", text.getBytes(StandardCharsets.UTF_8)));
  }

  @Test
  void filesOfTheWorldAreReadAsTheLibraryDoesAndMostOfThemFast() {
    assertThat(CORPUS).hasSizeGreaterThan(200);
    assertThat(CORPUS.stream().filter(PlainReaderTest::agrees).count())
        .isGreaterThan(CORPUS.size() * 9L / 10);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "a: 1\nb:\n  c: [x, \"y\", 'z']\n  d: {e: f, \"g\": 1}\n",
        "# c\n---\na: b # c\n---\n\n---\nitems:\n- a: 1\n  b:\n  - c\n  - d\n- e: ~\n",
        "a:\nb: \nc: # nothing\n",
        "- - a\n  - b\n- c: d\n  e:\n    - f\n",
        "f:metadata:\n  f:labels:\n    .: {}\n    f:app: {}\n",
        "{\n  \"a\": [1, -2, 3.5, true, null],\n  \"b\": {\"c\": \"\\\"d\\\"\\n\"}\n}\n",
        "[\n  {\"a\":1},\n  {\"b\":[]}\n]",
        "url: http://a.example:80/x?y=z&w\ncommand: [sh, -c]\n",
        "a: x  \n  \nb: \"y\"   # c\n   # d\n",
        "80: x\ntrue: y\n",
        "a: x\r\nb:\r\n- y\r\n"
      })
  void whatManifestsConsistOfIsReadFast(String text) {
    assertThat(agrees(text)).isTrue();
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "a: 1\na: 2\n",
        "a: b\n  c\n",
        "a: |\n  b\n",
        "a: &x 1\nb: *x\n",
        "a: !!str 1\n",
        "a: \"b\n  c\"\n",
        "a: 'it''s'\n",
        "a: b: c\n",
        "a:\n    b: 1\n  c: 2\n",
        "a: [b\n  c]\n",
        "a: \u00e9\n",
        "a:\tb\n",
        "a: b\n...\n",
        "%YAML 1.2\n---\na: b\n",
        "a: \"\\u0041\"\n",
        "- a\nb: c\n",
        "<<: {a: b}\n"
      })
  void whatIsRareOrWrongIsLeftToTheLibrary(String text) {
    assertThat(agrees(text)).isFalse();
  }

  @Property(tries = 3000)
  void piecesPutTogetherAtRandomAreReadAsTheLibraryDoes(@ForAll long seed) {
    Random random = new Random(seed);
    StringBuilder text = new StringBuilder();
    int count = 1 + random.nextInt(14);
    for (int i = 0; i < count; i++) {
      text.append(PIECES.get(random.nextInt(PIECES.size())));
    }
    agrees(text.toString());
  }

  @Property(tries = 2000)
  void filesOfTheWorldWithFaultsAreReadAsTheLibraryDoes(@ForAll long seed) {
    Random random = new Random(seed);
    SourceFile file = CORPUS.get(random.nextInt(CORPUS.size()));
    StringBuilder text = new StringBuilder(new String(file.content(), StandardCharsets.UTF_8));
    text.setLength(Math.min(text.length(), 3000));
    int faults = 1 + random.nextInt(3);
    for (int i = 0; i < faults && !text.isEmpty(); i++) {
      int at = random.nextInt(text.length());
      switch (random.nextInt(3)) {
        case 0 -> text.deleteCharAt(at);
        case 1 -> text.insert(at, PIECES.get(random.nextInt(PIECES.size())));
        default -> text.setCharAt(at, text.charAt(random.nextInt(text.length())));
      }
    }
    agrees(new SourceFile(file.name(), text.toString().getBytes(StandardCharsets.UTF_8)));
  }
}
