// SPDX-License-Identifier: Apache-2.0
package dev.weir.perf.connect;

import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Backend;
import dev.weir.policy.plan.Endpoint;
import dev.weir.policy.plan.Identity;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.PortOwner;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.ProxyPlan;
import dev.weir.policy.plan.Reserved;
import dev.weir.policy.plan.Rule;
import dev.weir.policy.plan.Service;
import dev.weir.policy.plan.Settings;
import dev.weir.policy.plan.Verdict;
import dev.weir.policy.plan.Workload;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SplittableRandom;
import java.util.TreeMap;
import java.util.stream.Stream;

/**
 * A full node: 1,000 identities, ten workloads in each, 1,000 services, and 100,000 verdicts of
 * which no two have the same pair, protocol and port. Two of its workloads are real: {@code web}
 * may reach {@code cart} by TCP and UDP, directly and by a virtual address; every other verdict is
 * about somebody else. All identities are isolated both ways, so that every connection has to find
 * its row.
 */
public final class SyntheticPlan {

  /** Identities besides the reserved ones. */
  public static final int IDENTITIES = 1_000;

  /** Rows of the verdict table. */
  public static final int VERDICTS = 100_000;

  /** Workloads besides the reserved ones. */
  public static final int WORKLOADS = 10_000;

  private static final int SERVICES = 1_000;
  private static final int SEED = 20261121;

  /** Where {@code cart} is reached by a virtual address. */
  public static final String VIRTUAL_ADDRESS = "10.96.0.1";

  /** Port of the virtual address. */
  public static final int VIRTUAL_PORT = 80;

  private SyntheticPlan() {}

  /**
   * The plan.
   *
   * @param webCgroup path of the client's cgroup from the cgroup2 root
   * @param cartCgroup path of the server's cgroup from the cgroup2 root
   * @param proxyCgroup path of the proxy's cgroup from the cgroup2 root
   * @param cartPort where the server listens on loopback
   */
  public static Plan of(String webCgroup, String cartCgroup, String proxyCgroup, int cartPort) {
    List<Workload> workloads = workloads(webCgroup, cartCgroup);
    Map<String, Integer> index = new HashMap<>();
    for (int i = 0; i < workloads.size(); i++) {
      index.put(workloads.get(i).key(), i);
    }
    int web = at(index, "Workload/bench/w00000");
    int cart = at(index, "Workload/bench/w00001");
    List<Identity> identities = new ArrayList<>();
    for (int i = 0; i < Identity.FIRST; i++) {
      identities.add(new Identity(reserved(i), false, false, 0, 0));
    }
    for (int i = 0; i < IDENTITIES; i++) {
      identities.add(new Identity("app=a" + i, true, true, 1 + i, 1 + i));
    }
    List<Rule> rules = new ArrayList<>();
    rules.add(new Rule("Mesh", "bench", "mesh", "", "", 0));
    for (int i = 0; i < IDENTITIES; i++) {
      rules.add(
          new Rule("NetworkPolicy", "bench", "p%04d".formatted(i), "ingress[0]", "bench.yaml", 1));
    }
    List<Verdict> ours =
        Stream.of(Protocol.TCP, Protocol.UDP)
            .map(
                protocol ->
                    new Verdict(
                        workloads.get(web).identity(),
                        workloads.get(cart).identity(),
                        protocol,
                        cartPort,
                        Verdict.Decision.ALLOW,
                        1))
            .toList();
    List<Endpoint> endpoints = new ArrayList<>();
    List<Backend> backends = new ArrayList<>();
    backends.add(new Backend(new Address(0, 0), 0, 0, 0));
    backends.add(new Backend(Address.LOOPBACK4, cartPort, cart, workloads.get(cart).identity()));
    List<Service> services = new ArrayList<>();
    services.add(service(index, 0, VIRTUAL_PORT, Protocol.TCP, List.of(1)));
    services.add(service(index, 0, VIRTUAL_PORT, Protocol.UDP, List.of(1)));
    for (int i = 2; i < WORKLOADS; i++) {
      int workload = at(index, "Workload/bench/w%05d".formatted(i));
      Address address = Address.ofV4(0x0a000000 | i); // 10.0.x.y, on other nodes
      endpoints.add(new Endpoint(address, workload, true));
      if (i <= 3 * SERVICES) {
        backends.add(new Backend(address, 8080, workload, workloads.get(workload).identity()));
      }
    }
    for (int i = 1; i < SERVICES; i++) {
      services.add(service(index, i, 80, Protocol.TCP, List.of(3 * i - 1, 3 * i, 3 * i)));
    }
    endpoints.sort(Comparator.comparing(Endpoint::address));
    services.sort(
        Comparator.comparing(Service::address)
            .thenComparingInt(Service::port)
            .thenComparing(Service::protocol));
    return new Plan(
        settings(proxyCgroup),
        workloads,
        identities,
        rules,
        verdicts(ours),
        List.of(),
        services,
        backends,
        endpoints,
        List.of(),
        List.of(
            new PortOwner(Protocol.TCP, cartPort, cart),
            new PortOwner(Protocol.UDP, cartPort, cart)),
        ProxyPlan.NONE);
  }

  private static int at(Map<String, Integer> index, String key) {
    return Optional.ofNullable(index.get(key)).orElseThrow();
  }

  private static String reserved(int index) {
    return index < Reserved.values().length
        ? Reserved.values()[index].name().toLowerCase(java.util.Locale.ROOT)
        : "(unused)";
  }

  private static Settings settings(String proxyCgroup) {
    return new Settings(
        "bench/mesh",
        false,
        false,
        List.of(),
        List.of(),
        false,
        false,
        15001,
        15020,
        15021,
        proxyCgroup);
  }

  private static Service service(
      Map<String, Integer> index, int number, int port, Protocol protocol, List<Integer> slots) {
    return new Service(
        at(index, "Service/bench/s%04d".formatted(number)),
        Address.ofV4(0x0a600001 + number),
        port,
        protocol,
        Service.Tier.KERNEL,
        0,
        0,
        slots);
  }

  private static List<Workload> workloads(String webCgroup, String cartCgroup) {
    List<Workload> workloads = new ArrayList<>();
    for (int i = 0; i < Workload.RESERVED; i++) {
      workloads.add(new Workload("", reserved(i), "Reserved", i, List.of(), false, "", "", ""));
    }
    for (int i = 0; i < SERVICES; i++) {
      workloads.add(
          new Workload(
              "bench",
              "s%04d".formatted(i),
              "Service",
              Reserved.OUTSIDE.index(),
              List.of(),
              false,
              "",
              "",
              ""));
    }
    for (int i = 0; i < WORKLOADS; i++) {
      List<String> cgroups =
          switch (i) {
            case 0 -> List.of(webCgroup);
            case 1 -> List.of(cartCgroup);
            default -> List.of();
          };
      workloads.add(
          new Workload(
              "bench",
              "w%05d".formatted(i),
              "Workload",
              Identity.FIRST + i % IDENTITIES,
              cgroups,
              false,
              "default",
              "a" + i % IDENTITIES,
              "v1"));
    }
    return workloads;
  }

  /** Random rows of distinct keys, sorted, some of them given. */
  private static List<Verdict> verdicts(List<Verdict> ours) {
    SplittableRandom random = new SplittableRandom(SEED);
    TreeMap<Long, Verdict> rows = new TreeMap<>();
    ours.forEach(row -> rows.put(row.key(), row));
    while (rows.size() < VERDICTS) {
      int destination = random.nextInt(IDENTITIES);
      Verdict row =
          new Verdict(
              Identity.FIRST + random.nextInt(IDENTITIES),
              Identity.FIRST + destination,
              Protocol.TCP,
              1 + random.nextInt(65_535),
              Verdict.Decision.ALLOW,
              1 + destination);
      rows.putIfAbsent(row.key(), row);
    }
    return List.copyOf(rows.values());
  }
}
