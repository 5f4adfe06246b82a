// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.node.bpf.BpfException;
import dev.weir.node.bpf.BpfMap;
import dev.weir.node.bpf.Errno;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.Settings;
import dev.weir.policy.plan.Verdict.Decision;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Room for telemetry, and what becomes of what finds none. */
@Tag("kernel")
final class TelemetryRoomTest {

  private static final long QUARTER = Settings.MAP_BYTES / 4;
  private static final int PORT = 5432;

  @RegisterExtension final KernelTest kernel = new KernelTest();

  private void applyAndServe() {
    kernel.apply(
        kernel
            .plan()
            .workload("web")
            .workload("stranger")
            .workload("db")
            .owns("db", Protocol.TCP, PORT)
            .isolateIngress("db")
            .allow("web", "db", Protocol.TCP, PORT)
            .verdict("stranger", "db", Protocol.TCP, PORT, Decision.AUDIT)
            .build());
    kernel.serve("db", "listen", "127.0.0.1", "5432", "--reply", "db");
  }

  private BpfMap map(String name) {
    return BpfMap.open(kernel.places().pinDir().resolve("maps").resolve(name));
  }

  /** Rows of nobody until there is room for none; returns how many. */
  private int fill(String name) {
    try (BpfMap map = map(name)) {
      ByteBuffer key = map.newKey();
      ByteBuffer none = map.newValue();
      int rows = 0;
      while (true) {
        key.putInt(0, 1_000_000 + rows);
        try {
          map.update(key, none);
        } catch (BpfException e) {
          if (e.errno() == Errno.ENOMEM) {
            KernelTest.pause(Duration.ofMillis(1)); // the allocator's own stock is filled up soon
            continue;
          }
          assertThat(e.errno()).isEqualTo(Errno.E2BIG);
          return rows;
        }
        rows++;
      }
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 2, 4, 8, 16, 32})
  void rowsTakeAtMostAQuarterOfTheBudgetOnAnyMachine(int cpus) {
    TelemetryRoom room = TelemetryRoom.within(QUARTER, cpus);
    long bytes =
        room.pairs() * (96L + 192L * cpus) + room.refusals() * (96L + 16L * cpus) + (256L << 10);
    assertThat(bytes).isBetween(QUARTER / 2, QUARTER);
  }

  @Test
  void mapsInTheKernelHaveThatSizeAndFilledToTheBrimTakeNoMoreThanTheQuarter() throws IOException {
    applyAndServe();
    assertThat(fill(Mesh.PAIRS)).isEqualTo(TelemetryRoom.here(Settings.MAP_BYTES).pairs());
    assertThat(fill(Mesh.REFUSALS)).isEqualTo(TelemetryRoom.here(Settings.MAP_BYTES).refusals());
    long bytes = 0;
    for (String name : List.of("pairs", "refusals", "events", "event_budgets", "counters")) {
      bytes += memlock(name);
    }
    assertThat(bytes).isBetween(QUARTER / 2, QUARTER);
  }

  /** What the kernel itself says that a map takes. */
  private long memlock(String name) throws IOException {
    try (BpfMap opened = map(name);
        var descriptors = Files.list(Path.of("/proc/self/fdinfo"))) {
      for (Path path : descriptors.toList()) {
        List<String> lines = Files.exists(path) ? Files.readAllLines(path) : List.of();
        if (lines.contains("map_id:\t" + opened.id())) {
          return lines.stream()
              .filter(line -> line.startsWith("memlock:"))
              .mapToLong(line -> Long.parseLong(line.substring("memlock:".length()).strip()))
              .sum();
        }
      }
    }
    throw new AssertionError("no descriptor of " + name);
  }

  @Test
  void pairsWithoutARowAreCountedInTheOverflowRowAndNothingIsLost() {
    applyAndServe();
    for (int i = 0; i < 2; i++) {
      assertThat(kernel.ask("web", "127.0.0.1", PORT)).isEqualTo("db");
    }
    // The programs make the overflow row before they need it: with the first pair.
    fill(Mesh.PAIRS);
    for (int i = 0; i < 3; i++) {
      assertThat(kernel.ask("stranger", "127.0.0.1", PORT)).isEqualTo("db");
      assertThat(kernel.ask("web", "127.0.0.1", PORT)).isEqualTo("db");
    }
    Snapshot snapshot = kernel.node().telemetry();
    assertThat(snapshot.pairs())
        .extracting(Snapshot.Pair::isOverflow, Snapshot.Pair::opened)
        .containsExactlyInAnyOrder(
            org.assertj.core.groups.Tuple.tuple(false, 5L),
            org.assertj.core.groups.Tuple.tuple(true, 3L));
    assertThat(snapshot.counters().get("pairs_full")).isPositive();
  }

  @Test
  void refusalsWithoutARowAreRefusedAndCountedInTheOverflowRow() {
    kernel.apply(
        kernel
            .plan()
            .workload("web")
            .workload("stranger")
            .workload("db")
            .owns("db", Protocol.TCP, PORT)
            .isolateIngress("db")
            .build());
    kernel.serve("db", "listen", "127.0.0.1", "5432", "--reply", "db");
    assertThat(kernel.ask("web", "127.0.0.1", PORT)).isEqualTo("ECONNREFUSED");
    fill(Mesh.REFUSALS);
    for (int i = 0; i < 3; i++) {
      assertThat(kernel.ask("stranger", "127.0.0.1", PORT)).isEqualTo("ECONNREFUSED");
      assertThat(kernel.ask("web", "127.0.0.1", PORT)).isEqualTo("ECONNREFUSED");
    }
    Snapshot snapshot = kernel.node().telemetry();
    assertThat(snapshot.refusals())
        .extracting(Snapshot.Refusal::isOverflow, Snapshot.Refusal::count)
        .containsExactlyInAnyOrder(
            org.assertj.core.groups.Tuple.tuple(false, 4L),
            org.assertj.core.groups.Tuple.tuple(true, 3L));
    assertThat(snapshot.counters().get("refusals_full")).isPositive();
  }

  @Test
  void pairsAreToldApartByVerdict() {
    applyAndServe();
    assertThat(kernel.ask("web", "127.0.0.1", PORT)).isEqualTo("db");
    assertThat(kernel.ask("stranger", "127.0.0.1", PORT)).isEqualTo("db");
    assertThat(kernel.node().telemetry().pairs())
        .extracting(Snapshot.Pair::verdict, Snapshot.Pair::opened)
        .containsExactlyInAnyOrder(
            org.assertj.core.groups.Tuple.tuple(Decision.ALLOW, 1L),
            org.assertj.core.groups.Tuple.tuple(Decision.AUDIT, 1L));
  }

  @Test
  void whatAuditModeLetsPassIsCountedAsSuch() {
    kernel.apply(
        kernel
            .plan()
            .workload("stranger")
            .workload("db")
            .owns("db", Protocol.TCP, PORT)
            .isolateIngress("db")
            .audit()
            .build());
    kernel.serve("db", "listen", "127.0.0.1", "5432", "--reply", "db");
    assertThat(kernel.ask("stranger", "127.0.0.1", PORT)).isEqualTo("db");
    assertThat(kernel.node().telemetry().pairs())
        .extracting(Snapshot.Pair::verdict)
        .containsExactly(Decision.AUDIT);
  }
}
