// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.fail;

import dev.weir.node.bpf.BpfMap;
import dev.weir.node.bpf.BpfObject;
import dev.weir.node.bpf.BpfProgram;
import dev.weir.node.bpf.Btf;
import dev.weir.node.bpf.StructLayout;
import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.PlanCodec;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.Reserved;
import dev.weir.policy.plan.Settings;
import dev.weir.policy.plan.Verdict;
import dev.weir.policy.plan.Workload;
import java.io.BufferedInputStream;
import java.io.DataInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/**
 * Policies of random clusters, compiled, written into the kernel's maps by the loader and asked
 * about there, against the compiler's reference evaluator, which has seen none of it. The questions
 * come from a process of their own, for the evaluator is among the compiler's tests ({@code
 * dev.weir.policy.Questions}).
 */
@Tag("kernel")
final class ReferenceInKernelTest {

  /** Of each slow machine's questions (-Dweir.slow) only a part. */
  private static final int SLOW = Integer.getInteger("weir.slow", 1);

  private static final int CLUSTERS = Math.max(5, 40 / SLOW);
  private static final int EACH = 2600;

  @RegisterExtension final KernelTest kernel = new KernelTest();

  /** One end: a workload by its index in the plan, or an address. */
  private record Side(int workload, Optional<Address> address) {
    static Side read(DataInputStream in) throws IOException {
      int workload = in.readInt();
      return workload >= 0
          ? new Side(workload, Optional.empty())
          : new Side(workload, Optional.of(Address.of(in.readNBytes(16))));
    }

    @Override
    public String toString() {
      return address.map(Address::toString).orElse("workload " + workload);
    }
  }

  /** The plan, living below this test's cgroup. */
  private Plan here(Plan plan) {
    Settings settings = plan.settings();
    return new Plan(
        new Settings(
            settings.mesh(),
            settings.defaultDeny(),
            settings.hostGoverned(),
            settings.managementAllow(),
            settings.governedCgroups().stream().map(path -> kernel.root() + path).toList(),
            settings.audit(),
            settings.refuseWithEperm(),
            settings.outboundPort(),
            settings.metricsPort(),
            settings.healthPort(),
            kernel.root() + settings.proxyCgroup()),
        plan.workloads().stream().map(this::here).toList(),
        plan.identities(),
        plan.rules(),
        plan.verdicts(),
        plan.portClasses(),
        plan.services(),
        plan.backends(),
        plan.endpoints(),
        plan.cidrs(),
        plan.ports(),
        plan.proxy(),
        plan.traffic());
  }

  private Workload here(Workload workload) {
    return new Workload(
        workload.namespace(),
        workload.name(),
        workload.kind(),
        workload.identity(),
        workload.cgroups().stream().map(path -> kernel.root() + path).toList(),
        workload.handsOutSockets(),
        workload.serviceAccount(),
        workload.app(),
        workload.version());
  }

  private static Process questions(long seed) throws IOException {
    Path compiler =
        Path.of(System.getProperty("weir.probers"), "../../../policy-compiler/target/test-classes")
            .normalize();
    assertThat(compiler.resolve("dev/weir/policy/Questions.class"))
        .as("the compiler's tests are compiled: build with -am")
        .exists();
    return new ProcessBuilder(
            Path.of(System.getProperty("java.home"), "bin", "java").toString(),
            "-XX:TieredStopAtLevel=1",
            "-XX:+UseSerialGC",
            "-cp",
            compiler + ":" + System.getProperty("java.class.path"),
            "dev.weir.policy.Questions",
            Long.toString(seed),
            Integer.toString(CLUSTERS),
            Integer.toString(EACH))
        .redirectError(ProcessBuilder.Redirect.INHERIT)
        .start();
  }

  @Test
  void theKernelAnswersAsTheReferenceEvaluatorDoes() throws IOException, InterruptedException {
    long seed = new Random().nextInt();
    byte[] elf =
        Files.readAllBytes(
            Path.of(System.getProperty("weir.probers"), "../test-objects/question_test.bpf.o"));
    Process process = questions(seed);
    int asked = 0;
    int plainText = 0;
    Map<Verdict.Decision, Integer> outcomes = new EnumMap<>(Verdict.Decision.class);
    Optional<Asker> loaded = Optional.empty();
    try (DataInputStream in =
        new DataInputStream(new BufferedInputStream(process.getInputStream(), 1 << 20))) {
      for (int cluster = 0; cluster < CLUSTERS; cluster++) {
        String which = "scripts/fuzz --clusters 1 --seed " + in.readLong();
        Plan plan = here(PlanCodec.decode(in.readNBytes(in.readInt())));
        kernel.apply(plan);
        // With the first generation come the maps that the test program shares.
        Asker asker = loaded.isPresent() ? loaded.get() : new Asker(elf);
        loaded = Optional.of(asker);
        List<Integer> numbers = kernel.node().workloadNumbers(plan);
        for (int questions = in.readInt(); questions > 0; questions--) {
          Side from = Side.read(in);
          Side to = Side.read(in);
          Protocol protocol = Protocol.values()[in.readByte()];
          int port = in.readInt();
          Verdict.Decision expected = Outcomes.DECISIONS.get(in.readByte());
          if (from.workload() == Reserved.HOST.index() && !plan.settings().hostGoverned()) {
            continue; // the hooks ask nothing of the host then
          }
          if (isPlainText(plan, from, to, protocol, port)) {
            plainText++;
            continue;
          }
          Verdict.Decision answer = asker.ask(numbers, from, to, protocol, port);
          if (answer != expected) {
            fail(
                "%s: %s to %s, %s port %d: %s (expected: %s)",
                which, from, to, protocol, port, answer, expected);
          }
          asked++;
          outcomes.merge(answer, 1, Integer::sum);
        }
      }
      assertThat(in.read()).as("nothing more is said").isEqualTo(-1);
    } catch (EOFException e) {
      throw new AssertionError("the process that asks has ended early, see its error", e);
    } finally {
      loaded.ifPresent(Asker::close);
      process.destroy();
    }
    assertThat(process.waitFor()).isZero();
    assertThat(plainText).isLessThan(asked / 20);
    assertThat(asked).isGreaterThan(CLUSTERS * EACH * 4 / 5);
    for (Verdict.Decision decision : Verdict.Decision.values()) {
      assertThat(outcomes.getOrDefault(decision, 0)).as("%s", outcomes).isGreaterThan(asked / 500);
    }
  }

  /**
   * Whether mutual TLS is demanded of what comes over a wire. That is refused, but not by a row of
   * the verdict table, which is what is asked here.
   */
  private static boolean isPlainText(Plan plan, Side from, Side to, Protocol protocol, int port) {
    if (from.address().isEmpty() || protocol != Protocol.TCP || to.workload() < 0) {
      return false;
    }
    int identity = plan.workloads().get(to.workload()).identity();
    return plan.identities().get(identity).strict().stream()
        .anyMatch(strict -> strict.first() <= port && port <= strict.last());
  }

  /** The order of the reference evaluator's outcomes, which are not on this class path. */
  private static final class Outcomes {
    static final List<Verdict.Decision> DECISIONS =
        List.of(
            Verdict.Decision.ALLOW,
            Verdict.Decision.REFUSE,
            Verdict.Decision.AUDIT,
            Verdict.Decision.INSPECT);

    private Outcomes() {}
  }

  /** The test program on this mesh's maps. */
  private final class Asker implements AutoCloseable {
    private final List<BpfMap> maps = new ArrayList<>();
    private final BpfObject object;
    private final BpfProgram program;
    private final ByteBuffer data;
    private final StructLayout.Field from;
    private final StructLayout.Field to;
    private final StructLayout.Field fromWorkload;
    private final StructLayout.Field toWorkload;
    private final StructLayout.Field port;
    private final StructLayout.Field protocol;
    private final StructLayout.Field verdict;
    private final StructLayout.Field answered;

    Asker(byte[] elf) {
      StructLayout layout = Btf.of("question_test.bpf.o", elf).structure("weir_question_test");
      data = layout.allocate(1);
      from = layout.field("from", 16);
      to = layout.field("to", 16);
      fromWorkload = layout.field("from_workload", 4);
      toWorkload = layout.field("to_workload", 4);
      port = layout.field("port", 2);
      protocol = layout.field("protocol", 1);
      verdict = layout.field("verdict", 1);
      answered = layout.field("answered", 1);
      object = BpfObject.open("question_test.bpf.o", elf);
      object
          .maps()
          .forEach(
              (name, map) -> {
                Path pin = kernel.places().pinDir().resolve("maps").resolve(name);
                if (Files.exists(pin)) {
                  BpfMap open = BpfMap.open(pin);
                  maps.add(open);
                  map.reuse(open);
                }
              });
      object.programs().forEach((name, other) -> other.load(name.equals("weir_question_test")));
      object.load();
      program =
          Optional.ofNullable(object.programs().get("weir_question_test")).orElseThrow().open();
    }

    Verdict.Decision ask(
        List<Integer> numbers, Side source, Side destination, Protocol with, int at) {
      put(fromWorkload, from, numbers, source);
      put(toWorkload, to, numbers, destination);
      port.put(data, 0, at);
      protocol.put(data, 0, with.ordinal());
      program.testRun(data, 1);
      if (answered.getInt(data, 0) != 1) {
        fail("no generation is in force");
      }
      return Verdict.Decision.values()[verdict.getInt(data, 0)];
    }

    private void put(
        StructLayout.Field workload, StructLayout.Field address, List<Integer> numbers, Side side) {
      workload.put(data, 0, side.workload() < 0 ? 0 : numbers.get(side.workload()));
      side.address().ifPresent(given -> address.put(data, 0, given.bytes()));
    }

    @Override
    public void close() {
      program.close();
      object.close();
      maps.forEach(BpfMap::close);
    }
  }
}
