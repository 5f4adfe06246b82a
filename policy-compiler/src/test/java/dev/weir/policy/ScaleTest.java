// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.Identity;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.PlanCodec;
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

  // Of time, which a busy machine has little of, `make bench` is the judge.
  @Test
  void thePlanGrowsAsItsInput() {
    int small = PlanCodec.encode(compile(SyntheticPolicy.files(250, 25, 2000))).length;
    int large = PlanCodec.encode(compile(SyntheticPolicy.files(2000, 200, 16_000))).length;
    assertThat(large).isBetween(small * 7, small * 9);
  }

  @Test
  void moreClausesThanAPlanHasRulesAreNamedByTheirPolicy() {
    Plan plan = compile(SyntheticPolicy.files(100, 100, 70_000));
    assertThat(plan.rules()).hasSize(101);
    assertThat(plan.verdicts()).hasSize(70_000);
  }
}
