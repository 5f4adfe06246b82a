// SPDX-License-Identifier: Apache-2.0
package dev.weir.perf.measure;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class RoundsTest {

  @Test
  void theOrderTurnsByOneEachRound() throws Exception {
    List<String> order = new ArrayList<>();
    Rounds.run(
        List.of("a", "b", "c"),
        0,
        3,
        contender -> order.add(contender),
        round -> order.add(String.valueOf(round)));
    assertThat(String.join("", order)).isEqualTo("0abc1bca2cab");
  }

  @Test
  void warmUpDoesNotCount() throws Exception {
    List<String> blocks = new ArrayList<>();
    Map<String, List<Integer>> results =
        Rounds.run(
            List.of("a", "b"),
            2,
            3,
            contender -> {
              blocks.add(contender);
              return blocks.size();
            },
            _ -> {});
    assertThat(blocks).hasSize(10);
    assertThat(results).containsOnlyKeys("a", "b");
    assertThat(results.get("a")).hasSize(3).allMatch(number -> number > 4);
  }
}
