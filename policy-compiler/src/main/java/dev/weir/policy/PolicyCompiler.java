// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy;

import dev.weir.policy.authorize.AccessPolicies;
import dev.weir.policy.authorize.Authorization;
import dev.weir.policy.authorize.Authorizer;
import dev.weir.policy.authorize.RuleTable;
import dev.weir.policy.cluster.Cluster;
import dev.weir.policy.lint.Lints;
import dev.weir.policy.model.Budget;
import dev.weir.policy.model.Gateway;
import dev.weir.policy.model.Mesh;
import dev.weir.policy.model.Resource;
import dev.weir.policy.model.ResourceReader;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.source.Diagnostics;
import dev.weir.policy.source.Purpose;
import dev.weir.policy.source.SourceTree;
import dev.weir.policy.steer.Steerer;
import dev.weir.policy.steer.Steering;
import java.nio.file.Path;
import java.util.List;
import java.util.function.Predicate;

/**
 * Compiles policy files to a plan.
 *
 * <p>The same files give the same plan, whatever their order. One error refuses all of them.
 */
public final class PolicyCompiler {

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
    Cluster cluster = Cluster.of(resources, diagnostics);
    RuleTable rules = new RuleTable(cluster, diagnostics);
    AccessPolicies access = new AccessPolicies(cluster, rules);
    Steerer.RuleIndex index = new Rules(rules);
    Steering steering =
        access.asksOfRequests()
            ? Steerer.steer(
                cluster,
                index,
                (workload, port) -> access.asksOfRequests(workload, port).orElse(-1),
                diagnostics)
            : Steerer.steer(cluster, index, diagnostics);
    return new Analysis(
        compilation(cluster, access, rules, steering, diagnostics), cluster, rules, steering);
  }

  private static Compilation compilation(
      Cluster cluster,
      AccessPolicies access,
      RuleTable rules,
      Steering steering,
      Diagnostics diagnostics) {
    if (!diagnostics.failed()) {
      Authorization authorization =
          Authorizer.authorize(cluster, access, steering, rules, diagnostics);
      Planner planner = new Planner(cluster, steering, authorization, rules, diagnostics);
      planner.checkPorts();
      planner.resolveTraffic();
      if (diagnostics.purpose() == Purpose.CHECK) {
        Lints.run(cluster, diagnostics);
      }
      if (!diagnostics.failed()) {
        Plan plan = planner.plan();
        if (diagnostics.purpose() != Purpose.ASK) {
          PlanBudget.check(plan, cluster.mesh().map(Mesh::budget).orElse(Budget.NONE), diagnostics);
        }
        if (!diagnostics.failed()) {
          return new Compilation.Compiled(plan, steering.keyPairs(), diagnostics.warnings());
        }
      }
    }
    return new Compilation.Refused(diagnostics.errors(), diagnostics.warnings());
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
