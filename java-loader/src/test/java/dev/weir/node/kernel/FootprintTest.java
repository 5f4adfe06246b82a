// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.node.bpf.BpfMap;
import dev.weir.policy.plan.Footprint;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.TrafficPolicy.ConnectionRate;
import dev.weir.policy.plan.TrafficPolicy.PacketRate;
import dev.weir.policy.plan.TrafficPolicy.Scope;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Function;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** What {@code weir compile} says a plan takes is what its maps take in the kernel. */
@Tag("kernel")
final class FootprintTest {

  /** What a map takes besides its entries: its head, and the rest of its last page. */
  private static final long HEAD = 2 * 4096;

  /** A hash also has a lock for some of its buckets on each processor. */
  private static final long LOCKS_PER_CPU = 8 * Integer.BYTES;

  @RegisterExtension final KernelTest kernel = new KernelTest();

  /** Something in every table, and much in those whose entries have a size of their own. */
  private Plan plan() {
    PlanBuilder plan = kernel.plan();
    for (int i = 0; i < 300; i++) {
      String name = "w" + i;
      plan.workload(name)
          .isolateIngress(name)
          .owns(name, Protocol.TCP, 20_000 + i)
          .endpoint(name, "10.0.%d.%d".formatted(i / 250, 1 + i % 250), false)
          .block("block" + i, "192.%d.%d.0".formatted(i / 250, i % 250), 96 + 24);
      int backend = plan.backend(name, "127.0.0.1", 20_000 + i);
      plan.service(
          "s" + i,
          "10.96.%d.%d".formatted(i / 250, 1 + i % 250),
          80,
          Protocol.TCP,
          List.of(backend, backend, backend));
      for (int j = 0; j < 20; j++) {
        plan.allow("w" + i / 2, name, Protocol.TCP, 1 + j);
      }
      plan.strict(name, 0, 79).strict(name, 81, 65_535);
      plan.ejects("s" + i, 3, 1000, 50);
      plan.limits(
          "s" + i, new ConnectionRate(5, 5, Scope.TOTAL), new PacketRate(5, 5, Scope.TOTAL));
    }
    plan.keeps("s1", 10_800).keeps("s7", 86_400);
    return plan.portClass(1, 1).portClass(2, 65_535).build();
  }

  /** Of each table, the inner map that is in force. */
  private Map<String, Long> ofTables(Function<BpfMap, Long> what) {
    Map<String, Long> values = new TreeMap<>();
    int slot = slot();
    for (Table table : Table.values()) {
      try (BpfMap outer = BpfMap.open(Pins.in(kernel.places().pinDir()).map(table.map()))) {
        ByteBuffer id = outer.newValue();
        assertThat(outer.lookup(outer.newKey().putInt(0, slot), id)).isTrue();
        try (BpfMap inner = BpfMap.byId(id.getInt(0))) {
          values.put(table.map(), what.apply(inner));
        }
      }
    }
    return values;
  }

  private int slot() {
    try (BpfMap current = BpfMap.open(Pins.in(kernel.places().pinDir()).map(Mesh.CURRENT))) {
      ByteBuffer word = current.newValue();
      assertThat(current.lookup(current.newKey(), word)).isTrue();
      return Slot.of(word.getLong(0)).slot();
    }
  }

  private static long memlock(BpfMap map) {
    try {
      return BudgetTest.memlock(map);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  @Test
  void entriesAreThoseOfTheKernelsMaps() {
    Plan plan = plan();
    kernel.apply(plan);
    Map<String, Long> said =
        Footprint.of(plan).tables().stream()
            .collect(Collectors.toMap(Footprint.Table::name, Footprint.Table::entries));
    assertThat(ofTables(map -> (long) map.maxEntries())).containsExactlyInAnyOrderEntriesOf(said);
  }

  @Test
  void bytesAreThoseThatTheKernelCounts() {
    // Before 6.4 (bpf_map_mem_usage) memlock was keys and values, not what is allocated.
    String[] release = System.getProperty("os.version", "0.0").split("[^0-9]+", 3);
    int version = Integer.parseInt(release[0]) * 1000 + Integer.parseInt(release[1]);
    Assumptions.assumeTrue(
        version >= 6004, "fdinfo of this kernel does not tell what is allocated");
    Plan plan = plan();
    kernel.apply(plan);
    Map<String, Long> counted = ofTables(FootprintTest::memlock);
    for (Footprint.Table table : Footprint.of(plan).tables()) {
      long kernel = counted.getOrDefault(table.name(), -1L);
      long room = HEAD + LOCKS_PER_CPU * BpfMap.possibleCpus();
      if (table.name().equals("cidrs") || table.name().equals("strict_ports")) {
        // The kernel counts no node that only branches, and newer ones have smaller nodes.
        assertThat(table.bytes()).as(table.name()).isBetween(kernel - room, 4 * kernel);
      } else {
        assertThat(kernel).as(table.name()).isBetween(table.bytes(), table.bytes() + room);
      }
    }
  }
}
