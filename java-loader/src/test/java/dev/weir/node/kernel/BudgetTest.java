// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.node.bpf.BpfException;
import dev.weir.node.bpf.BpfMap;
import dev.weir.node.bpf.Errno;
import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Backend;
import dev.weir.policy.plan.Endpoint;
import dev.weir.policy.plan.Identity;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.PortOwner;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.ProxyPlan;
import dev.weir.policy.plan.Rule;
import dev.weir.policy.plan.Service;
import dev.weir.policy.plan.Settings;
import dev.weir.policy.plan.Verdict;
import dev.weir.policy.plan.Workload;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** What all kernel maps of a mesh take together. */
@Tag("kernel")
final class BudgetTest {

  private static final int IDENTITIES = 1000;
  private static final int SERVICES = 5000;
  private static final int VERDICTS = 100_000;

  @RegisterExtension final KernelTest kernel = new KernelTest();

  /** As large as the budget is meant for: three backends behind each service. */
  private Plan large(int mapBytes) {
    Plan small = kernel.plan().build();
    List<Workload> workloads = new ArrayList<>(small.workloads());
    List<Identity> identities = new ArrayList<>(small.identities());
    List<Rule> rules = new ArrayList<>(small.rules());
    List<Endpoint> endpoints = new ArrayList<>();
    List<Backend> backends = new ArrayList<>(small.backends());
    List<PortOwner> ports = new ArrayList<>();
    List<Service> services = new ArrayList<>();
    for (int i = 0; i < IDENTITIES; i++) {
      String name = "w%04d".formatted(i);
      rules.add(new Rule("NetworkPolicy", "test", name, "", "test.yaml", i));
      // And one port that PeerAuthentication excepts.
      List<Identity.StrictPorts> strict =
          List.of(
              new Identity.StrictPorts(0, 8079, i + 1),
              new Identity.StrictPorts(8081, 65_535, i + 1));
      identities.add(new Identity(name, true, true, false, false, i + 1, i + 1, strict));
      int workload = workloads.size();
      workloads.add(
          new Workload(
              "test",
              name,
              "Workload",
              identities.size() - 1,
              List.of(kernel.root() + "/" + name),
              false,
              "",
              "",
              ""));
      Address address = Address.ofV4(0x0a000000 | i);
      endpoints.add(new Endpoint(address, workload, false));
      backends.add(new Backend(address, 8080, workload, identities.size() - 1));
      ports.add(new PortOwner(Protocol.TCP, 20_000 + i, workload));
    }
    for (int i = 0; i < SERVICES; i++) {
      workloads.add(
          new Workload("test", "s%04d".formatted(i), "Service", 3, List.of(), false, "", "", ""));
      services.add(
          new Service(
              workloads.size() - 1,
              Address.ofV4(0x0a600000 | i),
              80,
              Protocol.TCP,
              Service.Tier.KERNEL,
              0,
              0,
              List.of(1 + i % IDENTITIES, 1 + (i + 1) % IDENTITIES, 1 + (i + 2) % IDENTITIES)));
    }
    Random random = new Random(5);
    Set<Long> pairs = new HashSet<>();
    List<Verdict> verdicts = new ArrayList<>();
    while (verdicts.size() < VERDICTS) {
      int source = Identity.FIRST + random.nextInt(IDENTITIES);
      int destination = Identity.FIRST + random.nextInt(IDENTITIES);
      if (pairs.add((long) source << 32 | destination)) {
        verdicts.add(
            new Verdict(
                source,
                destination,
                Protocol.TCP,
                8080,
                Verdict.Decision.ALLOW,
                1 + destination - Identity.FIRST));
      }
    }
    return new Plan(
        withBudget(small, mapBytes).settings(),
        workloads,
        identities,
        rules,
        verdicts.stream().sorted().toList(),
        List.of(),
        services,
        backends,
        endpoints,
        List.of(),
        ports,
        ProxyPlan.NONE);
  }

  /** Fills what fills itself at run time, until there is room for no more. */
  private static int fill(BpfMap map) {
    Random random = new Random(7);
    ByteBuffer key = map.newKey();
    ByteBuffer value = map.newValue();
    byte[] bytes = new byte[key.capacity()];
    int entries = 0;
    while (true) {
      random.nextBytes(bytes);
      key.put(0, bytes);
      try {
        map.update(key, value);
      } catch (BpfException e) {
        if (e.errno() == Errno.ENOMEM) {
          KernelTest.pause(Duration.ofMillis(1)); // the allocator's own stock is filled up soon
          continue;
        }
        assertThat(e.errno()).isEqualTo(Errno.E2BIG);
        return entries;
      }
      entries++;
    }
  }

  static long memlock(BpfMap map) throws IOException {
    return Files.readAllLines(Path.of("/proc/self/fdinfo/" + descriptor(map))).stream()
        .filter(line -> line.startsWith("memlock:"))
        .mapToLong(line -> Long.parseLong(line.substring("memlock:".length()).strip()))
        .sum();
  }

  private static String descriptor(BpfMap map) throws IOException {
    try (var descriptors = Files.list(Path.of("/proc/self/fdinfo"))) {
      for (Path path : descriptors.toList()) {
        if (Files.exists(path) && Files.readAllLines(path).contains("map_id:\t" + map.id())) {
          return path.getFileName().toString();
        }
      }
    }
    throw new AssertionError("no descriptor of map " + map.id());
  }

  /** Of every map of the mesh, the inner ones of both slots included. */
  private Map<String, Long> locked() throws IOException {
    Map<String, Long> bytes = new TreeMap<>();
    for (Path pin : DurableFile.list(Pins.in(kernel.places().pinDir()).maps())) {
      String name = pin.getFileName().toString();
      try (BpfMap map = BpfMap.open(pin)) {
        bytes.put(name, memlock(map));
        if (map.type() == BpfMap.Type.ARRAY_OF_MAPS) {
          for (int slot = 0; slot < 2; slot++) {
            ByteBuffer id = map.newValue();
            assertThat(map.lookup(map.newKey().putInt(0, slot), id)).isTrue();
            try (BpfMap inner = BpfMap.byId(id.getInt(0))) {
              bytes.merge(name, memlock(inner), Long::sum);
            }
          }
        }
      }
    }
    return bytes;
  }

  /** Full of whatever comes, as the worst of clients could make it. */
  private long worst() throws IOException {
    for (String name :
        List.of(
            "handovers",
            "limit_states",
            "pairs",
            "refusals",
            "reply_peers",
            "ejections",
            "affinities",
            "homes")) {
      try (BpfMap map = BpfMap.open(Pins.in(kernel.places().pinDir()).map(name))) {
        // The kernel takes all memory of one that evicts when it is made.
        if (map.type() == BpfMap.Type.HASH || map.type() == BpfMap.Type.PERCPU_HASH) {
          assertThat(fill(map)).isEqualTo(map.maxEntries());
        }
      }
    }
    Map<String, Long> bytes = locked();
    assertThat(bytes).hasSizeGreaterThan(25).containsKeys("verdicts", "services", "limit_states");
    return bytes.values().stream().mapToLong(Long::longValue).sum();
  }

  @Test
  void everythingTogetherTakesAtMostEightMegabytesAtFullScale() throws IOException {
    Plan plan = large(Settings.MAP_BYTES);
    for (int i = 0; i < IDENTITIES; i++) {
      kernel.cgroup("w%04d".formatted(i));
    }
    kernel.apply(plan);
    kernel.apply(plan);
    assertThat(worst()).isLessThanOrEqualTo(8 << 20);
  }

  @Test
  void anotherBudgetOfTheMeshGivesOtherSizes() throws IOException {
    Plan small = kernel.plan().workload("web").build();
    kernel.apply(withBudget(small, 2 << 20));
    assertThat(worst()).isLessThanOrEqualTo(2 << 20);
    assertThat(kernel.apply(small).remarks())
        .anySatisfy(remark -> assertThat(remark).contains("spec.budget.mapBytes has changed"));
    kernel.node().down();

    kernel.apply(withBudget(small, 32 << 20));
    assertThat(worst()).isBetween(9L << 20, 32L << 20);
    assertThat(kernel.apply(withBudget(small, 32 << 20)).remarks())
        .noneSatisfy(remark -> assertThat(remark).contains("mapBytes"));
  }

  private static Plan withBudget(Plan plan, int mapBytes) {
    Settings as = plan.settings();
    return new Plan(
        new Settings(
            as.mesh(),
            as.defaultDeny(),
            as.hostGoverned(),
            as.managementAllow(),
            as.governedCgroups(),
            as.audit(),
            as.refuseWithEperm(),
            as.outboundPort(),
            as.metricsPort(),
            as.healthPort(),
            as.proxyCgroup(),
            mapBytes,
            plan.settings().icmp(),
            plan.settings().trustDomain(),
            plan.settings().telemetry(),
            plan.settings().trustedProxies()),
        plan.workloads(),
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
}
