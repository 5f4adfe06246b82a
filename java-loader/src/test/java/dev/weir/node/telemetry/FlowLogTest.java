// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.telemetry;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.node.kernel.Event;
import dev.weir.node.kernel.Hook;
import dev.weir.node.kernel.Reason;
import dev.weir.node.kernel.Snapshot;
import dev.weir.node.kernel.Snapshot.Pair;
import dev.weir.node.kernel.Snapshot.Refusal;
import dev.weir.policy.answer.Flow;
import dev.weir.policy.json.JsonObject;
import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.Verdict.Decision;
import java.time.Clock;
import java.time.Instant;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import net.jqwik.api.constraints.Size;
import org.junit.jupiter.api.Test;

final class FlowLogTest {

  private static final int CART = 16;
  private static final int DB = 17;
  private static final int RULE = 1;
  private static final Instant NOON = Instant.parse("2026-11-21T12:00:00Z");

  private final FlowLog log = new FlowLog(Clock.fixed(NOON, ZoneOffset.UTC));
  private final Names names = KernelMetricsTest.names();

  private static Pair pair(Decision verdict, long opened, long closed) {
    return new Pair(
        CART,
        DB,
        5433,
        Protocol.TCP,
        verdict,
        false,
        opened,
        closed,
        closed * 100,
        closed * 2000,
        closed,
        closed * 60,
        closed,
        closed * 5_000_000,
        opened * 150,
        0,
        List.of(opened));
  }

  private static Refusal refusal(boolean audited, long count) {
    return new Refusal(
        CART, DB, 5433, Protocol.TCP, RULE, Reason.DEFAULT_DENY, audited, false, count);
  }

  private static Event event(boolean audited) {
    return new Event(
        0,
        7,
        1,
        Address.LOOPBACK4,
        5433,
        Protocol.TCP,
        42,
        CART,
        DB,
        RULE,
        Hook.CONNECT,
        Reason.DEFAULT_DENY,
        audited,
        "x",
        0);
  }

  private List<String> lines(List<Pair> pairs, List<Refusal> refusals) {
    return log.lines(new Snapshot(pairs, refusals, Map.of()), names, 7);
  }

  @Test
  void whatWasMadeIsOneLineWithWhatItCarried() {
    log.begin(new Snapshot(List.of(pair(Decision.ALLOW, 5, 4)), List.of(), Map.of()));
    assertThat(lines(List.of(pair(Decision.ALLOW, 8, 6)), List.of()))
        .containsExactly(
            "{\"time\":\"2026-11-21T12:00:00Z\",\"source\":\"shop/cart-v1\","
                + "\"destination\":\"shop/db\",\"direction\":\"egress\",\"protocol\":\"tcp\","
                + "\"port\":5433,\"verdict\":\"allow\",\"generation\":7,\"count\":3,"
                + "\"connect_us\":150,\"closed\":2,\"bytes_sent\":200,\"bytes_received\":4000,"
                + "\"retransmits\":2,\"rtt_us\":60}");
  }

  @Test
  void whereNothingHappenedThereIsNoLine() {
    log.begin(new Snapshot(List.of(pair(Decision.ALLOW, 5, 4)), List.of(), Map.of()));
    assertThat(lines(List.of(pair(Decision.ALLOW, 5, 4)), List.of(refusal(false, 0)))).isEmpty();
  }

  @Test
  void aRefusalIsALineWithRuleAddressAndGeneration() {
    log.event(event(false));
    log.event(event(false));
    assertThat(lines(List.of(), List.of(refusal(false, 2))))
        .containsExactly(
            "{\"time\":\"2026-11-21T12:00:00Z\",\"source\":\"shop/cart-v1\","
                + "\"destination\":\"shop/db\",\"address\":\"127.0.0.1\",\"direction\":\"egress\","
                + "\"protocol\":\"tcp\",\"port\":5433,\"verdict\":\"refuse\","
                + "\"reason\":\"default_deny\","
                + "\"rule\":\"NetworkPolicy shop/db ingress[0] (db.yaml:12)\",\"generation\":7,"
                + "\"count\":2}");
  }

  @Test
  void refusalsWithoutAnEventAreSuppressedAndNotLost() {
    log.event(event(false));
    assertThat(lines(List.of(), List.of(refusal(false, 9))))
        .singleElement()
        .asString()
        .endsWith("\"count\":1,\"suppressed\":8}");
    assertThat(lines(List.of(), List.of(refusal(false, 12))))
        .singleElement()
        .asString()
        .endsWith("\"count\":0,\"suppressed\":3}")
        .doesNotContain("address");
  }

  @Test
  void whatAuditLetPassIsOneLineWithRuleAndBytes() {
    log.event(event(true));
    assertThat(lines(List.of(pair(Decision.AUDIT, 1, 1)), List.of(refusal(true, 1))))
        .singleElement()
        .asString()
        .contains("\"verdict\":\"audit\"")
        .contains("\"rule\":\"NetworkPolicy")
        .contains("\"count\":1,")
        .contains("\"bytes_sent\":100");
  }

  @Test
  void replayReadsEveryLine() {
    log.event(event(false));
    List<String> lines =
        lines(
            List.of(pair(Decision.ALLOW, 8, 6), pair(Decision.INSPECT, 1, 1)),
            List.of(refusal(false, 2)));
    assertThat(lines)
        .hasSize(3)
        .allSatisfy(line -> assertThat(Flow.read(JsonObject.parse(line, "flow"))).isPresent());
  }

  @Test
  void theOverflowRowIsALineThatReplayPassesOver() {
    Pair overflow =
        new Pair(
            0,
            0,
            0,
            Protocol.ANY,
            Decision.REFUSE,
            false,
            3,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            List.of(0L));
    List<String> lines = lines(List.of(overflow), List.of());
    assertThat(lines).singleElement().asString().contains("\"source\":\"overflow\"");
    assertThat(Flow.read(JsonObject.parse(lines.getFirst(), "flow"))).isEmpty();
  }

  /** One step: how many the kernel counts, and of how many the events come in time. */
  @Property
  void overAnyTimeLinesAddUpToWhatTheKernelHasCounted(
      @ForAll @Size(max = 20) List<@IntRange(min = 0, max = 5) Integer> counted,
      @ForAll @Size(max = 20) List<@IntRange(min = 0, max = 7) Integer> events) {
    FlowLog log = new FlowLog(Clock.fixed(NOON, ZoneOffset.UTC));
    long kernel = 0;
    long made = 0;
    List<String> all = new ArrayList<>();
    for (int i = 0; i < counted.size(); i++) {
      kernel += counted.get(i);
      made += counted.get(i) * 2;
      for (int e = 0; i < events.size() && e < events.get(i); e++) {
        log.event(event(false));
      }
      all.addAll(
          log.lines(
              new Snapshot(
                  List.of(pair(Decision.ALLOW, made, made / 2)),
                  List.of(refusal(false, kernel)),
                  Map.of()),
              KernelMetricsTest.names(),
              7));
    }
    assertThat(sum(all, false)).isEqualTo(kernel);
    assertThat(sum(all, true)).isEqualTo(made);
  }

  private static long sum(List<String> lines, boolean made) {
    return lines.stream()
        .map(line -> Flow.read(JsonObject.parse(line, "flow")).orElseThrow())
        .filter(flow -> flow.made() == made)
        .mapToLong(Flow::count)
        .sum();
  }
}
