// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.json.Json;
import dev.weir.policy.json.JsonObject;
import dev.weir.policy.rbac.StringMatch;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import picocli.CommandLine;

/** The commands' answers to the questions of Istio's suites about AuthorizationPolicy. */
class AuthorizationConformanceTest {

  private static final Path DATA =
      Path.of("src", "test", "resources", "conformance", "authorization");
  private static final Path EXCEPTIONS = Path.of("..", "docs", "conformance.md");

  private record Answer(int exitCode, String out, String err) {}

  private static Answer run(String... arguments) {
    StringWriter out = new StringWriter();
    StringWriter err = new StringWriter();
    CommandLine commandLine = PolicyTool.commandLine();
    commandLine.setOut(new PrintWriter(out));
    commandLine.setErr(new PrintWriter(err));
    return new Answer(commandLine.execute(arguments), out.toString(), err.toString());
  }

  static Stream<String> validation() {
    return cases("validation");
  }

  static Stream<String> connections() {
    return cases("connections");
  }

  static Stream<String> matchers() {
    return cases("matchers");
  }

  static Stream<String> requests() {
    return cases("requests");
  }

  private static Stream<String> cases(String folder) {
    try (Stream<Path> paths = Files.list(DATA.resolve(folder))) {
      return paths
          .map(p -> "authorization/" + folder + "/" + p.getFileName().toString())
          .sorted()
          .toList()
          .stream();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static Path place(String name) {
    return DATA.resolveSibling(name);
  }

  private static String read(Path path) {
    try {
      return Files.readString(path);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource
  void validation(String name) {
    Path folder = place(name);
    check(
        name,
        () -> {
          JsonObject expected = JsonObject.parse(read(folder.resolve("expected.json")), name);
          Answer answer = run("check", folder.resolve("policy.yaml").toString());
          assertThat(answer.exitCode())
              .as(answer.out() + answer.err())
              .isEqualTo(
                  expected.optionalFlag("valid").orElseThrow() ? ExitCodes.OK : ExitCodes.FINDINGS);
          assertThat(answer.err() + answer.out())
              .as("an error has a place")
              .matches(
                  expected.optionalFlag("valid").orElseThrow()
                      ? "(?s).*"
                      : "(?s).*policy.yaml:[0-9]+:[0-9]+: [a-zA-Z].*");
          if (expected.optionalFlag("warning").orElse(false)) {
            assertThat(answer.out() + answer.err()).contains("TCP traffic that is not HTTP");
          }
        });
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource
  void matchers(String name) {
    check(
        name,
        () -> {
          JsonObject question = JsonObject.parse(read(place(name)), name);
          assertThat(StringMatch.of(question.text("pattern")).matches(question.text("value")))
              .isEqualTo(question.optionalFlag("matches").orElseThrow());
        });
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource
  void connections(String name, @TempDir Path folder) {
    check(
        name,
        () -> {
          JsonObject file = JsonObject.parse(read(place(name)), name);
          for (JsonObject policy : file.objects("policies")) {
            write(folder.resolve("policy.json"), Json.line(policy.object("policy").toMap()));
            ask(folder, policy.objects("connections"), "matches");
          }
        });
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource
  void requests(String name) {
    Path folder = place(name);
    check(
        name,
        () -> {
          JsonObject file = JsonObject.parse(read(folder.resolve("cases.json")), name);
          ask(
              folder.resolve("policies.yaml"),
              file.objects("cases"),
              "allow",
              "--root-namespace",
              file.text("root_namespace"),
              "--trust-domain",
              file.text("trust_domain"));
        });
  }

  /** Asks all questions in one run, and compares each answer with the question's own. */
  private static void ask(
      Path policies, List<JsonObject> questions, String expected, String... options) {
    try {
      Path cases = Files.createTempFile("cases", ".jsonl");
      try {
        write(
            cases,
            questions.stream().map(q -> Json.line(q.toMap())).collect(Collectors.joining("\n")));
        List<String> arguments = new ArrayList<>(List.of("explain", policies.toString()));
        arguments.addAll(List.of("--cases", cases.toString()));
        arguments.addAll(List.of(options));
        Answer answer = run(arguments.toArray(String[]::new));
        assertThat(answer.exitCode()).as(answer.out() + answer.err()).isEqualTo(ExitCodes.OK);
        List<String> lines = answer.out().lines().toList();
        assertThat(lines).hasSameSizeAs(questions);
        for (int i = 0; i < lines.size(); i++) {
          assertThat(JsonObject.parse(lines.get(i), "answer").optionalFlag("allow"))
              .as(Json.line(questions.get(i).toMap()) + "\n" + lines.get(i))
              .isEqualTo(questions.get(i).optionalFlag(expected));
        }
      } finally {
        Files.deleteIfExists(cases);
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static void write(Path file, String text) {
    try {
      Files.writeString(file, text);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  @Test
  void atMostTwoPercentOfTheCasesAreExceptionsAndEachIsACase() {
    List<String> all =
        Stream.of("connections", "matchers", "requests", "validation")
            .flatMap(AuthorizationConformanceTest::cases)
            .toList();
    assertThat(all).hasSize(66).containsAll(exceptions());
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
    return Pattern.compile("(?m)^\\| `(authorization/[^`]+)` \\|")
        .matcher(read(EXCEPTIONS))
        .results()
        .map(r -> r.group(1))
        .collect(Collectors.toSet());
  }
}
