// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.json.JsonObject;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
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
