// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.node.bpf.BpfMap;
import dev.weir.node.bpf.BpfObject;
import dev.weir.node.bpf.BpfProgram;
import dev.weir.node.bpf.Btf;
import dev.weir.node.bpf.StructLayout;
import dev.weir.policy.plan.Identity;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.PortClass;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.Reserved;
import dev.weir.policy.plan.Rule;
import dev.weir.policy.plan.Verdict;
import dev.weir.policy.plan.VerdictIndex;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** The kernel's answers from tables that the loader wrote, against those of a plan's index. */
@Tag("kernel")
final class VerdictsInKernelTest {

  private static final int QUESTIONS = 20_000;
  private static final int IDENTITIES = 60;

  @RegisterExtension final KernelTest kernel = new KernelTest();

  private static Protocol protocol(Random random) {
    return Protocol.values()[1 + random.nextInt(3)];
  }

  /** Few identities and ports, so that every kind of row meets every kind of isolation. */
  private Plan randomPlan(Random random) {
    Plan base = kernel.plan().build();
    List<Rule> rules = new ArrayList<>(base.rules());
    for (int i = 1; i < 200; i++) {
      rules.add(new Rule("NetworkPolicy", "test", "rule-" + i, "", "test.yaml", i));
    }
    List<Identity> identities = new ArrayList<>();
    for (int i = 0; i < Identity.FIRST + IDENTITIES; i++) {
      boolean ingress = i != 0 && random.nextInt(3) != 0;
      boolean egress = i != 0 && random.nextInt(3) != 0;
      identities.add(
          new Identity(
              "identity " + i,
              ingress,
              egress,
              random.nextInt(4) == 0,
              random.nextInt(4) == 0,
              ingress ? random.nextInt(200) : 0,
              egress ? random.nextInt(200) : 0,
              List.of()));
    }
    Map<Long, Verdict> verdicts = new TreeMap<>();
    for (int i = 0; i < 6000; i++) {
      int source = random.nextInt(identities.size());
      int destination = random.nextInt(identities.size());
      Protocol protocol = Protocol.values()[random.nextInt(4)];
      int port = protocol == Protocol.ANY ? 0 : port(random);
      if (source == 0 && destination == 0) {
        continue;
      }
      Verdict verdict =
          new Verdict(
              source,
              destination,
              protocol,
              port >= 1000 && port < 2000 ? 1000 : port,
              Verdict.Decision.values()[random.nextInt(4)],
              random.nextInt(200));
      verdicts.putIfAbsent(verdict.key(), verdict);
    }
    return new Plan(
        base.settings(),
        base.workloads(),
        identities,
        rules,
        verdicts.values().stream().sorted().toList(),
        List.of(new PortClass(1000, 1999)),
        base.services(),
        base.backends(),
        base.endpoints(),
        base.cidrs(),
        base.ports(),
        base.proxy());
  }

  private static boolean isCanary(int identity) {
    return identity == Canary.ALLOWED || identity == Canary.REFUSED;
  }

  private static int port(Random random) {
    return random.nextBoolean() ? random.nextInt(5) : 998 + random.nextInt(1005);
  }

  @Test
  void theKernelAnswersAsThePlanSays() throws IOException {
    long seed = new Random().nextLong();
    Random random = new Random(seed);
    Plan plan = randomPlan(random);
    kernel.apply(plan);
    VerdictIndex index = new VerdictIndex(plan);
    byte[] elf =
        Files.readAllBytes(
            Path.of(System.getProperty("weir.probers"), "../test-objects/verdict_test.bpf.o"));
    StructLayout layout = Btf.of("verdict_test.bpf.o", elf).structure("weir_verdict_test");
    try (BpfObject object = BpfObject.open("verdict_test.bpf.o", elf)) {
      List<BpfMap> pinned = new ArrayList<>();
      object
          .maps()
          .forEach(
              (name, map) -> {
                BpfMap open = BpfMap.open(kernel.places().pinDir().resolve("maps").resolve(name));
                pinned.add(open);
                map.reuse(open);
              });
      object.load();
      try (BpfProgram program = object.programs().values().iterator().next().open()) {
        ByteBuffer data = layout.allocate(1);
        StructLayout.Field source = layout.field("source", 4);
        StructLayout.Field destination = layout.field("destination", 4);
        StructLayout.Field port = layout.field("port", 2);
        StructLayout.Field protocol = layout.field("protocol", 1);
        StructLayout.Field verdict = layout.field("verdict", 1);
        StructLayout.Field rule = layout.field("rule", 2);
        StructLayout.Field answered = layout.field("answered", 1);
        int refused = 0;
        for (int i = 0; i < QUESTIONS; i++) {
          int from = 1 + random.nextInt(plan.identities().size() - 1);
          if (from == Reserved.HOST.index()) {
            continue; // the index knows that the host is not governed; these tables do not
          }
          int to = 1 + random.nextInt(plan.identities().size() - 1);
          if (isCanary(from) || isCanary(to)) {
            continue; // the loader makes them, whatever stands there in the plan
          }
          Protocol with = protocol(random);
          int at = port(random);
          source.put(data, 0, from);
          destination.put(data, 0, to);
          port.put(data, 0, at);
          protocol.put(data, 0, with.ordinal());
          program.testRun(data, 1);
          VerdictIndex.Answer expected = index.lookup(from, to, with, at);
          String question = "seed " + seed + ": " + from + " -> " + to + " " + with + " " + at;
          assertThat(answered.getInt(data, 0)).as(question).isEqualTo(1);
          assertThat(Verdict.Decision.values()[verdict.getInt(data, 0)])
              .as(question)
              .isEqualTo(expected.decision());
          assertThat(rule.getInt(data, 0)).as(question).isEqualTo(expected.rule());
          refused += expected.decision() == Verdict.Decision.REFUSE ? 1 : 0;
        }
        assertThat(refused).isBetween(QUESTIONS / 20, QUESTIONS * 19 / 20);
      }
      pinned.forEach(BpfMap::close);
    }
  }
}
