// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import dev.weir.node.bpf.BpfMap;
import dev.weir.node.bpf.StructLayout;
import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Backend;
import dev.weir.policy.plan.Cidr;
import dev.weir.policy.plan.Endpoint;
import dev.weir.policy.plan.Identity;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.PortClass;
import dev.weir.policy.plan.PortOwner;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.Reserved;
import dev.weir.policy.plan.Service;
import dev.weir.policy.plan.Settings;
import dev.weir.policy.plan.StrictTable;
import dev.weir.policy.plan.Verdict;
import dev.weir.policy.plan.Workload;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.BitSet;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;

/**
 * The contents of every table of one generation, as bytes. Writing them down needs no kernel.
 *
 * @param number of the generation, from 1
 * @param contents of each table
 */
record Generation(long number, Map<Table, Contents> contents) {

  /** {@code enum weir_generation_flags}. */
  private static final int DEFAULT_DENY = 1;

  private static final int HOST_GOVERNED = 1 << 1;
  private static final int AUDIT = 1 << 2;
  private static final int CIDRS = 1 << 3;
  private static final int PORT_CLASSES = 1 << 4;
  private static final int EPERM = 1 << 5;
  private static final int LIMITS = 1 << 6;
  private static final int ICMP_ALLOW = 1 << 7;
  private static final int ICMP_REFUSE = 1 << 8;
  private static final int PROXY = 1 << 9;

  private static final int INGRESS_ISOLATED = 1;
  private static final int EGRESS_ISOLATED = 1 << 1;
  private static final int INGRESS_AUDIT = 1 << 2;
  private static final int EGRESS_AUDIT = 1 << 3;
  private static final int STRICT_PORTS = 1 << 4;
  private static final int HANDS_OUT_SOCKETS = 1;
  private static final int HAS_ADDRESS = 1 << 1;
  private static final int SERVICE_PROXY = 1;
  private static final int SERVICE_AFFINITY = 1 << 1;
  private static final int SERVICE_LIMITED = 1 << 2;
  private static final int SERVICE_BYPASS = 1 << 3;
  private static final int ENDPOINT_REMOTE = 1;

  /** In the place of the name of a Mesh; no Mesh can have it. */
  static final String NOBODY = "(none)";

  /** {@code WEIR_PORTS_APART}. */
  private static final long PORTS_APART = 1L << 63;

  private static final int PORTS = 1 << 16;
  private static final int MAX_ENTRIES = 1 << 24;

  /** In which a service says for how many seconds a client keeps to its backend. */
  private static final int AFFINITY_SLOTS = 2;

  /**
   * Entries of one table.
   *
   * @param keySize bytes
   * @param valueSize bytes
   * @param count of entries; capacity is at least one
   * @param keys one after another
   * @param values one after another
   */
  record Contents(int keySize, int valueSize, int count, ByteBuffer keys, ByteBuffer values) {

    private static Contents array(int count, int valueSize) {
      int entries = Math.max(count, 1);
      if (entries > MAX_ENTRIES || (long) entries * valueSize > Integer.MAX_VALUE) {
        throw new NodeException(
            count + " entries are more than a kernel table of ours holds; make the plan smaller");
      }
      ByteBuffer keys = BpfMap.newBuffer(entries * Integer.BYTES);
      for (int i = 0; i < entries; i++) {
        keys.putInt(i * Integer.BYTES, i);
      }
      return new Contents(
          Integer.BYTES, valueSize, entries, keys, BpfMap.newBuffer(entries * valueSize));
    }

    private static Contents hash(int count, StructLayout key, StructLayout value) {
      return new Contents(
          key.size(),
          value.size(),
          count,
          key.allocate(Math.max(count, 1)),
          value.allocate(Math.max(count, 1)));
    }

    int capacity() {
      return Math.max(count, 1);
    }

    int key(int index) {
      return index * keySize;
    }

    int value(int index) {
      return index * valueSize;
    }
  }

  /** Writes a plan down. */
  static final class Writer {
    private final Layouts layouts;
    private final Plan plan;
    private final List<Integer> workloads;
    private final List<Integer> rules;
    private final OwnNamespace own;
    private final long root;
    private final Ejections ejections;
    private final Limits limits;
    private final Map<Table, Contents> contents = new EnumMap<>(Table.class);

    /**
     * For one plan.
     *
     * @param layouts of the compiled programs
     * @param plan to write down
     * @param workloads stable numbers by index
     * @param rules stable numbers by index
     * @param own the network namespace whose ports are owned
     * @param root id of the cgroup at which the programs are attached
     */
    Writer(
        Layouts layouts,
        Plan plan,
        List<Integer> workloads,
        List<Integer> rules,
        OwnNamespace own,
        long root) {
      this.layouts = layouts;
      this.plan = plan;
      this.workloads = workloads;
      this.rules = rules;
      this.own = own;
      this.root = root;
      this.ejections = new Ejections(plan);
      this.limits = new Limits(plan);
    }

    /** All tables under this number. */
    Generation write(long number) {
      return write(number, Map.of());
    }

    /**
     * The same where some are known.
     *
     * @param known tables of this plan
     */
    Generation write(long number, Map<Table, Contents> known) {
      VerdictTable table = VerdictTable.of(rows());
      contents.putAll(known);
      add(Table.GENERATIONS, () -> generation(number, table));
      add(Table.WORKLOADS, this::workloads);
      add(Table.IDENTITIES, this::identities);
      add(Table.VERDICTS, () -> verdicts(table));
      add(Table.RULES, this::rules);
      add(Table.SERVICES, this::services);
      add(Table.SLOTS, this::slots);
      add(Table.BACKENDS, this::backends);
      add(Table.ENDPOINTS, this::endpoints);
      add(Table.CIDRS, this::cidrs);
      add(Table.PORTS, this::ports);
      add(Table.PORT_CLASSES, this::portClasses);
      add(Table.LIMITS, this::limits);
      add(Table.STRICT_PORTS, this::strictPorts);
      return new Generation(number, contents);
    }

    private void add(Table table, Supplier<Contents> written) {
      if (!contents.containsKey(table)) {
        contents.put(table, written.get());
      }
    }

    /**
     * Of the plan; and what the canary is allowed, which where the host is governed takes a rule.
     */
    private long[] rows() {
      long[] rows = plan.verdictRows();
      if (!plan.settings().hostGoverned()) {
        return rows;
      }
      long[] all = Arrays.copyOf(rows, rows.length + 1);
      all[rows.length] =
          new Verdict(
                  Canary.ALLOWED, Reserved.HOST.index(), Protocol.TCP, 0, Verdict.Decision.ALLOW, 0)
              .row();
      return all;
    }

    private int identityOf(int workload) {
      return plan.workloads().get(workload).identity();
    }

    private Contents generation(long number, VerdictTable table) {
      Layouts.Generation to = layouts.generation;
      Contents out = Contents.array(1, to.layout().size());
      Settings settings = plan.settings();
      to.number().put(out.values(), 0, number);
      to.verdictSeed().put(out.values(), 0, table.seed());
      to.root().put(out.values(), 0, root);
      to.netns().put(out.values(), 0, own.cookie());
      to.node4().put(out.values(), 0, own.fourBytes());
      to.node6().put(out.values(), 0, own.sixBytes());
      to.verdictMask().put(out.values(), 0, table.mask());
      to.flags()
          .put(
              out.values(),
              0,
              (settings.defaultDeny() ? DEFAULT_DENY : 0)
                  | (settings.hostGoverned() ? HOST_GOVERNED : 0)
                  | (settings.audit() ? AUDIT : 0)
                  | (plan.cidrs().isEmpty() ? 0 : CIDRS)
                  | (plan.portClasses().isEmpty() ? 0 : PORT_CLASSES)
                  | (settings.refuseWithEperm() ? EPERM : 0)
                  | (limits.onWorkloads() ? LIMITS : 0)
                  | switch (settings.icmp()) {
                    case POLICY -> 0;
                    case ALLOW -> ICMP_ALLOW;
                    case REFUSE -> ICMP_REFUSE;
                  }
                  | (plan.proxy().needed() ? PROXY : 0));
      to.proxyPort().put(out.values(), 0, settings.outboundPort());
      to.meshRule().put(out.values(), 0, 0);
      return out;
    }

    private Contents workloads() {
      Layouts.Workload to = layouts.workload;
      int largest = workloads.stream().mapToInt(Integer::intValue).max().orElse(0);
      Contents out = Contents.array(largest + 1, to.layout().size());
      BitSet addressed = new BitSet();
      plan.endpoints().stream()
          .filter(endpoint -> !endpoint.remote())
          .forEach(endpoint -> addressed.set(endpoint.workload()));
      for (int i = 0; i < plan.workloads().size(); i++) {
        Workload workload = plan.workloads().get(i);
        int base = out.value(workloads.get(i));
        to.identity().put(out.values(), base, workload.identity());
        to.flags()
            .put(
                out.values(),
                base,
                (workload.handsOutSockets() ? HANDS_OUT_SOCKETS : 0)
                    | (addressed.get(i) ? HAS_ADDRESS : 0));
      }
      return out;
    }

    private Contents identities() {
      Layouts.Identity to = layouts.identity;
      Contents out = Contents.array(plan.identities().size(), to.layout().size());
      for (int i = 0; i < plan.identities().size(); i++) {
        Identity identity = plan.identities().get(i);
        StrictTable strict = StrictTable.of(identity);
        int base = out.value(i);
        to.flags()
            .put(
                out.values(),
                base,
                (identity.ingressIsolated() ? INGRESS_ISOLATED : 0)
                    | (identity.egressIsolated() ? EGRESS_ISOLATED : 0)
                    | (identity.ingressAudit() ? INGRESS_AUDIT : 0)
                    | (identity.egressAudit() ? EGRESS_AUDIT : 0)
                    | (strict.exceptions().isEmpty() ? 0 : STRICT_PORTS));
        to.ingressRule().put(out.values(), base, identity.ingressRule());
        to.egressRule().put(out.values(), base, identity.egressRule());
        to.strictRule().put(out.values(), base, strict.rule());
      }
      to.flags().put(out.values(), out.value(Canary.ALLOWED), 0);
      to.flags().put(out.values(), out.value(Canary.REFUSED), INGRESS_ISOLATED | EGRESS_ISOLATED);
      return out;
    }

    private Contents verdicts(VerdictTable table) {
      Contents out = Contents.array(table.buckets(), layouts.verdictBucket.size());
      long[] rows = table.rows();
      for (int i = 0; i < rows.length; i++) {
        out.values().putLong(i * Long.BYTES, rows[i]);
      }
      return out;
    }

    private Contents rules() {
      Contents out = Contents.array(rules.size(), Integer.BYTES);
      for (int i = 0; i < rules.size(); i++) {
        out.values().putInt(out.value(i), rules.get(i));
      }
      return out;
    }

    private Contents services() {
      Layouts.ServiceKey key = layouts.serviceKey;
      Layouts.Service to = layouts.service;
      Contents out = Contents.hash(plan.services().size(), key.layout(), to.layout());
      int slot = 0;
      for (int i = 0; i < plan.services().size(); i++) {
        Service service = plan.services().get(i);
        boolean proxy = service.tier() == Service.Tier.PROXY;
        key.address().put(out.keys(), out.key(i), service.address().bytes());
        key.port().put(out.keys(), out.key(i), service.port());
        key.protocol().put(out.keys(), out.key(i), service.protocol().ordinal());
        to.workload().put(out.values(), out.value(i), workloads.get(service.workload()));
        to.firstSlot().put(out.values(), out.value(i), slot);
        to.slots().put(out.values(), out.value(i), service.slots().size());
        to.identity().put(out.values(), out.value(i), service.identity());
        to.flags()
            .put(
                out.values(),
                out.value(i),
                (proxy ? SERVICE_PROXY : 0)
                    | (proxy && !service.slots().isEmpty() ? SERVICE_BYPASS : 0)
                    | (service.affinitySeconds() > 0 ? SERVICE_AFFINITY : 0)
                    | (limits.holdsFor(service) ? SERVICE_LIMITED : 0));
        int base = out.value(i);
        int roster = ejections.roster(service).size();
        ejections
            .of(service)
            .ifPresent(
                ejection -> {
                  to.ejectionMillis().put(out.values(), base, ejection.baseEjectionMillis());
                  to.ejectionFailures()
                      .put(out.values(), base, Math.min(ejection.consecutiveErrors(), PORTS - 1));
                  to.ejectedPercent().put(out.values(), base, ejection.maxEjectedPercent());
                  to.roster().put(out.values(), base, roster);
                });
        slot += slotsOf(service);
      }
      return out;
    }

    /** Its own, each of its backends once more if it ejects, and its affinity's time. */
    private int slotsOf(Service service) {
      return service.slots().size()
          + ejections.roster(service).size()
          + (service.affinitySeconds() > 0 ? AFFINITY_SLOTS : 0);
    }

    private Contents slots() {
      int slots = plan.services().stream().mapToInt(this::slotsOf).sum();
      int chunks = (slots + Layouts.SLOTS_PER_CHUNK - 1) / Layouts.SLOTS_PER_CHUNK;
      Contents out = Contents.array(chunks, layouts.slots.size());
      int slot = 0;
      for (Service service : plan.services()) {
        for (int backend : service.slots()) {
          out.values().putShort(slot * Short.BYTES, unsignedShort("backend", backend));
          slot++;
        }
        for (int backend : ejections.roster(service)) {
          out.values().putShort(slot * Short.BYTES, unsignedShort("backend", backend));
          slot++;
        }
        if (service.affinitySeconds() > 0) {
          out.values().putShort(slot * Short.BYTES, (short) (service.affinitySeconds() >>> 16));
          out.values().putShort((slot + 1) * Short.BYTES, (short) service.affinitySeconds());
          slot += AFFINITY_SLOTS;
        }
      }
      return out;
    }

    private static short unsignedShort(String what, int value) {
      if (value < 0 || value >= PORTS) {
        throw new IllegalArgumentException(what + ": " + value + " (expected: 0..65535)");
      }
      return (short) value;
    }

    private Contents backends() {
      Layouts.Backend to = layouts.backend;
      Contents out = Contents.array(plan.backends().size(), to.layout().size());
      for (int i = 1; i < plan.backends().size(); i++) {
        Backend backend = plan.backends().get(i);
        int base = out.value(i);
        to.address().put(out.values(), base, backend.address().bytes());
        to.workload().put(out.values(), base, workloads.get(backend.workload()));
        to.port().put(out.values(), base, backend.port());
        to.identity().put(out.values(), base, backend.identity());
      }
      return out;
    }

    private Contents endpoints() {
      Layouts.Endpoint to = layouts.endpoint;
      Contents out = Contents.hash(plan.endpoints().size(), layouts.address, to.layout());
      for (int i = 0; i < plan.endpoints().size(); i++) {
        Endpoint endpoint = plan.endpoints().get(i);
        out.keys().put(out.key(i), endpoint.address().bytes());
        to.workload().put(out.values(), out.value(i), workloads.get(endpoint.workload()));
        to.identity().put(out.values(), out.value(i), identityOf(endpoint.workload()));
        to.flags().put(out.values(), out.value(i), endpoint.remote() ? ENDPOINT_REMOTE : 0);
      }
      return out;
    }

    private Contents cidrs() {
      Layouts.CidrKey key = layouts.cidrKey;
      Contents out = Contents.hash(plan.cidrs().size(), key.layout(), layouts.cidr.layout());
      for (int i = 0; i < plan.cidrs().size(); i++) {
        Cidr cidr = plan.cidrs().get(i);
        Address address = cidr.address();
        key.prefixLength().put(out.keys(), out.key(i), cidr.prefixLength());
        key.address().put(out.keys(), out.key(i), address.bytes());
        layouts.cidr.identity().put(out.values(), out.value(i), cidr.identity());
      }
      return out;
    }

    private Contents ports() {
      Layouts.PortKey key = layouts.portKey;
      Layouts.Port to = layouts.port;
      Contents out = Contents.hash(plan.ports().size(), key.layout(), to.layout());
      for (int i = 0; i < plan.ports().size(); i++) {
        PortOwner owner = plan.ports().get(i);
        // Of a namespace that is a workload's own by its number: `homes` says which ones are.
        key.netns()
            .put(
                out.keys(),
                out.key(i),
                owner.apart() ? PORTS_APART | workloads.get(owner.workload()) : own.cookie());
        key.port().put(out.keys(), out.key(i), owner.port());
        key.protocol().put(out.keys(), out.key(i), owner.protocol().ordinal());
        to.workload().put(out.values(), out.value(i), workloads.get(owner.workload()));
        // Held by the host, where the agent lives, and no more open to a workload than the proxy's.
        int identity =
            plan.settings().servedByAgent(owner)
                ? Reserved.PROXY.index()
                : identityOf(owner.workload());
        to.identity().put(out.values(), out.value(i), identity);
      }
      return out;
    }

    private Contents limits() {
      Layouts.LimitKey key = layouts.limitKey;
      Layouts.Limit to = layouts.limit;
      Contents out = Contents.hash(limits.rows().size(), key.layout(), to.layout());
      int i = 0;
      for (Map.Entry<Limits.Key, Limits.Limit> row : limits.rows().entrySet()) {
        Limits.Limit limit = row.getValue();
        int at = out.key(i);
        int base = out.value(i);
        key.destination().put(out.keys(), at, workloads.get(row.getKey().destination()));
        key.port().put(out.keys(), at, row.getKey().port());
        key.protocol().put(out.keys(), at, row.getKey().protocol().ordinal());
        to.perSecond().put(out.values(), base, limit.perSecond());
        to.burst().put(out.values(), base, limit.burst());
        to.rule().put(out.values(), base, limit.rule());
        to.port().put(out.values(), base, limit.port());
        to.each().put(out.values(), base, limit.each() ? 1 : 0);
        i++;
      }
      return out;
    }

    private Contents strictPorts() {
      Layouts.StrictKey key = layouts.strictKey;
      Layouts.Strict to = layouts.strict;
      List<StrictTable> tables = plan.identities().stream().map(StrictTable::of).toList();
      int count = tables.stream().mapToInt(table -> table.exceptions().size()).sum();
      Contents out = Contents.hash(count, key.layout(), to.layout());
      int i = 0;
      for (int identity = 0; identity < tables.size(); identity++) {
        for (StrictTable.Block block : tables.get(identity).exceptions()) {
          byte[] bits = ByteBuffer.allocate(4).putInt(identity << 16 | block.first()).array();
          key.prefixLength().put(out.keys(), out.key(i), 16L + block.length());
          key.bits().put(out.keys(), out.key(i), bits);
          to.rule().put(out.values(), out.value(i), block.rule());
          i++;
        }
      }
      return out;
    }

    private Contents portClasses() {
      int chunks = plan.portClasses().isEmpty() ? 0 : PORTS / Layouts.PORTS_PER_CHUNK;
      Contents out = Contents.array(chunks, layouts.portClasses.size());
      if (chunks != 0) {
        for (int port = 0; port < PORTS; port++) {
          out.values().putShort(port * Short.BYTES, (short) port);
        }
        for (PortClass ports : plan.portClasses()) {
          for (int port = ports.first(); port <= ports.last(); port++) {
            out.values().putShort(port * Short.BYTES, unsignedShort("port", ports.first()));
          }
        }
      }
      return out;
    }
  }

  /** A plan that governs nobody: what is in force again when a first apply is not confirmed. */
  static Plan open(Settings settings) {
    List<Workload> workloads =
        Arrays.stream(Reserved.values())
            .map(
                reserved ->
                    new Workload(
                        "",
                        reserved.name().toLowerCase(java.util.Locale.ROOT),
                        "Reserved",
                        reserved.index(),
                        List.of(),
                        false,
                        "",
                        "",
                        ""))
            .toList();
    Identity open = new Identity("open", false, false, 0, 0);
    return new Plan(
        new Settings(
            NOBODY,
            false,
            false,
            List.of(),
            List.of(),
            false,
            false,
            settings.outboundPort(),
            settings.metricsPort(),
            settings.healthPort(),
            settings.proxyCgroup()),
        workloads,
        java.util.Collections.nCopies(Identity.FIRST, open),
        List.of(new dev.weir.policy.plan.Rule("Mesh", "", "(none)", "", "", 0)),
        List.of(),
        List.of(),
        List.of(),
        List.of(new Backend(new Address(0, 0), 0, 0, 0)),
        List.of(),
        List.of(),
        List.of(),
        dev.weir.policy.plan.ProxyPlan.NONE);
  }
}
