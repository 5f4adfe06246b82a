// SPDX-License-Identifier: Apache-2.0
package dev.weir.perf.measure;

import java.util.OptionalDouble;

/**
 * One number of a report that is worth following over time; less is always better.
 *
 * @param id stable name, dotted, for the history
 * @param name for people
 * @param value median
 * @param low lower quartile of the rounds
 * @param high upper quartile of the rounds
 * @param rounds how many rounds it is the median of
 * @param unit {@code x} for a ratio
 * @param aim what it should be at most; empty when it is only told
 */
public record Figure(
    String id,
    String name,
    double value,
    double low,
    double high,
    int rounds,
    String unit,
    OptionalDouble aim) {

  /** The median of samples, with nothing to reach. */
  public static Figure of(String id, String name, Samples samples, String unit) {
    return new Figure(
        id,
        name,
        samples.median(),
        samples.quantile(0.25),
        samples.quantile(0.75),
        samples.count(),
        unit,
        OptionalDouble.empty());
  }

  /** The median of samples, which should be at most this. */
  public static Figure of(String id, String name, Samples samples, String unit, double atMost) {
    Figure figure = of(id, name, samples, unit);
    return new Figure(
        id,
        name,
        figure.value,
        figure.low,
        figure.high,
        figure.rounds,
        unit,
        OptionalDouble.of(atMost));
  }

  /** Whether it is beyond what it should be at most. */
  public boolean beyond() {
    return aim.isPresent() && value > aim.getAsDouble();
  }
}
