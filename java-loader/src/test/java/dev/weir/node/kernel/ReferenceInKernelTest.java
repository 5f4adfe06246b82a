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
import dev.weir.policy.plan.Endpoint;
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
import java.util.TreeMap;
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
  private static final int EACH = 3000;

  /** Of each cluster's questions, asked with real sockets as well. */
  private static final int SOCKETS = 4;

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
    Map<String, Integer> sockets = new TreeMap<>();
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
        int here = 0;
        for (int questions = in.readInt(); questions > 0; questions--) {
          Side from = Side.read(in);
          Side to = Side.read(in);
          Protocol protocol = Protocol.values()[in.readByte()];
          int port = in.readInt();
          Verdict.Decision expected = Outcomes.DECISIONS.get(in.readByte());
          if (from.workload() == Reserved.HOST.index() && !plan.settings().hostGoverned()) {
            continue; // the hooks ask nothing of the host then
          }
          plainText += isPlainText(plan, from, to, protocol, port) ? 1 : 0;
          Verdict.Decision answer = asker.ask(numbers, from, to, protocol, port);
          if (answer != expected) {
            fail(
                "%s: %s to %s, %s port %d: %s (expected: %s)",
                which, from, to, protocol, port, answer, expected);
          }
          asked++;
          outcomes.merge(answer, 1, Integer::sum);
          Optional<Dial> dial =
              here < SOCKETS ? dial(plan, from, to, protocol, port) : Optional.empty();
          if (dial.isPresent() && expected != Verdict.Decision.INSPECT) {
            here++;
            String result = dial.get().result();
            sockets.merge(result, 1, Integer::sum);
            if (result.equals("ECONNREFUSED") != (expected == Verdict.Decision.REFUSE)) {
              fail(
                  "%s: %s to %s, %s port %d: a socket meets %s (expected: %s)",
                  which, from, to, protocol, port, result, expected);
            }
          }
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
    assertThat(sockets).as("refused, and passed on to where nothing is").hasSizeGreaterThan(1);
    // Clusters differ in how much of this they hold; an answer that is never met asks for nothing.
    assertThat(asked).isGreaterThan(CLUSTERS * EACH / 2);
    assertThat(plainText).as("in plain text where mutual TLS is demanded").isPositive();
    assertThat(outcomes.getOrDefault(Verdict.Decision.ALLOW, 0)).isGreaterThan(asked / 200);
    assertThat(outcomes.getOrDefault(Verdict.Decision.REFUSE, 0)).isGreaterThan(asked / 200);
  }

  /** A connect of a workload to an address at which nobody listens. */
  private final class Dial {
    private final String cgroup;
    private final String address;
    private final int port;

    Dial(String cgroup, String address, int port) {
      this.cgroup = cgroup;
      this.address = address;
      this.port = port;
    }

    /** ECONNREFUSED is Weir's; who is let pass finds no way to there, as there is only lo. */
    String result() {
      return kernel.connect(cgroup, address, port);
    }
  }

  /** Where a question can be asked by a connect: also the owner of a port here would be judged. */
  private Optional<Dial> dial(Plan plan, Side from, Side to, Protocol protocol, int port) {
    if (protocol != Protocol.TCP
        || from.workload() < Workload.RESERVED
        || plan.ports().stream().anyMatch(owner -> !owner.apart() && owner.port() == port)) {
      return Optional.empty();
    }
    Optional<String> cgroup = plan.workloads().get(from.workload()).cgroups().stream().findFirst();
    Optional<Address> address =
        to.address()
            .or(
                () ->
                    plan.endpoints().stream()
                        .filter(endpoint -> endpoint.workload() == to.workload())
                        .map(Endpoint::address)
                        .findFirst());
    return cgroup.flatMap(
        path ->
            address.map(
                at -> new Dial(path.substring(kernel.root().length() + 1), at.toString(), port)));
  }

  /**
   * Whether mutual TLS is demanded of what comes over a wire: no row of the verdict table says so.
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
