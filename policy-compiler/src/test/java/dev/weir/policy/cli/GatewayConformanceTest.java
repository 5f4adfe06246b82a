// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.weir.policy.json.Json;
import dev.weir.policy.json.JsonObject;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import picocli.CommandLine;

/** What {@code weir route --cases} answers to the Gateway API's own suite. */
class GatewayConformanceTest {

  private static final Path DATA =
      Path.of("src", "test", "resources", "conformance", "gateway-api");
  private static final Path EXCEPTIONS = Path.of("..", "docs", "conformance.md");

  /** Answers of each folder: one run for all of its cases. */
  private static final Map<String, List<JsonObject>> ANSWERS = new HashMap<>();

  /**
   * A case, named by folder and place.
   *
   * @param folder of the suite
   * @param index of its line in the folder's run
   * @param question the case
   * @param weights whether it asks for shares
   * @param live what of its answer needs a running backend; empty for none
   */
  record Case(String folder, int index, JsonObject question, boolean weights, String live) {
    @Override
    public String toString() {
      JsonObject request = question.object("request");
      return "gateway-api/"
          + folder
          + "#"
          + index
          + " "
          + request.optionalText("method").orElse("")
          + " "
          + request.optionalText("host").orElse("")
          + request.optionalText("path").orElse("");
    }

    String id() {
      return "gateway-api/" + folder + "#" + index;
    }
  }

  static Stream<Case> cases() {
    try (Stream<Path> folders = Files.list(DATA)) {
      return folders
          .map(f -> f.getFileName().toString())
          .sorted()
          .flatMap(f -> of(f).stream())
          .toList()
          .stream();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static List<Case> of(String folder) {
    JsonObject file = JsonObject.parse(read(DATA.resolve(folder).resolve("cases.json")), folder);
    String live = file.optionalText("depends_on_live").orElse("");
    List<Case> cases = new ArrayList<>();
    file.objects("cases").forEach(q -> cases.add(new Case(folder, cases.size(), q, false, live)));
    file.objects("weights").forEach(q -> cases.add(new Case(folder, cases.size(), q, true, live)));
    return cases;
  }

  private static String read(Path path) {
    try {
      return Files.readString(path);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static List<JsonObject> run(String folder) {
    String lines =
        of(folder).stream()
            .map(c -> Json.line(c.question().toMap()))
            .collect(Collectors.joining("\n"));
    try {
      Path file = Files.createTempFile("weir-cases-", ".jsonl");
      try {
        Files.writeString(file, lines, StandardCharsets.UTF_8);
        StringWriter out = new StringWriter();
        CommandLine commandLine = PolicyTool.commandLine();
        commandLine.setOut(new PrintWriter(out));
        commandLine.setErr(new PrintWriter(out));
        String input = DATA.resolve(folder).resolve("input.yaml").toString();
        int exitCode = commandLine.execute("route", input, "--cases", file.toString());
        assertThat(exitCode).as(out.toString()).isEqualTo(ExitCodes.OK);
        return out.toString().lines().map(line -> JsonObject.parse(line, "answer")).toList();
      } finally {
        Files.delete(file);
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("cases")
  void routes(Case asked) {
    JsonObject answer = ANSWERS.computeIfAbsent(asked.folder(), f -> run(f)).get(asked.index());
    if (!exceptions().contains(asked.id())) {
      check(asked, answer);
      return;
    }
    boolean holds = true;
    try {
      check(asked, answer);
    } catch (AssertionError e) {
      holds = false;
    }
    assertThat(holds).as(asked.id() + " holds: strike it from docs/conformance.md").isFalse();
  }

  @Test
  void atMostTwoPercentOfTheCasesAreExceptionsAndEachIsACase() {
    List<String> all = cases().map(Case::id).toList();
    assertThat(all).hasSizeGreaterThanOrEqualTo(208).containsAll(exceptions());
    assertThat(exceptions().size()).isLessThanOrEqualTo(all.size() * 2 / 100);
  }

  private static Set<String> exceptions() {
    return Pattern.compile("(?m)^\\| `(gateway-api/[^`]+)` \\|")
        .matcher(read(EXCEPTIONS))
        .results()
        .map(r -> r.group(1))
        .collect(Collectors.toSet());
  }

  private static void check(Case asked, JsonObject answer) {
    assertThat(answer.optionalText("error")).isEmpty();
    if (asked.weights()) {
      weights(asked.question(), answer);
      return;
    }
    JsonObject expect = asked.question().object("expect");
    List<Integer> statuses = numbers(expect, "status");
    if (!asked.live().isEmpty() && statuses.equals(List.of(504))) {
      // Only time can tell; offline it is known that there is a limit, and which.
      assertThat(answer.has("request_timeout_ms") || answer.has("backend_timeout_ms")).isTrue();
      return;
    }
    if (!statuses.isEmpty()) {
      assertThat(statuses).contains(answer.integer("status", 100, 599));
    }
    Optional<Integer> grpc = expect.optionalInteger("grpc_status_number", 0, 16);
    grpc.ifPresent(
        number -> {
          assertThat(answer.integer("grpc_status_number", 0, 16)).isEqualTo(number);
          assertThat(answer.text("grpc_status")).isEqualTo(expect.text("grpc_status"));
        });
    boolean answered =
        statuses.contains(200) || statuses.contains(204) || grpc.equals(Optional.of(0));
    if (answered) {
      backend(asked, expect, answer);
    }
    expect.optionalObject("redirect").ifPresent(r -> redirect(r, asked, answer));
    Map<String, String> response = lower(answer.textMap("response_headers"));
    lower(expect.textMap("response_headers"))
        .forEach((k, v) -> assertThat(response).containsEntry(k, v));
    for (String absent : expect.texts("response_headers_absent")) {
      assertThat(response).doesNotContainKey(absent.toLowerCase(Locale.ROOT));
    }
    mirrors(expect, answer);
  }

  private static List<Integer> numbers(JsonObject object, String key) {
    List<Integer> numbers = new ArrayList<>();
    if (object.toMap().get(key) instanceof List<?> list) {
      list.forEach(n -> numbers.add(((Number) n).intValue()));
    }
    return numbers;
  }

  /** The answering pod belongs to a workload that the chosen Service selects. */
  private static void backend(Case asked, JsonObject expect, JsonObject answer) {
    List<JsonObject> backends = answer.objects("backends");
    Optional<String> expected = expect.optionalText("backend");
    boolean slicesAreFilledLater = asked.folder().equals("httproute-service-types");
    if (expected.isPresent() && !slicesAreFilledLater) {
      assertThat(backends).isNotEmpty();
      for (JsonObject backend : backends) {
        assertThat(backend.texts("workloads"))
            .isNotEmpty()
            .allMatch(w -> w.substring(w.indexOf('/') + 1).startsWith(expected.get()));
      }
    }
    expect
        .optionalText("namespace")
        .ifPresent(
            n -> assertThat(backends).allMatch(b -> b.text("namespace").equals(n)).isNotEmpty());
    Optional<JsonObject> sent = expect.optionalObject("backend_request");
    if (sent.isPresent()) {
      JsonObject got = answer.object("backend_request");
      for (String key : List.of("path", "host", "method")) {
        sent.get()
            .optionalText(key)
            .ifPresent(v -> assertThat(got.optionalText(key)).as(key).contains(v));
      }
      Map<String, String> headers = lower(got.textMap("headers"));
      lower(sent.get().textMap("headers"))
          .forEach((k, v) -> assertThat(headers).containsEntry(k, v));
      for (String absent : sent.get().texts("headers_absent")) {
        assertThat(headers).doesNotContainKey(absent.toLowerCase(Locale.ROOT));
      }
    }
  }

  private static Map<String, String> lower(Map<String, String> headers) {
    Map<String, String> result = new TreeMap<>();
    headers.forEach((k, v) -> result.put(k.toLowerCase(Locale.ROOT), v));
    return result;
  }

  private static void redirect(JsonObject expected, Case asked, JsonObject answer) {
    JsonObject found = answer.object("redirect");
    for (String key : List.of("scheme", "host", "path")) {
      expected
          .optionalText(key)
          .ifPresent(v -> assertThat(found.optionalText(key)).as(key).contains(v));
    }
    assertThat(found.optionalText("port")).isEqualTo(expected.optionalText("port"));
    JsonObject from = asked.question().object("from");
    if (!expected.has("scheme")) {
      assertThat(found.text("scheme")).isEqualTo(from.optionalText("scheme").orElse("http"));
    }
    if (!expected.has("path")) {
      String path = asked.question().object("request").text("path");
      assertThat(path).startsWith(found.text("path"));
    }
  }

  private static void mirrors(JsonObject expect, JsonObject answer) {
    List<String> expected =
        expect.objects("mirrored_to").stream()
            .map(
                m ->
                    m.text("namespace")
                        + "/"
                        + m.text("backend")
                        + " "
                        + m.optionalInteger("percent", 0, 100).orElse(100))
            .toList();
    List<String> found =
        answer.objects("mirrored_to").stream()
            .map(
                m ->
                    m.text("namespace") + "/" + m.text("name") + " " + m.integer("percent", 0, 100))
            .toList();
    assertThat(found).containsExactlyInAnyOrderElementsOf(expected);
  }

  private static void weights(JsonObject question, JsonObject answer) {
    Map<String, Double> shares = new HashMap<>();
    for (JsonObject backend : answer.objects("backends")) {
      String workload = backend.texts("workloads").getFirst();
      shares.merge(
          workload.substring(workload.indexOf('/') + 1, workload.indexOf('[')),
          ((Number) Objects.requireNonNull(backend.toMap().get("share"))).doubleValue(),
          Double::sum);
    }
    question
        .object("weights")
        .toMap()
        .forEach(
            (name, weight) ->
                assertThat(shares.getOrDefault(name, 0.0))
                    .as(name)
                    .isCloseTo(((Number) weight).doubleValue(), within(0.001)));
  }
}
