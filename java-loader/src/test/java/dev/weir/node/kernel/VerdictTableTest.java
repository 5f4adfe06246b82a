// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.Verdict;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.stream.LongStream;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import org.junit.jupiter.api.Test;

final class VerdictTableTest {

  private static long[] rows(int count, long seed) {
    Random random = new Random(seed);
    Set<Long> keys = new HashSet<>();
    LongStream.Builder rows = LongStream.builder();
    while (keys.size() < count) {
      Verdict verdict =
          new Verdict(
              1 + random.nextInt(dev.weir.policy.plan.Identity.MAX),
              1 + random.nextInt(dev.weir.policy.plan.Identity.MAX),
              Protocol.TCP,
              random.nextInt(1 << 16),
              Verdict.Decision.ALLOW,
              random.nextInt(1 << 16));
      if (keys.add(verdict.key())) {
        rows.add(verdict.row());
      }
    }
    return rows.build().toArray();
  }

  /** The same file holds the C side to its word (bpf-programs/src/test/c/verdict_test.c). */
  @Test
  void rowsAndBucketsAreThoseOfTheKernel() throws IOException {
    Path file =
        Path.of(System.getProperty("weir.probers"), "../../src/test/resources/verdict-hash.csv");
    List<String> lines = Files.readAllLines(file);
    assertThat(lines).hasSizeGreaterThan(20);
    for (String line : lines.subList(1, lines.size())) {
      List<String> fields = List.of(line.split(",", -1));
      Verdict verdict =
          new Verdict(
              Integer.parseInt(fields.get(0)),
              Integer.parseInt(fields.get(1)),
              Protocol.values()[Integer.parseInt(fields.get(2))],
              Integer.parseInt(fields.get(3)),
              Verdict.Decision.values()[Integer.parseInt(fields.get(4))],
              Integer.parseInt(fields.get(5)));
      long seed = Long.parseUnsignedLong(fields.get(6).substring(2), 16);
      int mask = Integer.parseUnsignedInt(fields.get(7));
      assertThat(verdict.key())
          .as(line)
          .isEqualTo(Long.parseUnsignedLong(fields.get(8).substring(2), 16));
      assertThat(verdict.row())
          .as(line)
          .isEqualTo(Long.parseUnsignedLong(fields.get(9).substring(2), 16));
      long hash = VerdictTable.hash(verdict.key(), seed);
      assertThat((int) hash & mask).as(line).isEqualTo(Integer.parseInt(fields.get(10)));
      assertThat((int) (hash >>> 32) & mask).as(line).isEqualTo(Integer.parseInt(fields.get(11)));
    }
  }

  @Test
  void anEmptyTableFindsNothing() {
    VerdictTable table = VerdictTable.of(new long[0]);
    assertThat(table.buckets()).isEqualTo(1);
    assertThat(table.find(Verdict.key(9, 10, Protocol.TCP, 80))).isZero();
  }

  @Property(tries = 60)
  void everyRowIsFoundAndNothingElse(
      @ForAll @IntRange(min = 1, max = 3000) int count, @ForAll long seed) {
    long[] rows = rows(count, seed);
    VerdictTable table = VerdictTable.of(rows);
    Set<Long> keys = new HashSet<>();
    for (long row : rows) {
      keys.add(row & (1L << 46) - 1);
      assertThat(table.find(row & (1L << 46) - 1)).isEqualTo(row);
    }
    for (long other : rows(500, seed + 1)) {
      long key = other & (1L << 46) - 1;
      if (!keys.contains(key)) {
        assertThat(table.find(key)).isZero();
      }
    }
  }

  @Test
  void aHundredThousandRowsFitOneMebibyte() {
    VerdictTable table = VerdictTable.of(rows(99_000, 1));
    assertThat(table.buckets()).isEqualTo(1 << 14);
    assertThat(VerdictTable.of(rows(100_000, 2)).buckets()).isLessThanOrEqualTo(1 << 15);
  }

  @Test
  void theSameRowsGiveTheSameTable() {
    long[] rows = rows(5000, 3);
    assertThat(VerdictTable.of(rows).rows()).isEqualTo(VerdictTable.of(rows).rows());
    assertThat(VerdictTable.of(rows).seed()).isEqualTo(VerdictTable.of(rows).seed());
  }
}
