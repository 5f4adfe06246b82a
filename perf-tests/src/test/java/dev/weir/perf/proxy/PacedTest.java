// SPDX-License-Identifier: Apache-2.0
package dev.weir.perf.proxy;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.weir.perf.measure.MeasureException;
import org.junit.jupiter.api.Test;

class PacedTest {

  @Test
  void readsLatencies() throws Exception {
    assertThat(Paced.parse("u", "ok 5000 61500 250000 900000"))
        .isEqualTo(new Paced.Latency(61.5, 250));
  }

  @Test
  void aRunThatEndedEarlyIsNoMeasurement() {
    assertThatThrownBy(() -> Paced.parse("u", "error answer: Connection reset by peer"))
        .isInstanceOf(MeasureException.class)
        .hasMessage("requests to u at a constant rate: error answer: Connection reset by peer");
  }
}
