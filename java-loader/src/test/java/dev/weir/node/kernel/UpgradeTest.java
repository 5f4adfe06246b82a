// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.weir.node.bpf.BpfLink;
import dev.weir.node.bpf.BpfMap;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.Protocol;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Consumer;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/**
 * A later version over a mesh that runs: changed programs and one more, values with a field more,
 * tables with more room, one more map ({@code grown.bpf.c}).
 */
@Tag("kernel")
final class UpgradeTest {

  private static final String VIP = "10.96.0.9";
  private static final String PROXIED = "10.96.0.7";
  private static final int CONNECTIONS = 20;
  private static final Set<String> MET = Set.of("echo");

  @RegisterExtension final KernelTest kernel = new KernelTest();

  private final CompiledPrograms later = build("grown");

  private static CompiledPrograms build(String name) {
    Path object = Path.of(System.getProperty("weir.probers"), "../test-objects", name + ".bpf.o");
    try {
      return CompiledPrograms.of(Files.readAllBytes(object), Set.of());
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private KernelNode laterNode(Consumer<Step> steps) {
    return KernelNode.open(kernel.places(), RevocationWay.BEST, () -> later, steps);
  }

  private Applied applyLater(Plan plan) {
    return laterNode(step -> {}).apply(plan, List.of(), Duration.ZERO);
  }

  /** What "web" may reach: by address, by a virtual address, and through the proxy. */
  private Plan plan() {
    PlanBuilder plan =
        kernel
            .plan()
            .workload("web")
            .workload("stranger")
            .workload("shop")
            .owns("shop", Protocol.TCP, 7001)
            .isolateIngress("shop")
            .allow("web", "shop", Protocol.TCP, 7001)
            .proxied("cart", PROXIED, 80);
    int backend = plan.backend("shop", "127.0.0.1", 7001);
    return plan.service("shop-vip", VIP, 80, Protocol.TCP, List.of(backend)).build();
  }

  private Held hold(String address) {
    return Held.start(
        List.of(
            System.getProperty("weir.probers") + "/hold",
            "--netns",
            "/run/netns/" + kernel.netns(),
            "--cgroup",
            kernel.cgroup("web").toString(),
            address,
            "80",
            Integer.toString(CONNECTIONS)));
  }

  private BpfMap map(String name) {
    return BpfMap.open(kernel.places().pinDir().resolve("maps").resolve(name));
  }

  private int idOf(String name) {
    try (BpfMap map = map(name)) {
      return map.id();
    }
  }

  private int roomOf(String name) {
    try (BpfMap map = map(name)) {
      return map.maxEntries();
    }
  }

  @Test
  void connectionsGoOnAndNoVerdictIsMissed() {
    kernel.apply(plan());
    kernel.serve("shop", "listen", "127.0.0.1", "7001", "--echo");
    kernel.serve("proxy", "listen", "127.0.0.1", "15001", "--echo");
    try (Held straight = hold(VIP);
        Held proxied = hold(PROXIED)) {
      assertThat(straight.held()).isEqualTo(CONNECTIONS);
      assertThat(proxied.held()).isEqualTo(CONNECTIONS);
      final int sockets = idOf("sockets");
      final int current = idOf("current");
      AtomicBoolean upgrading = new AtomicBoolean(true);
      List<Future<Map<String, Long>>> races = new ArrayList<>();
      Applied applied;
      try (ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor()) {
        races.add(threads.submit(() -> race(upgrading, "web", VIP, 80)));
        races.add(threads.submit(() -> race(upgrading, "web", "127.0.0.1", 7001)));
        races.add(threads.submit(() -> race(upgrading, "web", PROXIED, 80)));
        races.add(threads.submit(() -> race(upgrading, "stranger", VIP, 80)));
        try {
          applied = applyLater(plan());
        } finally {
          upgrading.set(false);
        }
      }
      assertThat(applied.upgraded()).isTrue();
      assertThat(applied.attached()).isFalse();
      assertThat(applied.remarks())
          .anyMatch(remark -> remark.contains("paths keeps its room for 4096 entries"));
      assertThat(races.subList(0, 3)).allMatch(race -> race.resultNow().keySet().equals(MET));
      assertThat(races.getLast().resultNow()).containsOnlyKeys("ECONNREFUSED");
      for (Held held : List.of(straight, proxied)) {
        long rounds = held.status().rounds();
        KernelTest.pause(Duration.ofMillis(200));
        Held.Status status = held.status();
        assertThat(status.alive()).isEqualTo(CONNECTIONS);
        assertThat(status.named()).as("getpeername tells the virtual address").isEqualTo(20);
        assertThat(status.wrong()).isZero();
        assertThat(status.rounds()).isGreaterThan(rounds);
      }
      assertThat(idOf("sockets")).isEqualTo(sockets);
      assertThat(idOf("current")).isEqualTo(current);
    }
  }

  /** Connects without pause, and says how often each outcome was met. */
  private Map<String, Long> race(AtomicBoolean goesOn, String who, String address, int port) {
    Map<String, Long> outcomes = new TreeMap<>();
    do {
      kernel
          .run(who, "connect", address, "" + port, "--count", "100", "--read", "--text", "echo")
          .outcomes()
          .forEach((name, count) -> outcomes.merge(name, count, Long::sum));
    } while (goesOn.get());
    return outcomes;
  }

  @Test
  void whatWasCountedIsKeptAndWhatIsNewIsThere() {
    kernel.apply(plan());
    kernel.serve("shop", "listen", "127.0.0.1", "7001", "--reply", "shop");
    for (int i = 0; i < 5; i++) {
      assertThat(kernel.ask("web", VIP, 80)).isEqualTo("shop");
    }
    assertThat(kernel.ask("stranger", VIP, 80)).isEqualTo("ECONNREFUSED");
    final Snapshot before = kernel.node().telemetry();
    final int ejections = roomOf("ejections");
    final int addresses = roomOf("addresses");

    applyLater(plan());

    Snapshot after = laterNode(step -> {}).telemetry();
    assertThat(after.pairs()).isEqualTo(before.pairs());
    assertThat(after.refusals()).isEqualTo(before.refusals());
    assertThat(roomOf("ejections")).as("follows the budget").isEqualTo(ejections);
    assertThat(roomOf("addresses")).isEqualTo(4 * addresses);
    assertThat(roomOf("binds")).isEqualTo(1);
    try (BpfLink link = BpfLink.open(kernel.places().pinDir().resolve("links/weir_post_bind4"))) {
      assertThat(link.cgroupId()).isNotZero();
    }
    assertThat(kernel.ask("web", VIP, 80)).isEqualTo("shop");
    // Generations are written as before, and once more nothing is to be done.
    Applied again = applyLater(plan());
    assertThat(again.upgraded()).isFalse();
    assertThat(kernel.ask("web", VIP, 80)).isEqualTo("shop");
    assertThat(kernel.ask("stranger", VIP, 80)).isEqualTo("ECONNREFUSED");
  }

  @Test
  void anEarlierVersionDoesNotTouchWhatALaterOneMade() {
    applyLater(plan());
    kernel.serve("shop", "listen", "127.0.0.1", "7001", "--reply", "shop");
    assertThatThrownBy(() -> kernel.apply(plan()))
        .isInstanceOf(NodeException.class)
        .hasMessageContaining("another form")
        .hasMessageContaining("weir_service.service_grown")
        .hasMessageContaining("weir down");
    assertThat(kernel.ask("web", VIP, 80)).isEqualTo("shop");
    assertThat(kernel.ask("stranger", VIP, 80)).isEqualTo("ECONNREFUSED");
    kernel.node().down();
    kernel.apply(plan());
    assertThat(kernel.ask("web", VIP, 80)).isEqualTo("shop");
  }

  @Test
  void aLaterVersionSaysWhatToDoBeforeItReads() {
    kernel.apply(plan());
    assertThat(laterNode(step -> {}).outdated()).isTrue();
    assertThatThrownBy(() -> laterNode(step -> {}).telemetry())
        .isInstanceOf(NodeException.class)
        .hasMessageContaining("made by an earlier version: run weir apply");
    assertThat(kernel.node().outdated()).isFalse();
  }

  private static final class Killed extends Error {
    private static final long serialVersionUID = 1;
  }

  /** Broken off at a step, with all descriptors closed, as when the process is killed. */
  private void breakOff(Step at, int which) {
    int[] seen = {0};
    assertThatThrownBy(
            () ->
                laterNode(
                        step -> {
                          if (step == at && seen[0]++ == which) {
                            throw new Killed();
                          }
                        })
                    .apply(plan(), List.of(), Duration.ZERO))
        .isInstanceOf(Killed.class);
  }

  @Test
  void anUpgradeThatWasBrokenOffIsDoneByTheNext() {
    kernel.serve("shop", "listen", "127.0.0.1", "7001", "--reply", "shop");
    for (Map.Entry<Step, Integer> at :
        List.of(
            Map.entry(Step.EXCHANGED, 12), Map.entry(Step.GROWN, 0), Map.entry(Step.GROWN, 7))) {
      kernel.apply(plan());
      breakOff(at.getKey(), at.getValue());
      assertThat(kernel.ask("web", VIP, 80)).as("%s", at).isEqualTo("shop");
      assertThat(kernel.ask("stranger", VIP, 80)).as("%s", at).isEqualTo("ECONNREFUSED");
      applyLater(plan());
      assertThat(laterNode(step -> {}).outdated()).isFalse();
      assertThat(kernel.ask("web", VIP, 80)).as("%s", at).isEqualTo("shop");
      assertThat(kernel.ask("stranger", VIP, 80)).as("%s", at).isEqualTo("ECONNREFUSED");
      kernel.node().down();
    }
  }
}
