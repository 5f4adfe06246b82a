// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.Address;
import dev.weir.policy.source.Diagnostics;
import dev.weir.policy.source.DocumentReader;
import dev.weir.policy.source.Node;
import dev.weir.policy.source.Node.Entry;
import dev.weir.policy.source.Node.Mapping;
import dev.weir.policy.source.Node.Scalar;
import dev.weir.policy.source.Node.Sequence;
import dev.weir.policy.source.SourceFile;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.NavigableSet;
import java.util.Objects;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import picocli.CommandLine;

/** The commands' answers to other projects' questions, compared by meaning. */
class ConformanceTest {

  private static final Path DATA = Path.of("src", "test", "resources", "conformance");
  private static final Path EXCEPTIONS = Path.of("..", "docs", "conformance.md");
  private static final Pattern RANGE = Pattern.compile("([0-9.]+)-([0-9.]+)(\\[External])?");
  private static final List<String> PROTOCOLS = List.of("TCP", "UDP", "SCTP");

  /** What each invalid input is refused for: file, line, column and field. */
  private static final Map<String, String> FAULTS =
      Map.of(
          "bad_netpols-subdir1", "netpols.yaml:[0-9]+:[0-9]+: spec.*cidr: ",
          "bad_netpols-subdir3", "netpols.yaml:[0-9]+:[0-9]+: spec.*: has ipBlock beside",
          "bad_netpols-subdir4", "netpols.yaml:[0-9]+:[0-9]+: spec.*: has neither podSelector",
          "bad_netpols-subdir6", "netpols.yaml:[0-9]+:[0-9]+: spec.*: an ipBlock has no port named",
          "malformed-pod-example-2", "pod_list.json:[0-9]+:[0-9]+: .*ports: is a mapping",
          "malformed-pod-example-4", "pods.json:[0-9]+:[0-9]+: kind: is missing",
          "malformed-pod-example-5", "pod.yaml:12:1: not valid YAML",
          "np_bad_path_test_1", "netpols.yaml:[0-9]+:[0-9]+: metadata.name: .* is already at",
          "np_bad_path_test_2", "netpols.yaml:[0-9]+:[0-9]+: spec.*endPort: ");

  private record Answer(int exitCode, String text) {}

  private static Answer run(String... arguments) {
    StringWriter out = new StringWriter();
    CommandLine commandLine = PolicyTool.commandLine();
    commandLine.setOut(new PrintWriter(out));
    commandLine.setErr(new PrintWriter(out));
    return new Answer(commandLine.execute(arguments), out.toString());
  }

  static Stream<String> allowed() {
    return cases("allowed");
  }

  static Stream<String> diff() {
    return cases("diff");
  }

  static Stream<String> invalid() {
    return cases("invalid");
  }

  private static Stream<String> cases(String folder) {
    try (Stream<Path> paths = Files.list(DATA.resolve("networkpolicy").resolve(folder))) {
      return paths
          .map(p -> "networkpolicy/" + folder + "/" + p.getFileName())
          .sorted()
          .toList()
          .stream();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource
  void allowed(String name) throws Exception {
    Path folder = DATA.resolve(name);
    check(
        name,
        () -> {
          Answer answer = run("allowed", folder.resolve("input").toString(), "-o", "json");
          assertThat(answer.exitCode()).as(answer.text()).isEqualTo(ExitCodes.OK);
          List<Map<String, String>> actual = rows(answer.text());
          List<Map<String, String>> expected = rows(read(folder));
          assertThat(expanded(actual, List.of("conn"), expected))
              .isEqualTo(expanded(expected, List.of("conn"), actual));
        });
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource
  void diff(String name) throws Exception {
    Path folder = DATA.resolve(name);
    check(
        name,
        () -> {
          Answer answer =
              run(
                  "diff",
                  folder.resolve("old").toString(),
                  folder.resolve("new").toString(),
                  "-o",
                  "json");
          List<Map<String, String>> actual = rows(answer.text());
          List<Map<String, String>> expected = rows(read(folder));
          List<String> fields = List.of("change", "old", "new", "note");
          assertThat(expanded(actual, fields, expected))
              .isEqualTo(expanded(expected, fields, actual));
          assertThat(answer.exitCode()).isEqualTo(exitCode(expected));
        });
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource
  void invalid(String name) throws Exception {
    Path folder = DATA.resolve(name);
    check(
        name,
        () -> {
          Answer answer = run("check", folder.resolve("input").toString());
          assertThat(answer.exitCode()).as(answer.text()).isEqualTo(ExitCodes.FINDINGS);
          assertThat(answer.text())
              .containsPattern(
                  "(?m)^error: .*" + Objects.requireNonNull(FAULTS.get(name.split("/", -1)[2])));
        });
  }

  @Test
  void atMostTwoPercentOfTheCasesAreExceptionsAndEachIsACase() {
    List<String> all =
        Stream.of("allowed", "diff", "invalid").flatMap(ConformanceTest::cases).toList();
    assertThat(all).hasSize(47).containsAll(exceptions());
    assertThat(exceptions().size()).isLessThanOrEqualTo(all.size() * 2 / 100);
  }

  /** A case holds, or is written down as one that does not; then it must really not. */
  private static void check(String name, Runnable assertions) {
    if (!exceptions().contains(name)) {
      assertions.run();
      return;
    }
    boolean holds = true;
    try {
      assertions.run();
    } catch (AssertionError e) {
      holds = false;
    }
    assertThat(holds).as(name + " holds: strike it from docs/conformance.md").isFalse();
  }

  private static Set<String> exceptions() {
    try {
      Matcher matcher =
          Pattern.compile("(?m)^\\| `(networkpolicy/[^`]+)` \\|")
              .matcher(Files.readString(EXCEPTIONS));
      return matcher.results().map(r -> r.group(1)).collect(Collectors.toSet());
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static String read(Path folder) {
    try {
      return Files.readString(folder.resolve("expected.json"));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static List<Map<String, String>> rows(String json) {
    Diagnostics diagnostics = new Diagnostics();
    List<Node> documents =
        DocumentReader.read(
            new SourceFile("rows.json", json.getBytes(StandardCharsets.UTF_8)), diagnostics);
    assertThat(diagnostics.errors()).as(json).isEmpty();
    List<Map<String, String>> rows = new ArrayList<>();
    for (Node item : ((Sequence) documents.getFirst()).items()) {
      Map<String, String> row = new LinkedHashMap<>();
      for (Entry entry : ((Mapping) item).entries()) {
        row.put(entry.key().text(), ((Scalar) entry.value()).text());
      }
      rows.add(row);
    }
    return rows;
  }

  private static String text(Map<String, String> row, String field) {
    return Objects.requireNonNull(row.get(field), field + " of " + row);
  }

  private static int exitCode(List<Map<String, String>> rows) {
    boolean widened = false;
    boolean narrowed = false;
    for (Map<String, String> row : rows) {
      BitSet closed = connections(text(row, "old"));
      BitSet opened = connections(text(row, "new"));
      BitSet old = (BitSet) closed.clone();
      closed.andNot(opened);
      opened.andNot(old);
      widened |= !opened.isEmpty();
      narrowed |= !closed.isEmpty();
    }
    return widened
        ? narrowed ? ExitCodes.WIDENED_AND_NARROWED : ExitCodes.WIDENED
        : narrowed ? ExitCodes.NARROWED : ExitCodes.OK;
  }

  /** Rows by source and destination, addresses cut where either list cuts them. */
  private static Map<String, Object> expanded(
      List<Map<String, String>> rows, List<String> fields, List<Map<String, String>> others) {
    TreeSet<Long> cuts = new TreeSet<>();
    for (List<Map<String, String>> list : List.of(rows, others)) {
      for (Map<String, String> row : list) {
        for (String peer : List.of(text(row, "src"), text(row, "dst"))) {
          Matcher range = RANGE.matcher(peer);
          if (range.matches()) {
            cuts.add(number(range.group(1)));
            cuts.add(number(range.group(2)) + 1);
          }
        }
      }
    }
    Map<String, Object> result = new TreeMap<>();
    for (Map<String, String> row : rows) {
      for (String source : pieces(text(row, "src"), cuts)) {
        for (String destination : pieces(text(row, "dst"), cuts)) {
          for (String field : fields) {
            String key = field + " " + source + " -> " + destination;
            if (Set.of("conn", "old", "new").contains(field)) {
              ((BitSet) result.computeIfAbsent(key, k -> new BitSet()))
                  .or(connections(text(row, field)));
            } else {
              result.put(key, text(row, field));
            }
          }
        }
      }
    }
    return new HashMap<>(result);
  }

  private static List<String> pieces(String peer, NavigableSet<Long> cuts) {
    Matcher range = RANGE.matcher(peer);
    if (!range.matches()) {
      return List.of(peer);
    }
    return cuts.subSet(number(range.group(1)), number(range.group(2)) + 1).stream()
        .map(String::valueOf)
        .toList();
  }

  private static long number(String address) {
    return Address.parse(address).orElseThrow().low() & 0xffffffffL;
  }

  private static BitSet connections(String text) {
    BitSet result = new BitSet();
    if (text.equals("All Connections")) {
      for (int p = 0; p < PROTOCOLS.size(); p++) {
        result.set((p << 16) + 1, (p << 16) + 65536);
      }
    } else if (!text.equals("No Connections")) {
      int protocol = -1;
      for (String part : text.split("[ ,]", -1)) {
        if (PROTOCOLS.contains(part)) {
          protocol = PROTOCOLS.indexOf(part);
        } else {
          String[] ends = part.split("-", -1);
          int first = Integer.parseInt(ends[0]);
          int last = Integer.parseInt(ends[ends.length - 1]);
          result.set((protocol << 16) + first, (protocol << 16) + last + 1);
        }
      }
    }
    return result;
  }
}
