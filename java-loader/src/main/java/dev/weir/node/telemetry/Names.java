// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.telemetry;

import dev.weir.node.kernel.Current;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.Rule;
import dev.weir.policy.plan.Service;
import dev.weir.policy.plan.Workload;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.IntFunction;

/**
 * Who a number of the kernel is.
 *
 * <p>Counters outlive the generation they were made in: a number that the generation in force does
 * not name is looked up in the registry of numbers, which never forgets one.
 */
public final class Names {

  /** What Istio writes where it does not know. */
  static final String UNKNOWN = "unknown";

  private final Map<Integer, Workload> workloads = new HashMap<>();
  private final Map<Integer, Rule> rules = new HashMap<>();
  private final Map<Integer, Workload> onlyServices = new HashMap<>();
  private final String trustDomain;
  private final IntFunction<Optional<String>> retiredWorkload;
  private final IntFunction<Optional<String>> retiredRule;

  /**
   * Names in a generation.
   *
   * @param current in force
   * @param retiredWorkload key by number of a workload that is no longer in force
   * @param retiredRule key by number of a rule that is no longer in force
   */
  public Names(
      Current current,
      IntFunction<Optional<String>> retiredWorkload,
      IntFunction<Optional<String>> retiredRule) {
    this.retiredWorkload = retiredWorkload;
    this.retiredRule = retiredRule;
    Plan plan = current.plan();
    put(workloads, current.workloadNumbers(), plan.workloads());
    put(rules, current.ruleNumbers(), plan.rules());
    trustDomain = plan.settings().trustDomain();
    List<Integer> numbers = current.workloadNumbers();
    servicesOf(plan)
        .forEach(
            (workload, services) -> {
              if (services.size() == 1 && workload < numbers.size()) {
                onlyServices.put(
                    numbers.get(workload), plan.workloads().get(services.iterator().next()));
              }
            });
  }

  /** Services by the workloads that the kernel leads to; both are places in the plan. */
  private static Map<Integer, Set<Integer>> servicesOf(Plan plan) {
    Map<Integer, Set<Integer>> services = new HashMap<>();
    for (Service service : plan.services()) {
      for (int slot : Set.copyOf(service.slots())) {
        int workload = plan.backends().get(slot).workload();
        // Addresses of nobody have no name of their own that a service could stand for.
        if (slot != 0 && !plan.workloads().get(workload).kind().equals("Reserved")) {
          services.computeIfAbsent(workload, key -> new HashSet<>()).add(service.workload());
        }
      }
    }
    return services;
  }

  /** First part of principals. */
  String trustDomain() {
    return trustDomain;
  }

  /**
   * The service that leads to a workload, if the generation in force has just one. The kernel
   * counts by workload, whichever address was dialled.
   */
  Optional<Workload> onlyServiceOf(int number) {
    return Optional.ofNullable(onlyServices.get(number));
  }

  private static <T> void put(Map<Integer, T> byNumber, List<Integer> numbers, List<T> things) {
    for (int i = 0; i < Math.min(numbers.size(), things.size()); i++) {
      byNumber.put(numbers.get(i), things.get(i));
    }
  }

  /** The workload of a number; one called {@code unknown} when nobody knows it. */
  public Workload workload(int number) {
    return Optional.ofNullable(workloads.get(number))
        .or(() -> retiredWorkload.apply(number).map(Names::retired))
        .orElseGet(() -> retired("Unknown//" + UNKNOWN));
  }

  private static Workload retired(String key) {
    String[] parts = key.split("/", 3);
    return parts.length == 3
        ? new Workload(parts[1], parts[2], parts[0], 0, List.of(), false, "", "", "")
        : new Workload("", key, "Unknown", 0, List.of(), false, "", "", "");
  }

  /** Key of the rule of a number: the same as long as the rule is, whatever file it stands in. */
  public String ruleKey(int number) {
    return Optional.ofNullable(rules.get(number))
        .map(Rule::key)
        .or(() -> retiredRule.apply(number))
        .orElse(UNKNOWN);
  }

  /** The rule of a number for people, with file and line if it is in force. */
  public String ruleText(int number) {
    return Optional.ofNullable(rules.get(number))
        .map(Rule::describe)
        .orElseGet(() -> ruleKey(number));
  }

  /** {@code FILE:LINE} of the rule of a number; empty when it is not in force or of no file. */
  public String rulePosition(int number) {
    return Optional.ofNullable(rules.get(number))
        .filter(rule -> !rule.file().isEmpty())
        .map(rule -> rule.file() + ":" + rule.line())
        .orElse("");
  }

  /** As {@link #workloadText}, with {@code service/} before one that stands for a service. */
  public String destinationText(int number) {
    return (workload(number).kind().equals("Service") ? "service/" : "") + workloadText(number);
  }

  /** {@code namespace/name}, or only the name for one without a namespace. */
  public String workloadText(int number) {
    Workload workload = workload(number);
    return workload.namespace().isEmpty()
        ? workload.name()
        : workload.namespace() + "/" + workload.name();
  }
}
