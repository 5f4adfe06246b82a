// SPDX-License-Identifier: Apache-2.0
package dev.weir.perf.measure;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import java.util.List;
import org.junit.jupiter.api.Test;

class SamplesTest {

  @Test
  void medianOfAnOddNumberIsTheMiddleOne() {
    assertThat(new Samples(List.of(9.0, 1.0, 5.0)).median()).isEqualTo(5.0);
  }

  @Test
  void medianOfAnEvenNumberLiesBetweenTheMiddleTwo() {
    assertThat(new Samples(List.of(4.0, 1.0, 3.0, 2.0)).median()).isEqualTo(2.5);
  }

  @Test
  void quantilesInterpolate() {
    Samples samples = new Samples(List.of(0.0, 10.0, 20.0, 30.0, 40.0));
    assertThat(samples.quantile(0)).isEqualTo(0);
    assertThat(samples.quantile(1)).isEqualTo(40);
    assertThat(samples.quantile(0.99)).isCloseTo(39.6, within(1e-9));
  }

  @Test
  void ratiosAreTakenRoundByRound() {
    Samples slowing = new Samples(List.of(10.0, 20.0, 40.0));
    Samples twice = new Samples(List.of(20.0, 40.0, 80.0));
    assertThat(twice.over(slowing).values()).containsExactly(2.0, 2.0, 2.0);
  }

  @Test
  void ratiosNeedTheSameRounds() {
    assertThatThrownBy(() -> Samples.of(1).over(new Samples(List.of(1.0, 2.0))))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("rounds: 1 and 2");
  }

  @Test
  void noSampleIsNoMeasurement() {
    assertThatThrownBy(() -> new Samples(List.of())).isInstanceOf(IllegalArgumentException.class);
  }
}
