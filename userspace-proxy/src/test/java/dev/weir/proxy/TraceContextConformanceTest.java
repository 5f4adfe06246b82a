// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.json.JsonObject;
import dev.weir.policy.plan.Telemetry;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * The cases of the W3C's suite for Trace Context, asked of the proxy over sockets: what its backend
 * gets is the outgoing call. Beside them, what the cases leave out.
 */
@Timeout(30)
final class TraceContextConformanceTest {

  private static final Path DATA =
      Path.of("..", "policy-compiler", "src", "test", "resources", "conformance", "trace-context");

  private static final Pattern VALID =
      Pattern.compile("00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}");

  private static final String TRACE = "12345678901234567890123456789012";
  private static final String PARENT = "00-" + TRACE + "-1234567890123456-01";

  private static RawBackend backend;
  private static Mesh mesh;

  @BeforeAll
  static void start() throws Exception {
    backend =
        new RawBackend(
            connection -> {
              for (String head = connection.head(); !head.isEmpty(); head = connection.head()) {
                connection.respond("", head);
              }
            });
    mesh = new Mesh();
    mesh.serve(backend.port());
  }

  @AfterAll
  static void stop() throws Exception {
    mesh.close();
    backend.close();
  }

  record Case(String name, JsonObject question) {
    @Override
    public String toString() {
      return "trace-context/" + name;
    }
  }

  private static Stream<Case> cases(String folder) {
    try (Stream<Path> files = Files.list(DATA.resolve(folder))) {
      List<Case> cases = new ArrayList<>();
      for (Path file : files.sorted().toList()) {
        String name = folder + "/" + file.getFileName();
        cases.add(new Case(name, JsonObject.parse(Files.readString(file), name)));
      }
      assertThat(cases).isNotEmpty();
      return cases.stream();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  static Stream<Case> propagation() {
    return cases("propagation");
  }

  static Stream<Case> validity() {
    return cases("validity");
  }

  /** What the backend got of the two headers. */
  private record Sent(String parent, Optional<String> state) {
    String traceId() {
      return parent.substring(3, 35);
    }

    String parentId() {
      return parent.substring(36, 52);
    }

    int flags() {
      return Integer.parseInt(parent.substring(53), 16);
    }

    /** Members by their key, in their order. */
    Map<String, String> members() {
      Map<String, String> members = new LinkedHashMap<>();
      for (String member : state.orElse("").split(",", -1)) {
        String[] parts = member.strip().split("=", 2);
        if (parts.length == 2) {
          members.putIfAbsent(parts[0], parts[1]);
        }
      }
      return members;
    }
  }

  private static Sent ask(List<?> headers) throws IOException {
    StringBuilder text = new StringBuilder();
    for (Object header : headers) {
      List<?> pair = (List<?>) header;
      text.append(pair.get(0)).append(": ").append(pair.get(1)).append("\r\n");
    }
    return ask(text.toString());
  }

  private static Sent ask(String headers) throws IOException {
    try (Client client = mesh.client()) {
      Client.Response response = client.get("/", headers);
      assertThat(response.status()).isEqualTo(200);
      List<String> parents = values(response.text(), "traceparent");
      assertThat(parents).singleElement().asString().matches(VALID);
      List<String> states = values(response.text(), "tracestate");
      assertThat(states.size()).isLessThanOrEqualTo(1);
      return new Sent(parents.getFirst(), states.stream().findFirst());
    }
  }

  private static List<String> values(String head, String name) {
    return head.lines()
        .filter(line -> line.toLowerCase(Locale.ROOT).startsWith(name + ":"))
        .map(line -> line.substring(name.length() + 1).strip())
        .toList();
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource
  void propagation(Case asked) throws IOException {
    for (Object each : (List<?>) value(asked.question().toMap(), "steps")) {
      Map<?, ?> step = (Map<?, ?>) each;
      List<?> send = (List<?>) value(step, "send");
      List<Sent> calls = new ArrayList<>();
      int wanted = step.containsKey("calls") ? ((Number) value(step, "calls")).intValue() : 1;
      for (int i = 0; i < wanted; i++) {
        calls.add(ask(send));
      }
      for (Map.Entry<?, ?> expected : ((Map<?, ?>) value(step, "expect")).entrySet()) {
        for (Sent sent : calls) {
          check(String.valueOf(expected.getKey()), expected.getValue(), sent, calls);
        }
      }
    }
  }

  private static Object value(Map<?, ?> object, String key) {
    Object found = object.get(key);
    if (found == null) {
      throw new IllegalArgumentException(key + " is missing");
    }
    return found;
  }

  private static void check(String what, Object expected, Sent sent, List<Sent> calls) {
    switch (what) {
      case "trace_id" -> assertThat(sent.traceId()).isEqualTo(expected);
      case "trace_id_not" -> assertThat((List<?>) expected).noneMatch(sent.traceId()::equals);
      case "parent_id_not" -> assertThat((List<?>) expected).noneMatch(sent.parentId()::equals);
      case "trace_flags_set" -> {
        for (Object bits : (List<?>) expected) {
          assertThat(sent.flags() & ((Number) bits).intValue()).isNotZero();
        }
      }
      case "tracestate" -> {
        for (Map.Entry<?, ?> member : ((Map<?, ?>) expected).entrySet()) {
          assertThat(sent.members())
              .containsEntry(String.valueOf(member.getKey()), String.valueOf(member.getValue()));
        }
      }
      case "tracestate_absent" ->
          assertThat((List<?>) expected).noneMatch(sent.members()::containsKey);
      case "tracestate_contains_one_of" -> {
        for (Object any : (List<?>) expected) {
          assertThat((List<?>) any)
              .anyMatch(member -> sent.state().orElse("").contains(String.valueOf(member)));
        }
      }
      case "tracestate_order" -> {
        int at = -1;
        for (Object member : (List<?>) expected) {
          int next = sent.state().orElse("").indexOf(String.valueOf(member));
          assertThat(next).isGreaterThan(at);
          at = next;
        }
      }
      case "same_trace_id_in_all" ->
          assertThat(calls.stream().map(Sent::traceId).distinct()).hasSize(1);
      case "different_parent_ids" ->
          assertThat(calls.stream().map(Sent::parentId).distinct())
              .hasSize(((Number) expected).intValue());
      default -> throw new IllegalArgumentException("a case expects what nobody checks: " + what);
    }
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource
  void validity(Case asked) throws IOException {
    Map<String, Object> question = asked.question().toMap();
    List<?> headers = (List<?>) value(question, "headers");
    Sent sent = ask(headers);
    boolean valid = (Boolean) value(question, "is_traceparent_valid");
    String given = "";
    for (Object header : headers) {
      if ("traceparent".equals(((List<?>) header).get(0))) {
        given = String.valueOf(((List<?>) header).get(1));
      }
    }
    assertThat(given.contains(sent.traceId())).isEqualTo(valid);
    Object state = question.get("is_tracestate_valid");
    if (state != null) {
      assertThat(sent.state().isPresent()).isEqualTo(state);
    }
  }

  // ---- what the cases leave out

  @Test
  void aRequestWithoutATraceBeginsOneThatIsSampledAndRandom() throws IOException {
    Set<String> traces = new HashSet<>();
    for (int i = 0; i < 20; i++) {
      Sent sent = ask("");
      traces.add(sent.traceId());
      assertThat(sent.flags()).isEqualTo(3);
      assertThat(sent.state()).isEmpty();
    }
    assertThat(traces).hasSize(20);
  }

  @Test
  void aStateWithoutATraceBelongsToNone() throws IOException {
    assertThat(ask("tracestate: foo=1\r\n").state()).isEmpty();
  }

  @Test
  void aStateOfATraceThatCannotBeReadIsDropped() throws IOException {
    Sent sent = ask("traceparent: 00-" + TRACE + "-0000000000000000-01\r\ntracestate: foo=1\r\n");
    assertThat(sent.traceId()).isNotEqualTo(TRACE);
    assertThat(sent.state()).isEmpty();
  }

  @Test
  void twoParentsAreNone() throws IOException {
    assertThat(ask(("traceparent: " + PARENT + "\r\n").repeat(2)).traceId()).isNotEqualTo(TRACE);
  }

  @ParameterizedTest
  @ValueSource(strings = {"trace-parent", "trace.parent", "xtraceparent"})
  void otherNamesAreOtherHeaders(String name) throws IOException {
    assertThat(ask(name + ": " + PARENT + "\r\n").traceId()).isNotEqualTo(TRACE);
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "\t", " \t "})
  void blanksAroundAParentAreNotPartOfIt(String blank) throws IOException {
    assertThat(ask("traceparent:" + blank + PARENT + blank + "\r\n").traceId()).isEqualTo(TRACE);
  }

  @Test
  void flagsThatVersionZeroDoesNotKnowAreNotPassedOn() throws IOException {
    assertThat(ask("traceparent: 00-" + TRACE + "-1234567890123456-ff\r\n").flags()).isEqualTo(3);
    assertThat(ask("traceparent: 00-" + TRACE + "-1234567890123456-fc\r\n").flags()).isZero();
  }

  @ParameterizedTest
  @ValueSource(strings = {"cc-T-1234567890123456-01", "cc-T-1234567890123456-01-what-may-come"})
  void aLaterVersionIsReadAsFarAsItIsKnown(String parent) throws IOException {
    Sent sent = ask("traceparent: " + parent.replace("T", TRACE) + "\r\n");
    assertThat(sent.traceId()).isEqualTo(TRACE);
    assertThat(sent.flags()).isEqualTo(1);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "cc-T-1234567890123456-01.what",
        "ff-T-1234567890123456-01",
        "00-00000000000000000000000000000000-1234567890123456-01",
        "00-T-0000000000000000-01",
        "CC-T-1234567890123456-01",
        "00-ABCDEF78901234567890123456789012-1234567890123456-01",
        "00_T-1234567890123456-01",
        "00-T-1234567890123456-0",
        ""
      })
  void whatCannotBeReadBeginsAnotherTrace(String parent) throws IOException {
    Sent sent = ask("traceparent: " + parent.replace("T", TRACE) + "\r\ntracestate: a=1\r\n");
    assertThat(parent).doesNotContain(sent.traceId());
    assertThat(sent.state()).isEmpty();
  }

  @Test
  void theMeshSaysWhetherTracesBeginHereAndAreSampled() throws Exception {
    String unreadable = "traceparent: 00-x\r\ntracestate: a=1\r\n";
    try {
      serve(new Telemetry.Tracing(true, 0));
      assertThat(ask("").flags()).isEqualTo(2);
      assertThat(ask(unreadable).flags()).isEqualTo(2);
      assertThat(ask("traceparent: " + PARENT + "\r\n").flags()).isEqualTo(1);
      serve(new Telemetry.Tracing(false, 100));
      try (Client client = mesh.client()) {
        String head = client.get("/", "tracestate: a=1\r\n").text();
        assertThat(values(head, "traceparent")).isEmpty();
        assertThat(values(head, "tracestate")).isEmpty();
      }
      assertThat(ask(unreadable).flags()).isEqualTo(3);
      assertThat(ask("traceparent: " + PARENT + "\r\n").traceId()).isEqualTo(TRACE);
    } finally {
      serve(Telemetry.DEFAULT.tracing());
    }
  }

  private static void serve(Telemetry.Tracing tracing) throws Exception {
    mesh.telemetry = new Telemetry(Telemetry.AccessLog.OFF, tracing);
    mesh.serve(backend.port());
  }

  private static String members(int count) {
    return String.join(",", IntStream.range(0, count).mapToObj(i -> "k" + i + "=" + i).toList());
  }

  @Test
  void thirtyTwoMembersAreThereAndOneMoreIsTooMany() throws IOException {
    String parent = "traceparent: " + PARENT + "\r\ntracestate: ";
    assertThat(ask(parent + members(32) + "\r\n").members()).hasSize(32);
    assertThat(ask(parent + members(33) + "\r\n").state()).isEmpty();
    assertThat(ask(parent + ",,a=1, ,b=2,\r\n").members()).containsOnlyKeys("a", "b");
    assertThat(ask(parent + "\r\n").state()).isEmpty();
  }

  @Test
  void aValueIsOf256CharactersAtMost() throws IOException {
    String parent = "traceparent: " + PARENT + "\r\ntracestate: a=";
    assertThat(ask(parent + "v".repeat(256) + "\r\n").state()).isPresent();
    assertThat(ask(parent + "v".repeat(257) + "\r\n").state()).isEmpty();
    assertThat(ask(parent + "\u00e9\r\n").state()).isEmpty();
  }

  @Test
  void nobodyCanHaveTheTraceRemovedAsAHeaderOfOneHop() throws IOException {
    assertThat(ask("Connection: traceparent\r\ntraceparent: " + PARENT + "\r\n").traceId())
        .isEqualTo(TRACE);
  }
}
