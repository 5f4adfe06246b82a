// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.plan;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.Identity.StrictPorts;
import dev.weir.policy.plan.StrictTable.Block;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import org.junit.jupiter.api.Test;

final class StrictTableTest {

  private static final int LAST = 65_535;

  private static StrictTable table(StrictPorts... ports) {
    return StrictTable.of(new Identity("", false, false, false, false, 0, 0, List.of(ports)));
  }

  @Test
  void nothingDemandedTakesNothing() {
    assertThat(table()).isEqualTo(new StrictTable(0, List.of()));
  }

  @Test
  void aDemandOnAllPortsTakesNoEntry() {
    assertThat(table(new StrictPorts(0, LAST, 7))).isEqualTo(new StrictTable(7, List.of()));
  }

  @Test
  void anExceptedPortTakesOne() {
    assertThat(table(new StrictPorts(0, 8079, 7), new StrictPorts(8081, LAST, 7)))
        .isEqualTo(new StrictTable(7, List.of(new Block(8080, 16, 0))));
  }

  @Test
  void aStrictPortTakesOne() {
    assertThat(table(new StrictPorts(5432, 5432, 3)))
        .isEqualTo(new StrictTable(0, List.of(new Block(5432, 16, 3))));
  }

  @Test
  void whatEndsAtTheLastPortIsWhole() {
    assertThat(table(new StrictPorts(0, 32_767, 3), new StrictPorts(32_768, LAST, 4)).exceptions())
        .hasSize(1)
        .allMatch(block -> block.length() == 1);
  }

  /** Whatever is demanded, the longest prefix says it of every port. */
  @Property(tries = 200)
  void theLongestPrefixIsWhatIsDemanded(@ForAll long seed) {
    Random random = new Random(seed);
    List<StrictPorts> ports = new ArrayList<>();
    int at = random.nextBoolean() ? 0 : random.nextInt(3000);
    while (at <= LAST && ports.size() < 20) {
      int last = Math.min(LAST, at + (random.nextBoolean() ? 0 : random.nextInt(9000)));
      ports.add(new StrictPorts(at, last, 1 + random.nextInt(3)));
      at = last + 1 + random.nextInt(3) * random.nextInt(2000);
    }
    StrictTable table = table(ports.toArray(StrictPorts[]::new));
    for (int port = 0; port <= LAST; port += 1 + random.nextInt(40)) {
      assertThat(rule(table, port))
          .as("port %d of %s", port, ports)
          .isEqualTo(demanded(ports, port));
    }
    for (StrictPorts range : ports) {
      for (int port : new int[] {range.first(), range.last(), Math.min(LAST, range.last() + 1)}) {
        assertThat(rule(table, port))
            .as("port %d of %s", port, ports)
            .isEqualTo(demanded(ports, port));
      }
    }
  }

  private static int demanded(List<StrictPorts> ports, int port) {
    return ports.stream()
        .filter(p -> p.first() <= port && port <= p.last())
        .mapToInt(StrictPorts::rule)
        .findFirst()
        .orElse(0);
  }

  private static int rule(StrictTable table, int port) {
    int longest = -1;
    int rule = table.rule();
    for (Block block : table.exceptions()) {
      if (port >>> 16 - block.length() == block.first() >>> 16 - block.length()
          && block.length() > longest) {
        longest = block.length();
        rule = block.rule();
      }
    }
    return rule;
  }
}
