// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy;

import dev.weir.policy.authorize.AccessPolicies;
import dev.weir.policy.authorize.Authorization;
import dev.weir.policy.authorize.Authorized;
import dev.weir.policy.authorize.Authorizer;
import dev.weir.policy.authorize.RuleTable;
import dev.weir.policy.cluster.Cluster;
import dev.weir.policy.lint.Lints;
import dev.weir.policy.model.AuthorizationPolicy;
import dev.weir.policy.model.BackendTlsPolicy;
import dev.weir.policy.model.Budget;
import dev.weir.policy.model.ConfigMap;
import dev.weir.policy.model.EndpointSlice;
import dev.weir.policy.model.Gateway;
import dev.weir.policy.model.Ingress;
import dev.weir.policy.model.Mesh;
import dev.weir.policy.model.ReferenceGrant;
import dev.weir.policy.model.Resource;
import dev.weir.policy.model.ResourceReader;
import dev.weir.policy.model.Route;
import dev.weir.policy.model.Secret;
import dev.weir.policy.model.Service;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.source.Diagnostic;
import dev.weir.policy.source.Diagnostics;
import dev.weir.policy.source.Purpose;
import dev.weir.policy.source.SourceTree;
import dev.weir.policy.steer.Resteerer;
import dev.weir.policy.steer.Steerer;
import dev.weir.policy.steer.Steering;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.function.Predicate;

/**
 * Compiles policy files to a plan.
 *
 * <p>The same files give the same plan, whatever their order. One error refuses all of them.
 */
public final class PolicyCompiler {

  /** What access and steering are made of, besides workloads and Mesh. */
  private static final List<Class<? extends Resource>> STEERING =
      List.of(
          AuthorizationPolicy.class,
          BackendTlsPolicy.class,
          ConfigMap.class,
          EndpointSlice.class,
          Gateway.class,
          Ingress.class,
          ReferenceGrant.class,
          Route.class,
          Secret.class,
          Service.class);

  private final Purpose purpose;

  private PolicyCompiler(Purpose purpose) {
    this.purpose = purpose;
  }

  /** Compiles a file, or the YAML and JSON files below a directory, for a node. */
  public static Compilation compileDirectory(Path path) {
    return compile(SourceTree.read(path));
  }

  /** Compiles files for a node. */
  public static Compilation compile(SourceTree tree) {
    return new PolicyCompiler(Purpose.ENFORCE).run(tree).compilation();
  }

  /**
   * Compiles files to look at what becomes of them: what only a later version serves is a warning.
   * Such a plan is not to be put in force.
   */
  public static Compilation check(SourceTree tree) {
    return checkAnalysis(tree).compilation();
  }

  /** As {@link #check}, with what the plan was made of. */
  public static Analysis checkAnalysis(SourceTree tree) {
    return new PolicyCompiler(Purpose.CHECK).run(tree);
  }

  /**
   * Compiles files to ask questions about: what only a later version serves is a warning, and so is
   * a Secret that is missing, since no answer depends on what is in it. Such a plan is not to be
   * put in force.
   */
  public static Analysis analyse(SourceTree tree) {
    return analyse(tree, resource -> true);
  }

  /** The same as if only some of the objects were there. */
  public static Analysis analyse(SourceTree tree, Predicate<Resource> there) {
    return new PolicyCompiler(Purpose.ASK).run(tree, there);
  }

  private Analysis run(SourceTree tree) {
    return run(tree, resource -> true);
  }

  private Analysis run(SourceTree tree, Predicate<Resource> there) {
    Diagnostics diagnostics = new Diagnostics(purpose);
    List<Resource> resources =
        ResourceReader.read(tree, diagnostics).stream().filter(there).toList();
    return run(resources, diagnostics);
  }

  /** Compiles what files declare. */
  static Analysis run(List<Resource> resources, Diagnostics diagnostics) {
    return build(resources, diagnostics).analysis();
  }

  /** An answer, and if it is a plan, the steps that led there. */
  record Outcome(Analysis analysis, Optional<Build> build) {}

  /** Compiles what files declare. */
  static Outcome build(List<Resource> resources, Diagnostics diagnostics) {
    return build(Cluster.of(resources, diagnostics), Optional.empty(), diagnostics);
  }

  /**
   * Compiles what files declare.
   *
   * @param before of a cluster with workloads of the same names, and so of services
   */
  static Outcome build(Cluster cluster, Optional<Build> before, Diagnostics diagnostics) {
    RuleTable rules = new RuleTable(cluster, diagnostics, before.map(Build::rules));
    Optional<Build> known = before.filter(b -> b.rules().wholeAs(rules));
    Optional<Build> same = known.filter(b -> differInNetworkPoliciesAlone(b.cluster(), cluster));
    AccessPolicies access =
        same.map(Build::access).orElseGet(() -> new AccessPolicies(cluster, rules));
    Steering steering;
    List<Diagnostic> findings;
    Optional<Resteerer.Result> again =
        same.isPresent() || access.asksOfRequests()
            ? Optional.empty()
            : known
                .filter(b -> !b.access().asksOfRequests())
                .flatMap(b -> Resteerer.steer(b.cluster(), cluster, b.steering(), b.steered()));
    if (same.isPresent()) {
      steering = same.get().steering();
      findings = same.get().steered();
    } else if (again.isPresent()) {
      steering = again.get().steering();
      findings = again.get().findings();
    } else {
      Diagnostics steered = new Diagnostics(diagnostics.purpose());
      steering = steer(cluster, access, rules, steered);
      findings = steered.all();
    }
    diagnostics.addAll(findings);
    Optional<Authorized> authorized = Optional.empty();
    Optional<Plan> plan = Optional.empty();
    if (!diagnostics.failed()) {
      authorized =
          known.isPresent()
              ? Authorizer.authorize(
                  cluster, access, steering, rules, diagnostics, known.get().authorized())
              : Authorizer.authorize(cluster, access, steering, rules, diagnostics);
      Planner planner =
          new Planner(
              cluster,
              steering,
              authorized.map(Authorized::authorization).orElse(Authorization.NOTHING),
              rules,
              known,
              diagnostics);
      planner.checkPorts();
      planner.resolveTraffic();
      if (diagnostics.purpose() == Purpose.CHECK) {
        Lints.run(cluster, diagnostics);
      }
      if (!diagnostics.failed()) {
        plan = Optional.of(planner.plan());
        if (diagnostics.purpose() != Purpose.ASK) {
          PlanBudget.check(
              plan.get(), cluster.mesh().map(Mesh::budget).orElse(Budget.NONE), diagnostics);
        }
      }
    }
    Compilation compilation =
        plan.isPresent() && !diagnostics.failed()
            ? new Compilation.Compiled(plan.get(), steering.keyPairs(), diagnostics.warnings())
            : new Compilation.Refused(diagnostics.errors(), diagnostics.warnings());
    Optional<Build> build =
        compilation instanceof Compilation.Compiled compiled && authorized.isPresent()
            ? Optional.of(
                new Build(
                    cluster, rules, access, steering, findings, authorized.get(), compiled.plan()))
            : Optional.empty();
    return new Outcome(new Analysis(compilation, cluster, rules, steering), build);
  }

  /** Kinds that no other stage than the last asks for. */
  private static boolean differInNetworkPoliciesAlone(Cluster one, Cluster other) {
    return one.hasWorkloadsOf(other)
        && STEERING.stream().allMatch(kind -> one.hasAllOf(kind, other));
  }

  private static Steering steer(
      Cluster cluster, AccessPolicies access, RuleTable rules, Diagnostics diagnostics) {
    Steerer.RuleIndex index = new Rules(rules);
    return access.asksOfRequests()
        ? Steerer.steer(
            cluster,
            index,
            (workload, port) -> access.asksOfRequests(workload, port).orElse(-1),
            diagnostics)
        : Steerer.steer(cluster, index, diagnostics);
  }

  private record Rules(RuleTable table) implements Steerer.RuleIndex {
    @Override
    public int of(Resource resource) {
      return table.of(resource);
    }

    @Override
    public int of(Gateway gateway, Gateway.Listener listener) {
      return table.of(gateway, listener);
    }
  }
}
