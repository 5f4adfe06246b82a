// SPDX-License-Identifier: Apache-2.0
package dev.weir.perf.measure;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.IntConsumer;

/**
 * Interleaved measurement: one short block of every contender per round, many rounds. The order
 * turns by one each round, so that nobody always runs after the same neighbour.
 */
public final class Rounds {

  private Rounds() {}

  /** Measures one block of one contender. */
  @FunctionalInterface
  public interface Block<C, R> {
    /** Runs it and says what it cost. */
    R run(C contender) throws MeasureException, InterruptedException;
  }

  /**
   * Runs rounds.
   *
   * @param contenders who is measured
   * @param warmUp rounds whose results are thrown away
   * @param rounds rounds that count, at least one
   * @param block one block
   * @param progress told the number of each round that counts, from 0
   * @return what each contender's blocks cost, in the order of the rounds
   */
  public static <C, R> Map<C, List<R>> run(
      List<C> contenders, int warmUp, int rounds, Block<C, R> block, IntConsumer progress)
      throws MeasureException, InterruptedException {
    Map<C, List<R>> results = new LinkedHashMap<>();
    contenders.forEach(contender -> results.put(contender, new ArrayList<>()));
    for (int round = -warmUp; round < rounds; round++) {
      if (round >= 0) {
        progress.accept(round);
      }
      for (int i = 0; i < contenders.size(); i++) {
        C contender = contenders.get(Math.floorMod(i + round, contenders.size()));
        R result = block.run(contender);
        if (round >= 0) {
          results.computeIfAbsent(contender, _ -> new ArrayList<>()).add(result);
        }
      }
    }
    return results;
  }
}
