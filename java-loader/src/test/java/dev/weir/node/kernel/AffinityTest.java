// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.node.bpf.BpfMap;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.Protocol;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** sessionAffinity ClientIP: a client keeps to its backend while it is there, and for its time. */
@Tag("kernel")
final class AffinityTest {

  private static final String VIP = "10.96.0.4";
  private static final String VIP6 = "fd96::4";
  private static final int HOURS = 10_800;
  private static final int CLIENTS = 12;
  private static final int[] FOUR = {7001, 7002, 7003, 7004};

  @RegisterExtension final KernelTest kernel = new KernelTest();

  private PlanBuilder service(Protocol protocol, int... ports) {
    PlanBuilder plan = kernel.plan().workload("server").workload("stranger");
    for (int i = 0; i < CLIENTS; i++) {
      plan.workload("client" + i);
    }
    List<Integer> backends = new ArrayList<>();
    for (int port : ports) {
      plan.owns("server", protocol, port);
      backends.add(plan.backend("server", "127.0.0.1", port));
    }
    return plan.service("shop", VIP, 80, protocol, backends);
  }

  private Plan keeping(int seconds, int... ports) {
    return service(Protocol.TCP, ports).keeps("shop", seconds).build();
  }

  private void serve(int... ports) {
    for (int port : ports) {
      String name = Integer.toString(port);
      kernel.serve("server", "listen", "127.0.0.1", name, "--reply", name);
    }
  }

  private Map<String, Long> connects(String client, int count) {
    return kernel
        .run(client, "connect", VIP, "80", "--read", "--count", String.valueOf(count))
        .outcomes();
  }

  /** The one backend that a client meets. */
  private String kept(String client) {
    Map<String, Long> outcomes = connects(client, 20);
    assertThat(outcomes).as(client).hasSize(1);
    return outcomes.keySet().iterator().next();
  }

  private Map<String, String> all() {
    Map<String, String> result = new HashMap<>();
    for (int i = 0; i < CLIENTS; i++) {
      result.put("client" + i, kept("client" + i));
    }
    return result;
  }

  private static int[] without(String port) {
    return Arrays.stream(FOUR).filter(one -> one != Integer.parseInt(port)).toArray();
  }

  private BpfMap affinities() {
    return BpfMap.open(kernel.places().pinDir().resolve("maps/affinities"));
  }

  private int remembered() {
    int[] count = new int[1];
    try (BpfMap map = affinities()) {
      map.forEach((key, value) -> count[0]++);
    }
    return count[0];
  }

  @Test
  void aClientKeepsToOneBackendAndClientsAreSpread() {
    kernel.apply(keeping(HOURS, FOUR));
    serve(FOUR);
    assertThat(Set.copyOf(all().values())).hasSizeGreaterThan(1);
    assertThat(remembered()).isEqualTo(CLIENTS);
  }

  @Test
  void withoutAffinityNothingIsRemembered() {
    kernel.apply(service(Protocol.TCP, FOUR).build());
    serve(FOUR);
    assertThat(connects("client0", 100)).hasSize(4);
    assertThat(remembered()).isZero();
  }

  @Test
  void nobodyIsMovedByBackendsThatComeOrByOthersThatGo() {
    kernel.apply(keeping(HOURS, FOUR));
    serve(7000, 7001, 7002, 7003, 7004, 7005);
    final Map<String, String> before = all();

    kernel.apply(keeping(HOURS, 7005, 7004, 7003, 7002, 7001, 7000));
    assertThat(all()).isEqualTo(before);

    String gone = Optional.ofNullable(before.get("client0")).orElseThrow();
    kernel.apply(keeping(HOURS, without(gone)));
    Map<String, String> after = all();
    before.forEach(
        (client, backend) -> {
          if (backend.equals(gone)) {
            assertThat(after.get(client)).isNotEqualTo(gone);
          } else {
            assertThat(after).containsEntry(client, backend);
          }
        });

    // One that came back is a stranger to those who have gone elsewhere.
    kernel.apply(keeping(HOURS, FOUR));
    assertThat(all()).isEqualTo(after);
  }

  @Test
  void afterItsTimeAClientIsLedAnew() {
    kernel.apply(keeping(2, 7001));
    serve(FOUR);
    assertThat(all().values()).containsOnly("7001");
    kernel.apply(keeping(2, FOUR));
    assertThat(all().values()).containsOnly("7001");

    KernelTest.pause(Duration.ofMillis(2200));

    assertThat(new HashSet<>(all().values())).hasSizeGreaterThan(1);
  }

  @Test
  void whoComesAllTheTimeKeepsItLongerThanThat() {
    kernel.apply(keeping(2, 7001));
    serve(FOUR);
    assertThat(kept("client0")).isEqualTo("7001");
    kernel.apply(keeping(2, FOUR));
    for (int i = 0; i < 8; i++) {
      KernelTest.pause(Duration.ofMillis(500));
      assertThat(kept("client0")).isEqualTo("7001");
    }
  }

  @Test
  void anEjectedBackendIsLeftForGood() {
    kernel.apply(
        service(Protocol.TCP, 7001).keeps("shop", HOURS).ejects("shop", 3, 700, 100).build());
    Prober server = kernel.serve("server", "listen", "127.0.0.1", "7001", "--reply", "7001");
    serve(7002);
    assertThat(kept("client0")).isEqualTo("7001");
    kernel.apply(
        service(Protocol.TCP, 7001, 7002).keeps("shop", HOURS).ejects("shop", 3, 700, 100).build());
    assertThat(kept("client0")).isEqualTo("7001");
    server.close();

    assertThat(connects("client0", 50)).isEqualTo(Map.of("ECONNREFUSED", 3L, "7002", 47L));

    serve(7001);
    KernelTest.pause(Duration.ofMillis(800));
    assertThat(kernel.node().ejections()).isEmpty();
    assertThat(kept("client0")).isEqualTo("7002");
  }

  @Test
  void unconnectedDatagramsKeepToItToo() {
    kernel.apply(service(Protocol.UDP, 7001).keeps("shop", HOURS).build());
    for (int port : FOUR) {
      String name = Integer.toString(port);
      kernel.serve("server", "udp-echo", "127.0.0.1", name, "--reply", name);
    }
    String[] send = {"sendto", VIP, "80", "--read"};
    assertThat(kernel.run("client0", send).text("line")).isEqualTo("7001");
    kernel.apply(service(Protocol.UDP, 7004, 7003, 7002, 7001).keeps("shop", HOURS).build());
    for (int i = 0; i < 10; i++) {
      assertThat(kernel.run("client0", send).text("line")).isEqualTo("7001");
      String[] connected = {"connect", VIP, "80", "--udp", "--text", "x", "--read"};
      assertThat(kernel.run("client0", connected).text("line")).isEqualTo("7001");
    }
    kernel.apply(service(Protocol.UDP, 7004, 7003, 7002).keeps("shop", HOURS).build());
    assertThat(kernel.run("client0", send).text("line")).isNotEqualTo("7001");
  }

  @Test
  void addressesOfTheOtherFamilyAndOtherServicesAreKeptToByThemselves() {
    PlanBuilder plan = service(Protocol.TCP, FOUR);
    plan.owns("server", Protocol.TCP, 8001);
    int six = plan.backend("server", "::1", 8001);
    plan.service("shop", VIP6, 80, Protocol.TCP, List.of(six));
    kernel.apply(plan.keeps("shop", HOURS).build());
    serve(FOUR);
    kernel.serve("server", "listen", "::1", "8001", "--reply", "six");
    String four = kept("client0");
    for (int i = 0; i < 3; i++) {
      assertThat(kernel.ask("client0", VIP6, 80)).isEqualTo("six");
      assertThat(kept("client0")).isEqualTo(four);
    }
    assertThat(remembered()).isEqualTo(2);
  }

  @Test
  void whoIsRefusedIsNotRemembered() {
    kernel.apply(
        service(Protocol.TCP, FOUR)
            .isolateIngress("server")
            .allow("client0", "server", Protocol.TCP, 7001)
            .allow("client0", "server", Protocol.TCP, 7002)
            .allow("client0", "server", Protocol.TCP, 7003)
            .allow("client0", "server", Protocol.TCP, 7004)
            .keeps("shop", HOURS)
            .build());
    serve(FOUR);
    assertThat(connects("stranger", 5)).isEqualTo(Map.of("ECONNREFUSED", 5L));
    assertThat(remembered()).isZero();
    kept("client0");
    assertThat(remembered()).isEqualTo(1);
  }

  @Test
  void whomAFullTableForgotMeetsTheSameBackendByItsHash() {
    kernel.apply(keeping(HOURS, FOUR));
    serve(FOUR);
    final Map<String, String> before = all();
    try (BpfMap map = affinities()) {
      ByteBuffer key = map.newKey();
      ByteBuffer value = map.newValue();
      for (int i = 0; i < 4 * map.maxEntries(); i++) {
        map.update(key.putInt(0, 1_000_000 + i), value);
      }
      assertThat(remembered()).isLessThanOrEqualTo(map.maxEntries());
      List<ByteBuffer> keys = new ArrayList<>();
      map.forEach((k, v) -> keys.add(BpfMap.newBuffer(k.remaining()).put(0, k, 0, k.remaining())));
      keys.forEach(map::delete);
    }
    assertThat(remembered()).isZero();
    assertThat(all()).isEqualTo(before);
    assertThat(kernel.node().telemetry().counters().get("affinities_full")).isZero();
  }
}
