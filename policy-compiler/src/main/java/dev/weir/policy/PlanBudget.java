// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy;

import dev.weir.policy.model.Budget;
import dev.weir.policy.model.Located;
import dev.weir.policy.plan.Footprint;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.Rule;
import dev.weir.policy.plan.Verdict;
import dev.weir.policy.source.Diagnostics;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;

/** Compares what a plan takes with what {@code Mesh} gives it, and says what takes most. */
public final class PlanBudget {

  private static final int NAMED = 5;

  private PlanBudget() {}

  /**
   * A policy with what it takes.
   *
   * @param rule of the policy's clause that has the most
   * @param verdicts rows of all its clauses
   */
  public record Contributor(Rule rule, int verdicts) {
    /** In a line. */
    public String describe() {
      return rule.kind()
          + " "
          + (rule.namespace().isEmpty() ? "" : rule.namespace() + "/")
          + rule.name()
          + " ("
          + rule.file()
          + ":"
          + rule.line()
          + ") with "
          + verdicts
          + " verdicts";
    }
  }

  /** The policies with most verdicts, largest first. */
  public static List<Contributor> largest(Plan plan) {
    int[] counts = new int[plan.rules().size()];
    for (Verdict verdict : plan.verdicts()) {
      counts[verdict.rule()]++;
    }
    Map<String, Contributor> byPolicy = new HashMap<>();
    Map<String, Integer> most = new HashMap<>();
    for (int i = 0; i < counts.length; i++) {
      if (counts[i] > 0) {
        Rule rule = plan.rules().get(i);
        String policy = rule.kind() + " " + rule.namespace() + "/" + rule.name();
        boolean larger = counts[i] > most.getOrDefault(policy, 0);
        Contributor before = byPolicy.getOrDefault(policy, new Contributor(rule, 0));
        byPolicy.put(
            policy, new Contributor(larger ? rule : before.rule(), before.verdicts() + counts[i]));
        most.merge(policy, counts[i], Math::max);
      }
    }
    return byPolicy.values().stream()
        .sorted(
            Comparator.comparingInt(Contributor::verdicts)
                .reversed()
                .thenComparing(Contributor::describe))
        .limit(NAMED)
        .toList();
  }

  /** Notes an error for every bound that a plan exceeds. */
  static void check(Plan plan, Budget budget, Diagnostics diagnostics) {
    if (budget.equals(Budget.NONE)) {
      return;
    }
    Footprint footprint = Footprint.of(plan);
    String largest =
        largest(plan).stream().map(Contributor::describe).collect(Collectors.joining(", "));
    String most = largest.isEmpty() ? "" : "; most of it is due to " + largest;
    check(budget.mapEntries(), footprint.entries(), "entries of kernel maps", most, diagnostics);
    check(
        budget.mapBytes(),
        footprint.bytesOfBothSlots()
            + budget.mapBytes().map(bytes -> (long) bytes.value() / 16 * 7).orElse(0L),
        "bytes of kernel maps (two generations, and seven sixteenths of what it may take, which are"
            + " for connections and telemetry)",
        most,
        diagnostics);
    check(
        budget.proxyBytes(),
        footprint.proxyBytes(),
        "bytes of the proxy's plan",
        "; it grows with routes, their backends, and what their clients may reach",
        diagnostics);
  }

  private static void check(
      Optional<Located<Integer>> bound,
      long taken,
      String what,
      String most,
      Diagnostics diagnostics) {
    if (bound.isPresent() && taken > bound.get().value()) {
      diagnostics.error(
          bound.get().at(),
          bound.get().field(),
          "the plan takes " + taken + " " + what + ", but may take " + bound.get().value() + most,
          "give it more, or let fewer policies tell workloads apart");
    }
  }
}
