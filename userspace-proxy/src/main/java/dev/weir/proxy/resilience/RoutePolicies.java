// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.resilience;

import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.ProxyPlan;
import dev.weir.policy.plan.ProxyPlan.Route;
import dev.weir.policy.plan.ProxyPlan.RouteKind;
import dev.weir.policy.plan.ProxyPlan.RouteRule;
import dev.weir.policy.plan.Rule;
import dev.weir.policy.plan.TrafficPolicy;
import dev.weir.policy.plan.TrafficPolicy.CanaryRollback;
import dev.weir.policy.plan.TrafficPolicy.RequestRate;
import dev.weir.policy.plan.TrafficPolicy.RequestRates;
import dev.weir.policy.plan.TrafficSettings;
import dev.weir.policy.plan.TrafficSettings.Said;
import dev.weir.policy.plan.Workload;
import dev.weir.policy.route.StickySplit;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.stream.Collectors;

/**
 * What TrafficPolicies say of requests, in one generation. What was used up of a rate stays used up
 * in the next generation that says the same.
 */
public final class RoutePolicies {

  private final Plan plan;
  private final TrafficSettings settings;
  private final Journal journal;
  private final long now;
  private final Map<RateKey, RateLimiter> before;
  private final Map<RateKey, RateLimiter> limiters = new HashMap<>();
  private final Rollbacks rollbacks;
  private final Map<TrialKey, CanaryTrial> trialsBefore;
  private final Map<TrialKey, CanaryTrial> trials = new HashMap<>();

  private record TrialKey(Rollbacks.Key key, CanaryRollback setting) {}

  /**
   * What a rate is known by.
   *
   * @param policy {@code namespace/name}
   * @param where of what it counts the requests
   * @param index among the policy's rates
   */
  private record RateKey(String policy, String where, int index, RequestRate rate) {}

  /**
   * Of a plan.
   *
   * @param rollbacks that were made and not released
   * @param now monotonic nanoseconds
   */
  public RoutePolicies(
      Plan plan,
      TrafficSettings settings,
      Optional<RoutePolicies> previous,
      Journal journal,
      Rollbacks rollbacks,
      long now) {
    this.plan = plan;
    this.settings = settings;
    this.journal = journal;
    this.now = now;
    this.rollbacks = rollbacks;
    this.trialsBefore = previous.map(p -> p.trials).orElse(Map.of());
    this.before = previous.map(p -> p.limiters).orElse(Map.of());
  }

  /** Rates of what comes to a port of a Service's virtual addresses. */
  public RateLimits rates(ProxyPlan.VirtualService service) {
    Workload workload = plan.workloads().get(service.workload());
    String name = "Service " + workload.namespace() + "/" + workload.name();
    return rates(
        settings.ofService(service.workload(), service.port(), RequestRates.class),
        name,
        name + ":" + service.port());
  }

  /** Rates of what comes in by a listener. */
  public RateLimits rates(ProxyPlan.Listener listener) {
    String name = "Gateway " + listener.gateway();
    return rates(
        settings.ofListener(listener.gateway(), listener.name(), RequestRates.class),
        name,
        name + "/" + listener.name());
  }

  /** Rates of what meets a rule of a route, wherever it comes in. */
  public RateLimits rates(Route route, RouteRule rule) {
    String name = route.kind() + " " + route.name();
    return rates(
        settings.ofRoute(route.rule(), rule.name(), RequestRates.class),
        name,
        name + "/" + rule.name());
  }

  /** All of something counts together, unless its section has a say of its own. */
  private RateLimits rates(Optional<Said<RequestRates>> said, String whole, String section) {
    if (said.isEmpty()) {
      return RateLimits.NONE;
    }
    Rule policy = plan.rules().get(said.get().rule());
    String where = said.get().target().section().isEmpty() ? whole : section;
    List<RequestRate> rates = said.get().setting().rates();
    List<RateLimiter> found = new ArrayList<>();
    for (int i = 0; i < rates.size(); i++) {
      RequestRate rate = rates.get(i);
      RateKey key = new RateKey(policy.namespace() + "/" + policy.name(), where, i, rate);
      String name = rates.size() == 1 ? policy.name() : policy.name() + "-" + (i + 1);
      found.add(
          limiters.computeIfAbsent(
              key,
              k -> {
                RateLimiter known = before.get(k);
                return known != null
                    ? known
                    : new RateLimiter(rate, name, policy.describe(), journal, now);
              }));
    }
    return new RateLimits(found);
  }

  /**
   * How the requests of a rule are split.
   *
   * @param index of the rule
   * @param shares its backends
   */
  public TrafficSplit split(Route route, int index, List<StickySplit.Share> shares) {
    RouteRule rule = route.rules().get(index);
    Optional<Said<CanaryRollback>> trial =
        settings.ofRoute(route.rule(), rule.name(), CanaryRollback.class);
    return new TrafficSplit(
        settings
            .ofRoute(route.rule(), rule.name(), TrafficPolicy.StickySplit.class)
            .map(said -> new StickySplit(said.setting(), route, rule, index, shares)),
        trial.map(said -> trial(route, said)),
        trial.map(said -> said.setting().service()).orElse(""),
        shares);
  }

  private CanaryTrial trial(Route route, Said<CanaryRollback> said) {
    Rule policy = plan.rules().get(said.rule());
    Rollbacks.Key key =
        new Rollbacks.Key(
            policy.namespace() + "/" + policy.name(),
            (route.kind() == RouteKind.GRPC ? "GRPCRoute " : "HTTPRoute ") + route.name(),
            said.target().section(),
            said.setting().service());
    TrialKey known = new TrialKey(key, said.setting());
    return trials.computeIfAbsent(
        known,
        k -> {
          CanaryTrial goesOn = trialsBefore.get(k);
          return goesOn != null
              ? goesOn
              : new CanaryTrial(key, said.setting(), policy.describe(), rollbacks, now);
        });
  }

  /** It is in force: what was rolled back and is not said any more is forgotten. */
  public void inForce() {
    rollbacks.retain(trials.keySet().stream().map(TrialKey::key).collect(Collectors.toSet()));
  }

  /** What is on trial, and whether it is rolled back. */
  public Map<Rollbacks.Key, Boolean> trials() {
    Map<Rollbacks.Key, Boolean> all = new TreeMap<>();
    trials.forEach((key, trial) -> all.put(key.key(), trial.rolledBack()));
    return all;
  }

  /**
   * Gives canaries their weight again.
   *
   * @param route {@code namespace/name}
   * @param backend {@code namespace/service}; empty for all of the route
   * @return those that had none
   */
  public List<Rollbacks.Key> release(String route, String backend, long at) {
    List<Rollbacks.Key> released = new ArrayList<>();
    for (CanaryTrial trial : trials.values()) {
      Rollbacks.Key key = trial.key();
      if (trial.rolledBack()
          && key.route().endsWith(" " + route)
          && (backend.isEmpty() || key.backend().equals(backend))) {
        rollbacks.remove(key);
        trial.release(at);
        released.add(key);
      }
    }
    return released;
  }
}
