// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.ReferenceEvaluator.Side;
import dev.weir.policy.answer.Explainer;
import dev.weir.policy.answer.Explanation;
import dev.weir.policy.answer.Party;
import dev.weir.policy.model.Resource;
import dev.weir.policy.model.ResourceReader;
import dev.weir.policy.model.Workload;
import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.ProxyPlan;
import dev.weir.policy.plan.Reserved;
import dev.weir.policy.plan.Service;
import dev.weir.policy.plan.Verdict.Decision;
import dev.weir.policy.plan.VerdictIndex;
import dev.weir.policy.source.Diagnostics;
import dev.weir.policy.source.SourceTree;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;

/** The plan, explain and the reference evaluator answer alike. */
class NetworkPolicySemanticsTest {

  private static final List<Protocol> PROTOCOLS = List.of(Protocol.TCP, Protocol.UDP);

  private record Question(Side from, Side to, int source, int destination) {}

  private static final class World {
    final String yaml;
    final SourceTree tree;
    final Analysis analysis;
    final Plan plan;
    final VerdictIndex index;
    final List<Workload> workloads;
    final ReferenceEvaluator reference;

    World(long seed) {
      yaml = RandomPolicies.yaml(seed);
      tree = SourceTree.of("random.yaml", yaml);
      analysis = PolicyCompiler.analyse(tree);
      assertThat(analysis.compilation()).as(yaml).isInstanceOf(Compilation.Compiled.class);
      plan = ((Compilation.Compiled) analysis.compilation()).plan();
      index = new VerdictIndex(plan);
      workloads = analysis.cluster().workloads();
      List<Resource> resources = ResourceReader.read(tree, new Diagnostics());
      reference = new ReferenceEvaluator(resources);
    }

    int identity(Workload workload) {
      return plan.workloads().stream()
          .filter(
              w ->
                  w.kind().equals("Workload")
                      && w.namespace().equals(workload.meta().namespace())
                      && w.name().equals(workload.meta().name()))
          .findFirst()
          .orElseThrow()
          .identity();
    }

    List<Question> questions() {
      List<Side> sides = new ArrayList<>();
      List<Integer> identities = new ArrayList<>();
      for (Workload workload : workloads) {
        sides.add(Side.of(workload));
        identities.add(identity(workload));
      }
      for (String text : RandomPolicies.OUTSIDE) {
        Address address = Address.parse(text).orElseThrow();
        sides.add(Side.of(address));
        identities.add(index.outside(address));
      }
      sides.add(Side.unknown());
      identities.add(Reserved.UNKNOWN.index());
      sides.add(Side.host());
      identities.add(Reserved.HOST.index());
      List<Question> questions = new ArrayList<>();
      for (int from = 0; from < sides.size(); from++) {
        for (int to = 0; to < sides.size(); to++) {
          questions.add(
              new Question(
                  sides.get(from), sides.get(to), identities.get(from), identities.get(to)));
        }
      }
      return questions;
    }
  }

  @Property(tries = 300)
  void theKernelsOrderOfLookUpsAnswersAsTheApiDefines(@ForAll long seed) {
    World world = new World(seed);
    for (Question question : world.questions()) {
      for (Protocol protocol : PROTOCOLS) {
        for (int port : RandomPolicies.PORTS) {
          boolean expected =
              world.reference.allowed(question.from(), question.to(), protocol, port);
          VerdictIndex.Answer answer =
              world.index.lookup(question.source(), question.destination(), protocol, port);
          assertThat(answer.decision())
              .as("%s%n%s %s %d in%n%s", question, protocol, port, seed, world.yaml)
              .isEqualTo(expected ? Decision.ALLOW : Decision.REFUSE);
        }
      }
    }
  }

  @Property(tries = 100)
  void explanationsAddUpToTheVerdict(@ForAll long seed) {
    World world = new World(seed);
    Explainer explainer =
        new Explainer(world.analysis, (Compilation.Compiled) world.analysis.compilation());
    for (int from = 0; from < world.workloads.size(); from++) {
      for (int to = 0; to < world.workloads.size(); to++) {
        for (int port : RandomPolicies.PORTS) {
          Explanation explanation =
              explainer.explain(
                  new Party.Declared(from, "a"), new Party.Declared(to, "b"), Protocol.TCP, port);
          assertThat(explanation.why()).as(world.yaml).doesNotContain("disagree");
          assertThat(explanation.made())
              .as(world.yaml)
              .isEqualTo(
                  world.reference.allowed(
                      Side.of(world.workloads.get(from)),
                      Side.of(world.workloads.get(to)),
                      Protocol.TCP,
                      port));
        }
      }
    }
  }

  @Property(tries = 300)
  void aServiceLeadsToTheProxyForWhoeverMayReachOneOfItsBackends(@ForAll long seed) {
    World world = new World(seed);
    Optional<Service> front =
        world.plan.services().stream().filter(s -> s.tier() == Service.Tier.PROXY).findFirst();
    if (front.isEmpty()) {
      return;
    }
    Set<Integer> backends = new TreeSet<>();
    for (ProxyPlan.Cluster cluster : world.plan.proxy().clusters()) {
      backends.addAll(cluster.endpoints());
    }
    for (Workload workload : world.workloads) {
      int source = world.identity(workload);
      boolean may =
          backends.isEmpty()
              ? !world.plan.identities().get(source).egressIsolated()
              : backends.stream()
                  .map(b -> world.plan.backends().get(b))
                  .anyMatch(
                      b ->
                          world
                              .index
                              .lookup(
                                  source,
                                  world.plan.workloads().get(b.workload()).identity(),
                                  Protocol.TCP,
                                  b.port())
                              .made());
      assertThat(world.index.lookup(source, front.get().identity(), Protocol.TCP, 80).decision())
          .as(world.yaml)
          .isEqualTo(may ? Decision.INSPECT : Decision.REFUSE);
    }
    for (int backend : backends) {
      assertThat(
              world
                  .index
                  .lookup(
                      Reserved.PROXY.index(),
                      world
                          .plan
                          .workloads()
                          .get(world.plan.backends().get(backend).workload())
                          .identity(),
                      Protocol.TCP,
                      world.plan.backends().get(backend).port())
                  .made())
          .as(world.yaml)
          .isTrue();
    }
  }

  @Property(tries = 200)
  void theProxyMayDialNothingButBackends(@ForAll long seed) {
    World world = new World(seed);
    for (Workload workload : world.workloads) {
      for (int port : RandomPolicies.PORTS) {
        boolean backend =
            world.plan.proxy().clusters().stream()
                .flatMap(c -> c.endpoints().stream())
                .map(b -> world.plan.backends().get(b))
                .anyMatch(
                    b ->
                        b.port() == port
                            && world.plan.workloads().get(b.workload()).identity()
                                == world.identity(workload));
        assertThat(
                world
                    .index
                    .lookup(Reserved.PROXY.index(), world.identity(workload), Protocol.TCP, port)
                    .made())
            .as(world.yaml)
            .isEqualTo(backend);
      }
    }
  }
}
