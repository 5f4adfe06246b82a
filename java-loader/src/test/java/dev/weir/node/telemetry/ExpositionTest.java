// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.telemetry;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

final class ExpositionTest {

  @Test
  void familiesOfTwoExpositionsStandOneAfterTheOther() {
    String text =
        new Exposition()
            .add("# HELP a_total First.\n# TYPE a_total counter\na_total{x=\"1\"} 1.0\n")
            .add("# HELP b_total Second.\n# TYPE b_total counter\nb_total 2.0\n")
            .text();
    assertThat(text)
        .isEqualTo(
            """
            # HELP a_total First.
            # TYPE a_total counter
            a_total{x="1"} 1.0
            # HELP b_total Second.
            # TYPE b_total counter
            b_total 2.0
            """);
  }

  @Test
  void aFamilyThatBothHaveHasOneHeaderAndAllSeries() {
    String text =
        new Exposition()
            .add("# HELP a_total First.\n# TYPE a_total counter\na_total{x=\"1\"} 1.0\n")
            .add("# HELP a_total Other words.\n# TYPE a_total counter\na_total{x=\"2\"} 2.0\n")
            .text();
    assertThat(text)
        .isEqualTo(
            """
            # HELP a_total First.
            # TYPE a_total counter
            a_total{x="1"} 1.0
            a_total{x="2"} 2.0
            """);
  }

  @Test
  void aSeriesThatBothHaveStandsOnce() {
    String text = new Exposition().add("a{x=\"1\"} 1.0\n").add("a{x=\"1\"} 2.0\n").text();
    assertThat(text).isEqualTo("a{x=\"1\"} 1.0\n");
  }

  @Test
  void bucketsSumAndCountBelongToTheirHistogram() {
    String histogram =
        """
        # HELP h_seconds Time.
        # TYPE h_seconds histogram
        h_seconds_bucket{le="1.0"} 1.0
        h_seconds_bucket{le="+Inf"} 2.0
        h_seconds_sum 3.0
        h_seconds_count 2.0
        """;
    assertThat(new Exposition().add("z 1.0\n").add(histogram).text())
        .isEqualTo("z 1.0\n" + histogram);
  }

  @Test
  void spacesAndBracesInsideALabelValueDoNotEndIt() {
    String line = "a{x=\"b} c\\\" d\",y=\"e\"} 1.0\n";
    assertThat(new Exposition().add(line).add(line).text()).isEqualTo(line);
  }
}
