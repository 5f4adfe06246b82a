// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.fail;

import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** The plan, explain and the reference evaluator answer alike. */
class OracleTest {

  private static final int CLUSTERS = 400;

  @Test
  void thePlanExplainAndTheReferenceEvaluatorAgree() {
    int questions = 0;
    long first = new Random().nextLong();
    for (int i = 0; i < CLUSTERS; i++) {
      long seed = first + i;
      List<String> documents = RandomClusters.documents(seed, Fuzz.FEATURES);
      Oracle.Result result = Oracle.ask(documents, seed);
      questions += result.questions();
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
  }
}
