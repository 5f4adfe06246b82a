// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.fail;

import dev.weir.policy.reference.Outcome;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** The plan, explain and the reference evaluator answer alike. */
class OracleTest {

  private static final int CLUSTERS = 400;

  @Test
  void thePlanExplainAndTheReferenceEvaluatorAgree() {
    int questions = 0;
    Map<Outcome, Integer> outcomes = new EnumMap<>(Outcome.class);
    long first = new Random().nextLong();
    for (int i = 0; i < CLUSTERS; i++) {
      long seed = first + i;
      List<String> documents = RandomClusters.documents(seed, Fuzz.FEATURES);
      Oracle.Result result = Oracle.ask(documents, seed);
      questions += result.questions();
      result.outcomes().forEach((o, n) -> outcomes.merge(o, n, Integer::sum));
      if (result.disagreement().isPresent()) {
        Oracle.Shrunk shrunk = Oracle.shrink(documents, seed, result.disagreement().get());
        fail(
            "seed "
                + seed
                + ": "
                + shrunk.disagreement()
                + "\n"
                + String.join("---\n", shrunk.documents()));
      }
    }
    assertThat(questions).isGreaterThan(20_000);
    // Questions with one answer would ask for nothing.
    for (Outcome outcome : Outcome.values()) {
      assertThat(outcomes.getOrDefault(outcome, 0)).as("%s", outcomes).isGreaterThan(200);
    }
  }
}
