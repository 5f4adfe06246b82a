// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.Identity;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.source.SourceTree;
import org.junit.jupiter.api.Test;

class ScaleTest {

  private static Plan compile(SourceTree tree) {
    Compilation compilation = PolicyCompiler.compile(tree);
    assertThat(compilation).isInstanceOf(Compilation.Compiled.class);
    return ((Compilation.Compiled) compilation).plan();
  }

  @Test
  void everyDistinctClauseIsOneRowAndEveryGroupOneIdentity() {
    Plan plan = compile(SyntheticPolicy.files(600, 60, 3000));
    assertThat(plan.verdicts()).hasSize(3000);
    assertThat(plan.identities()).hasSize(Identity.FIRST + 60);
  }

  @Test
  void thePlanDoesNotGrowWithWorkloadsThatNobodyTellsApart() {
    Plan few = compile(SyntheticPolicy.files(60, 60, 3000));
    Plan many = compile(SyntheticPolicy.files(6000, 60, 3000));
    assertThat(many.verdicts()).hasSameSizeAs(few.verdicts());
    assertThat(many.identities()).hasSameSizeAs(few.identities());
  }

  // The figure itself is measured by `make bench`; this only catches what grows out of proportion.
  @Test
  void eightTimesTheInputTakesFarLessThanSixtyFourTimesTheTime() {
    compile(SyntheticPolicy.files(250, 25, 2000));
    long small = time(SyntheticPolicy.files(250, 25, 2000));
    long large = time(SyntheticPolicy.files(2000, 200, 16_000));
    assertThat(large).isLessThan(Math.max(small, 20_000_000L) * 40);
  }

  private static long time(SourceTree tree) {
    long best = Long.MAX_VALUE;
    for (int i = 0; i < 2; i++) {
      long start = System.nanoTime();
      compile(tree);
      best = Math.min(best, System.nanoTime() - start);
    }
    return best;
  }

  @Test
  void moreClausesThanAPlanHasRulesAreNamedByTheirPolicy() {
    Plan plan = compile(SyntheticPolicy.files(100, 100, 70_000));
    assertThat(plan.rules()).hasSize(101);
    assertThat(plan.verdicts()).hasSize(70_000);
  }
}
