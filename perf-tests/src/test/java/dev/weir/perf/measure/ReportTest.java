// SPDX-License-Identifier: Apache-2.0
package dev.weir.perf.measure;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import org.assertj.core.api.InstanceOfAssertFactories;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.snakeyaml.engine.v2.api.Load;
import org.snakeyaml.engine.v2.api.LoadSettings;

class ReportTest {

  private static final Machine MACHINE = new Machine("CPU", 2, 1024, "6.1", "Debian", "25", 0.1);
  private static final Figure CYCLE =
      Figure.of("connect.x", "connect", new Samples(List.of(1.2, 1.0, 1.1)), "x", 1.10);

  private static Report report(Map<String, Double> before, Map<String, String> failures) {
    Section section =
        new Section(
            "connect",
            "Connect",
            "How \"it\" is.",
            List.of("who", "cost"),
            List.of(List.of("bare", "1")),
            List.of(CYCLE),
            List.of("A remark."));
    return new Report(
        Instant.parse("2026-11-21T00:00:00.123Z"),
        "abc",
        false,
        MACHINE,
        Map.of("nginx", "1.22.1"),
        List.of(section),
        failures,
        before);
  }

  @Test
  void aFigureAtItsAimHasReachedIt() {
    assertThat(CYCLE.value()).isEqualTo(1.1);
    assertThat(CYCLE.beyond()).isFalse();
    assertThat(report(Map.of(), Map.of()).markdown()).contains("reached");
  }

  @Test
  void aFigureBeyondItsAimIsMarked() {
    Figure beyond = Figure.of("a", "a", Samples.of(1.11), "x", 1.10);
    assertThat(beyond.beyond()).isTrue();
  }

  @Test
  void aFigureThatGotWorseIsMarked() {
    assertThat(report(Map.of("connect.x", 0.9), Map.of()).markdown())
        .contains("0.900x (**worse**)");
    assertThat(report(Map.of("connect.x", 1.05), Map.of()).markdown()).doesNotContain("worse");
  }

  @Test
  void whatCouldNotBeMeasuredIsNamed() {
    assertThat(report(Map.of(), Map.of("tls", "no port")).markdown())
        .contains("## Not measured", "**tls**: no port");
  }

  @Test
  void jsonIsReadByAnotherReader() {
    Object parsed =
        new Load(LoadSettings.builder().build())
            .loadFromString(report(Map.of(), Map.of("tls", "a\nb\\\"")).json());
    assertThat(parsed).isInstanceOf(Map.class);
    Map<?, ?> map = (Map<?, ?>) parsed;
    assertThat(map.get("failures")).isEqualTo(Map.of("tls", "a\nb\\\""));
    assertThat(map.get("figures")).asInstanceOf(InstanceOfAssertFactories.LIST).hasSize(1);
  }

  @Test
  void historyComparesWithTheMedianOfTheLastRunsOfItsKind(@TempDir Path directory)
      throws Exception {
    History history = new History(directory.resolve("history.jsonl"));
    assertThat(history.before(CYCLE, MACHINE, false)).isEmpty();
    for (double value : new double[] {9, 9, 1, 2, 3, 4, 5}) {
      Figure figure = Figure.of("connect.x", "connect", Samples.of(value), "x");
      history.add(List.of(figure), MACHINE, false, "abc", Instant.EPOCH);
    }
    Figure quick = Figure.of("connect.x", "connect", Samples.of(100), "x");
    history.add(List.of(quick), MACHINE, true, "abc", Instant.EPOCH);
    assertThat(history.before(CYCLE, MACHINE, false)).hasValue(3);
    assertThat(history.before(CYCLE, MACHINE, true)).hasValue(100);
  }

  @Test
  void figuresOfAnotherMachineAreNotCompared(@TempDir Path directory) throws Exception {
    History history = new History(directory.resolve("history.jsonl"));
    history.add(List.of(CYCLE), MACHINE, false, "abc", Instant.EPOCH);
    Machine other = new Machine("CPU", 4, 1024, "6.1", "Debian", "25", 0.1);
    assertThat(history.before(CYCLE, other, false)).isEmpty();
    assertThat(history.before(CYCLE, MACHINE, false)).hasValue(1.1);
  }

  @Test
  void aRegressionShowsAfterAFewRuns(@TempDir Path directory) throws Exception {
    History history = new History(directory.resolve("history.jsonl"));
    for (double value : new double[] {1.00, 1.02, 0.98}) {
      Figure figure = Figure.of("connect.x", "connect", Samples.of(value), "x");
      history.add(List.of(figure), MACHINE, false, "abc", Instant.EPOCH);
    }
    Figure now = Figure.of("connect.x", "connect", Samples.of(1.12), "x");
    double was = history.before(now, MACHINE, false).orElseThrow();
    Section section =
        new Section("connect", "Connect", "How.", List.of(), List.of(), List.of(now), List.of());
    Report report =
        new Report(
            Instant.EPOCH,
            "abc",
            false,
            MACHINE,
            Map.of(),
            List.of(section),
            Map.of(),
            Map.of(now.id(), was));
    assertThat(report.markdown()).contains("1.000x (**worse**)", "Worse than before", "- connect:");
  }

  @Test
  void aBrokenHistoryIsNamed(@TempDir Path directory) throws Exception {
    Path file = Files.writeString(directory.resolve("history.jsonl"), "{\n");
    assertThatThrownBy(() -> new History(file).before(CYCLE, MACHINE, false))
        .isInstanceOf(MeasureException.class)
        .hasMessageContaining("history.jsonl");
  }
}
