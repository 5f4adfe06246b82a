// SPDX-License-Identifier: Apache-2.0
package dev.weir.perf;

import dev.weir.perf.measure.MeasureException;
import dev.weir.perf.measure.Section;

/** One part of the benchmarks. */
public interface Benchmark {

  /** The name users select it by. */
  String id();

  /** What it measures, for {@code --list}. */
  String about();

  /**
   * Measures. Everything it starts ends before it returns, also when it fails.
   *
   * @throws MeasureException when something could not be measured
   */
  Section run(Bench.Context context) throws MeasureException, InterruptedException;
}
