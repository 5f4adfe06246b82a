// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.plan;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * How much a plan takes in the kernel and on its way to the proxy.
 *
 * <p>Arrays are exact: entries of a multiple of eight bytes. Hash tables and tries count what the
 * kernel allocates for a full one besides keys and values (struct htab_elem and bucket, struct
 * lpm_trie_node with its intermediate nodes; kernel/bpf/hashtab.c, lpm_trie.c of Linux 6.1).
 *
 * @param tables of one generation, by the names of {@code weir/maps.h}
 * @param proxyBytes of the plan that the proxy gets; 0 when none is needed
 */
public record Footprint(List<Table> tables, long proxyBytes) {

  /** Rows of one bucket of verdicts, and how full the loader fills them. */
  private static final int BUCKET_ROWS = 8;

  private static final int MAX_LOAD_PERCENT = 80;

  /** Backends of one service that can be ejected: {@code roster} of {@code struct weir_service}. */
  private static final int MOST_EJECTED = 255;

  /** In which a service says for how long a client keeps to its backend. */
  private static final int AFFINITY_SLOTS = 2;

  /** The stable number of the first workload that is not reserved (docs/protocols.md). */
  private static final int FIRST_NUMBER = 16;

  private static final int HASH_ELEMENT = 48;
  private static final int HASH_BUCKET = 16;
  private static final int TRIE_NODE = 40;

  /** Copies the list. */
  public Footprint {
    tables = List.copyOf(tables);
  }

  /**
   * One kernel map of a generation.
   *
   * @param name of the map
   * @param entries that it has room for
   * @param bytes that it takes
   */
  public record Table(String name, long entries, long bytes) {}

  /** What a plan takes. */
  public static Footprint of(Plan plan) {
    List<Table> tables = new ArrayList<>();
    tables.add(array("generations", 1, 40));
    tables.add(array("workloads", numbers(plan), 8));
    tables.add(array("identities", plan.identities().size(), 8));
    // Where the host is governed, one more: what the agent's audit is allowed.
    long rows = (long) plan.verdicts().size() + (plan.settings().hostGoverned() ? 1 : 0);
    tables.add(array("verdicts", buckets(rows), BUCKET_ROWS * Long.BYTES));
    tables.add(array("rules", plan.rules().size(), 4));
    tables.add(hash("services", plan.services().size(), 20, 24));
    tables.add(array("slots", chunks(slots(plan)), 64));
    tables.add(array("backends", plan.backends().size(), 24));
    tables.add(hash("endpoints", plan.endpoints().size(), 16, 8));
    tables.add(trie("cidrs", plan.cidrs().size(), 20 + 4));
    tables.add(hash("ports", plan.ports().size(), 16, 8));
    tables.add(hash("limits", limits(plan), 8, 16));
    tables.add(trie("strict_ports", strictPorts(plan), 8 + 4));
    tables.add(array("port_classes", plan.portClasses().isEmpty() ? 0 : chunks(1 << 16), 64));
    long proxyBytes = plan.proxy().needed() ? PlanCodec.encode(PlanCodec.forProxy(plan)).length : 0;
    return new Footprint(tables, proxyBytes);
  }

  /** As many as a node that has had no other plan gives numbers to. */
  private static long numbers(Plan plan) {
    return (long) FIRST_NUMBER + plan.workloads().size() - Reserved.values().length;
  }

  /** Slots of every service, and of one that ejects each of its backends once more. */
  private static long slots(Plan plan) {
    Set<Integer> ejecting =
        plan.traffic().stream()
            .filter(
                policy ->
                    policy.settings().stream()
                        .anyMatch(TrafficPolicy.OutlierEjection.class::isInstance))
            .flatMap(policy -> policy.targets().stream())
            .filter(
                target ->
                    target.kind() == TrafficPolicy.TargetKind.SERVICE && target.section().isEmpty())
            .map(TrafficPolicy.Target::index)
            .collect(Collectors.toSet());
    long slots = 0;
    for (Service service : plan.services()) {
      slots += service.slots().size();
      slots += service.affinitySeconds() > 0 ? AFFINITY_SLOTS : 0;
      if (service.tier() == Service.Tier.KERNEL
          && service.protocol() == Protocol.TCP
          && ejecting.contains(service.workload())) {
        slots += service.slots().stream().distinct().limit(MOST_EJECTED).count();
      }
    }
    return slots;
  }

  /** At most: a service has one for each of its ports, a workload one. */
  private static long limits(Plan plan) {
    Map<Integer, Long> ports =
        plan.traffic().isEmpty()
            ? Map.of()
            : plan.services().stream()
                .collect(Collectors.groupingBy(Service::workload, Collectors.counting()));
    return plan.traffic().stream()
        .filter(
            policy ->
                policy.settings().stream()
                    .anyMatch(
                        setting ->
                            setting instanceof TrafficPolicy.ConnectionRate
                                || setting instanceof TrafficPolicy.PacketRate))
        .flatMap(policy -> policy.targets().stream())
        .mapToLong(target -> ports.getOrDefault(target.index(), 2L))
        .sum();
  }

  private static long strictPorts(Plan plan) {
    return plan.identities().stream().mapToLong(i -> StrictTable.of(i).exceptions().size()).sum();
  }

  private static long buckets(long rows) {
    long buckets = 1;
    while (buckets * BUCKET_ROWS * MAX_LOAD_PERCENT < rows * 100) {
      buckets *= 2;
    }
    return buckets;
  }

  private static long chunks(long shorts) {
    return (shorts + 31) / 32;
  }

  private static long padded(long bytes) {
    return (bytes + 7) / 8 * 8;
  }

  private static Table array(String name, long count, int valueSize) {
    long entries = Math.max(count, 1);
    return new Table(name, entries, entries * padded(valueSize));
  }

  private static Table hash(String name, long count, int keySize, int valueSize) {
    long entries = Math.max(count, 1);
    long buckets = Long.highestOneBit(entries * 2 - 1);
    return new Table(
        name,
        entries,
        entries * (HASH_ELEMENT + padded(keySize) + padded(valueSize)) + buckets * HASH_BUCKET);
  }

  private static Table trie(String name, long count, int size) {
    long entries = Math.max(count, 1);
    return new Table(name, entries, entries * 2 * (TRIE_NODE + padded(size)));
  }

  /** Entries of one generation. */
  public long entries() {
    return tables.stream().mapToLong(Table::entries).sum();
  }

  /** Bytes of one generation. */
  public long bytes() {
    return tables.stream().mapToLong(Table::bytes).sum();
  }

  /** Bytes of two generations like this, as they are while one follows the other. */
  public long bytesOfBothSlots() {
    return 2 * bytes();
  }
}
