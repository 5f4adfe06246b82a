// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.weir.policy.plan.Plan;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

final class NumbersTest {

  private static final Path FILE = Path.of("/run/weir/numbers");

  private static Plan plan(String... workloads) {
    PlanBuilder plan = new PlanBuilder("/test");
    for (String workload : workloads) {
      plan.workload(workload);
    }
    return plan.build();
  }

  private static Numbers reread(Numbers numbers) {
    return Numbers.parse(FILE, new String(numbers.bytes(), StandardCharsets.UTF_8));
  }

  @Test
  void reservedWorkloadsKeepTheirNumbersAndOthersBeginAtSixteen() {
    assertThat(Numbers.none().workloads(plan("web", "db"))).containsExactly(0, 1, 2, 3, 4, 16, 17);
  }

  @Test
  void aKeyKeepsItsNumberAndANumberItsKey() {
    Numbers numbers = Numbers.none();
    numbers.workloads(plan("web", "db"));
    numbers.rules(plan("web", "db"));
    Numbers later = reread(numbers);
    assertThat(later.workloads(plan("db", "new"))).containsExactly(0, 1, 2, 3, 4, 17, 18);
    assertThat(later.workloads(plan("web"))).containsExactly(0, 1, 2, 3, 4, 16);
    assertThat(later.workloadKey(16)).contains("Workload/test/web");
    assertThat(later.workloadKey(99)).isEmpty();
    assertThat(later.ruleKey(1)).contains("Mesh//(default)");
  }

  @Test
  void theFileIsOneLineEach() {
    Numbers numbers = Numbers.none();
    numbers.workloads(plan("web"));
    assertThat(new String(numbers.bytes(), StandardCharsets.UTF_8))
        .contains("16\tworkload:Workload/test/web\n");
  }

  @Test
  void aDamagedFileIsRefusedByLine() {
    assertThatThrownBy(() -> Numbers.parse(FILE, "16\tworkload:a\nseventeen\tworkload:b\n"))
        .isInstanceOf(NodeException.class)
        .hasMessageContaining("/run/weir/numbers:2");
    assertThatThrownBy(() -> Numbers.parse(FILE, "16 workload:a\n"))
        .isInstanceOf(NodeException.class)
        .hasMessageContaining("/run/weir/numbers:1");
    assertThatThrownBy(() -> Numbers.parse(FILE, "1\trule:a\n1\trule:b\n"))
        .isInstanceOf(NodeException.class)
        .hasMessageContaining("given twice");
  }
}
