// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.node.bpf.BpfLink;
import dev.weir.node.bpf.BpfMap;
import dev.weir.node.bpf.BpfProgram;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.Settings;
import dev.weir.policy.plan.Verdict;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.LongUnaryOperator;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** What is changed behind the loader's back is found, named and made good. */
@Tag("kernel")
final class AuditTest {

  private static final int PORT = 5432;

  @RegisterExtension final KernelTest kernel = new KernelTest();

  private Plan plan() {
    return kernel
        .plan()
        .workload("web")
        .workload("stranger")
        .workload("db")
        .owns("db", Protocol.TCP, PORT)
        .isolateIngress("db")
        .allow("web", "db", Protocol.TCP, PORT)
        .build();
  }

  private KernelNode inForce() {
    kernel.cgroup("web");
    KernelNode node = kernel.node();
    node.apply(plan(), List.of(), Duration.ZERO);
    kernel.serve("db", "listen", "127.0.0.1", "5432", "--reply", "db");
    assertThat(node.audit(node.current(), true).drifts()).isEmpty();
    expectPolicy();
    return node;
  }

  private void expectPolicy() {
    assertThat(kernel.ask("web", "127.0.0.1", PORT)).isEqualTo("db");
    assertThat(kernel.ask("stranger", "127.0.0.1", PORT)).isEqualTo("ECONNREFUSED");
  }

  private Path pin(String below) {
    return kernel.places().pinDir().resolve(below);
  }

  /** Looked at first, then repaired, then not there any more. */
  private void expectRepaired(KernelNode node, Drift.Kind kind, String what) {
    Audit looked = kernel.node().audit(Optional.empty(), false);
    assertThat(looked.unrepaired())
        .anySatisfy(
            drift -> {
              assertThat(drift.kind()).isEqualTo(kind);
              assertThat(drift.what()).contains(what);
            });
    Audit repaired = node.audit(node.current(), true);
    assertThat(repaired.drifts()).extracting(Drift::kind).contains(kind);
    assertThat(repaired.unrepaired()).isEmpty();
    assertThat(node.audit(node.current(), true).drifts()).isEmpty();
    expectPolicy();
  }

  @Test
  void aDetachedLinkIsAttachedAgain() {
    KernelNode node = inForce();
    try (BpfLink link = BpfLink.open(pin("links/weir_connect4"))) {
      link.detach();
    }
    assertThat(kernel.ask("stranger", "127.0.0.1", PORT)).isNotEqualTo("ECONNREFUSED");
    expectRepaired(node, Drift.Kind.LINK, "program weir_connect4 is not attached");
  }

  /** Nobody changed anything behind our back; it only has to be told. */
  @Test
  void anotherAddressOfTheNodeIsNoDriftToWhoStays() {
    KernelNode node = inForce();
    KernelTest.ip("-n", kernel.netns(), "link", "add", "lan0", "type", "veth");
    KernelTest.ip("-n", kernel.netns(), "link", "set", "lan0", "up");
    KernelTest.ip("-n", kernel.netns(), "addr", "add", "10.1.2.3/24", "dev", "lan0");
    assertThat(kernel.node().audit(Optional.empty(), false).unrepaired())
        .as("whoever only looks says that nobody has told the kernel")
        .isNotEmpty();
    assertThat(node.audit(node.current(), true).drifts()).isEmpty();
    assertThat(kernel.node().audit(Optional.empty(), false).unrepaired()).isEmpty();
  }

  @Test
  void aLinkWhosePinIsGoneIsMadeAgain() {
    KernelNode node = inForce();
    DurableFile.remove(pin("links/weir_cgroup_mkdir"));
    expectRepaired(node, Drift.Kind.LINK, "weir_cgroup_mkdir is not attached");
  }

  @Test
  void aProgramThatWasExchangedInItsLinkIsExchangedBack() {
    KernelNode node = inForce();
    // The same instructions with maps of its own, in which nobody owns a port.
    try (BpfLink link = BpfLink.open(pin("links/weir_bind4"));
        Mesh.Loaded loaded = Mesh.load(CompiledPrograms.read(), Map.of(), RevocationWay.BEST)) {
      Pins foreign = Pins.in(kernel.places().pinDir().resolveSibling(kernel.netns() + "-foreign"));
      try {
        loaded.pin(foreign, step -> {});
        try (BpfProgram same = BpfProgram.open(foreign.program("weir_bind4"))) {
          link.update(same);
        }
      } finally {
        foreign.remove();
      }
    }
    expectRepaired(node, Drift.Kind.LINK, "weir_bind4 is not what its link runs");
  }

  @Test
  void aProgramWhosePinIsGoneIsPinnedAgain() {
    KernelNode node = inForce();
    DurableFile.remove(pin("programs/weir_connect6"));
    expectRepaired(node, Drift.Kind.PROGRAM, "weir_connect6 is not pinned");
  }

  @Test
  void aMapThatWasPinnedInAnothersPlaceIsPutRight() {
    KernelNode node = inForce();
    DurableFile.remove(pin("maps/counters"));
    try (BpfMap foreign = BpfMap.create(BpfMap.Type.ARRAY, "counters", 4, 8, 4, 0)) {
      foreign.pin(pin("maps/counters"));
    }
    expectRepaired(node, Drift.Kind.MAP, "map counters is another one");
  }

  /** The bucket that holds a row, or room, changed by the given edit. */
  private void edit(LongUnaryOperator edit) {
    int slot = kernel.node().current().orElseThrow().slot();
    try (BpfMap outer = BpfMap.open(pin("maps/verdicts"))) {
      ByteBuffer id = outer.newValue();
      assertThat(outer.lookup(outer.newKey().putInt(0, slot), id)).isTrue();
      try (BpfMap verdicts = BpfMap.byId(id.getInt(0))) {
        ByteBuffer key = verdicts.newKey();
        ByteBuffer bucket = verdicts.newValue();
        assertThat(verdicts.lookup(key, bucket)).isTrue();
        for (int at = 0; at < bucket.capacity(); at += Long.BYTES) {
          long before = bucket.getLong(at);
          long after = edit.applyAsLong(before);
          if (after != before) {
            verdicts.update(key, bucket.putLong(at, after));
            return;
          }
        }
        throw new AssertionError("nothing to edit");
      }
    }
  }

  @Test
  void anEditedVerdictIsWrittenAgain() {
    KernelNode node = inForce();
    edit(
        row -> {
          Verdict verdict = Verdict.ofRow(row);
          return verdict.port() == PORT
              ? new Verdict(
                      verdict.source(),
                      verdict.destination(),
                      verdict.protocol(),
                      PORT,
                      Verdict.Decision.REFUSE,
                      verdict.rule())
                  .row()
              : row;
        });
    assertThat(kernel.ask("web", "127.0.0.1", PORT)).isEqualTo("ECONNREFUSED");
    expectRepaired(node, Drift.Kind.ENTRY, "the kernel lacks allow from [web] to [db] tcp port");
  }

  @Test
  void aVerdictThatWasAddedIsRemoved() {
    KernelNode node = inForce();
    Plan plan = node.current().orElseThrow().plan();
    int stranger = identity(plan, "stranger");
    int db = identity(plan, "db");
    long foreign = new Verdict(stranger, db, Protocol.TCP, PORT, Verdict.Decision.ALLOW, 0).row();
    edit(row -> row == 0 ? foreign : row);
    assertThat(kernel.ask("stranger", "127.0.0.1", PORT)).isEqualTo("db");
    expectRepaired(node, Drift.Kind.ENTRY, "the kernel has allow from [stranger] to [db] tcp");
  }

  private static int identity(Plan plan, String name) {
    return plan.workloads().stream()
        .filter(workload -> workload.name().equals(name))
        .findFirst()
        .orElseThrow()
        .identity();
  }

  @Test
  void aCgroupThatWasGivenToAnotherWorkloadIsGivenBack() {
    KernelNode node = inForce();
    long web = Enrollment.Hierarchy.id(kernel.cgroup("web")).orElseThrow();
    long stranger = Enrollment.Hierarchy.id(kernel.cgroup("stranger")).orElseThrow();
    try (BpfMap cgroups = BpfMap.open(pin("maps/cgroups"))) {
      ByteBuffer key = cgroups.newKey();
      ByteBuffer value = cgroups.newValue();
      assertThat(cgroups.lookup(key.putLong(0, web), value)).isTrue();
      cgroups.update(key.putLong(0, stranger), value);
    }
    expectRepaired(node, Drift.Kind.ENROLMENT, "stranger is workload");
  }

  @Test
  void aForeignEntryOfCgroupsIsRemoved() {
    KernelNode node = inForce();
    try (BpfMap cgroups = BpfMap.open(pin("maps/cgroups"))) {
      ByteBuffer value = cgroups.newValue();
      value.putInt(0, 16).putInt(4, 16);
      cgroups.update(cgroups.newKey().putLong(0, 4_000_000_000L), value);
    }
    expectRepaired(node, Drift.Kind.ENROLMENT, "cgroup 4000000000 is workload 16");
  }

  @Test
  void aSlotThatWasPutInForceByAnotherIsPutOutOfForce() {
    KernelNode node = inForce();
    Current ours = node.current().orElseThrow();
    try (BpfMap current = BpfMap.open(pin("maps/current"));
        BpfMap.Word word = current.word()) {
      word.set(new Slot(1 - ours.slot(), 0).word());
    }
    assertThat(kernel.ask("stranger", "127.0.0.1", PORT)).isEqualTo("db");
    Audit repaired = node.audit(Optional.of(ours), true);
    assertThat(repaired.drifts()).extracting(Drift::kind).containsExactly(Drift.Kind.CURRENT);
    assertThat(repaired.unrepaired()).isEmpty();
    expectPolicy();
  }

  private static final long NEVER = 1_000_000;

  private List<String> canary(KernelNode node) {
    Settings settings = node.current().orElseThrow().plan().settings();
    Enrollment.Hierarchy hierarchy = Enrollment.Hierarchy.of(kernel.places().cgroupRoot());
    return Canary.connect(
        hierarchy.directory(Canary.allowedCgroup(settings)),
        hierarchy.directory(Canary.refusedCgroup(settings)),
        () -> node.telemetry().counters().getOrDefault("canaries_refused", NEVER));
  }

  @Test
  void theCanaryMeetsWhatAnApplicationWould() {
    KernelNode node = inForce();
    assertThat(canary(node)).isEmpty();
    // It is nobody's news.
    assertThat(node.telemetry().pairs()).noneMatch(pair -> pair.source() < Numbers.FIRST_WORKLOAD);
    assertThat(node.telemetry().refusals())
        .noneMatch(refusal -> refusal.source() < Numbers.FIRST_WORKLOAD);
  }

  @Test
  void aConnectThatShouldHaveBeenRefusedIsADrift() {
    KernelNode node = inForce();
    for (String family : List.of("4", "6")) {
      try (BpfLink link = BpfLink.open(pin("links/weir_connect" + family))) {
        link.detach();
      }
    }
    assertThat(canary(node))
        .contains(
            "a connect over IPv4 that is refused to everybody was made",
            "a connect over IPv6 that is refused to everybody was made");
    assertThat(kernel.node().audit(Optional.empty(), false).unrepaired())
        .anySatisfy(drift -> assertThat(drift.kind()).isEqualTo(Drift.Kind.CANARY));
    expectRepaired(node, Drift.Kind.LINK, "program weir_connect4 is not attached");
  }

  @Test
  void aConnectThatShouldHaveBeenMadeIsADrift() throws Exception {
    KernelNode node = inForce();
    // Who lives there may reach nobody: somebody has exchanged the two.
    Settings settings = node.current().orElseThrow().plan().settings();
    Enrollment.Hierarchy hierarchy = Enrollment.Hierarchy.of(kernel.places().cgroupRoot());
    Path refused = hierarchy.directory(Canary.refusedCgroup(settings));
    assertThat(Canary.connect(refused, refused, () -> 0))
        .contains("a connect over IPv4 that is allowed failed: errno 111, refused");
  }

  @Test
  void theCanaryIsRefusedAlsoWhereAuditModeRefusesNobodyAndPassesAlsoAGovernedHost() {
    KernelNode node = kernel.node();
    node.apply(
        kernel.plan().workload("db").isolateIngress("db").audit().build(),
        List.of(),
        Duration.ZERO);
    assertThat(node.audit(node.current(), true).drifts()).isEmpty();
    node.apply(
        kernel.plan().workload("db").isolateIngress("db").governHost().build(),
        List.of(),
        Duration.ZERO);
    assertThat(node.audit(node.current(), true).drifts()).isEmpty();
  }

  @Test
  void downTakesTheCanarysCgroupsAway() {
    KernelNode node = inForce();
    Settings settings = node.current().orElseThrow().plan().settings();
    Path allowed =
        Enrollment.Hierarchy.of(kernel.places().cgroupRoot())
            .directory(Canary.allowedCgroup(settings));
    assertThat(allowed).isDirectory();
    node.down();
    assertThat(allowed).doesNotExist();
  }
}
