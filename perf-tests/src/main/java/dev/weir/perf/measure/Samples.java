// SPDX-License-Identifier: Apache-2.0
package dev.weir.perf.measure;

import java.util.List;
import java.util.stream.DoubleStream;
import java.util.stream.IntStream;

/**
 * Values of one quantity, one per round.
 *
 * @param values in the order they were measured; at least one
 */
public record Samples(List<Double> values) {

  /** Copies the values. */
  public Samples {
    values = List.copyOf(values);
    if (values.isEmpty()) {
      throw new IllegalArgumentException("samples: none (expected: at least one)");
    }
  }

  /** Of these values. */
  public static Samples of(DoubleStream values) {
    return new Samples(values.boxed().toList());
  }

  /** Of a single value. */
  public static Samples of(double value) {
    return new Samples(List.of(value));
  }

  /** How many rounds. */
  public int count() {
    return values.size();
  }

  /** Half of the rounds are below it. */
  public double median() {
    return quantile(0.5);
  }

  /**
   * The value below which a share of the rounds lies, interpolated linearly between neighbours.
   *
   * @param share from 0 (the least) to 1 (the greatest)
   */
  public double quantile(double share) {
    if (!(share >= 0 && share <= 1)) {
      throw new IllegalArgumentException("share: " + share + " (expected: 0..1)");
    }
    List<Double> sorted = values.stream().sorted().toList();
    double at = share * (sorted.size() - 1);
    int below = (int) at;
    int above = Math.min(below + 1, sorted.size() - 1);
    return sorted.get(below) + (sorted.get(above) - sorted.get(below)) * (at - below);
  }

  /**
   * Round by round, how many times the other quantity this one is. What slows the machine for a
   * while slows neighbouring blocks alike, so the ratio within a round is steadier than either.
   *
   * @throws IllegalArgumentException if the two were not measured in the same rounds
   */
  public Samples over(Samples other) {
    if (count() != other.count()) {
      throw new IllegalArgumentException(
          "rounds: " + count() + " and " + other.count() + " (expected: the same)");
    }
    return of(IntStream.range(0, count()).mapToDouble(i -> values.get(i) / other.values.get(i)));
  }
}
