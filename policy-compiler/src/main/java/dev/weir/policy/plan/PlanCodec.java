// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.plan;

import dev.weir.policy.plan.ProxyPlan.Cluster;
import dev.weir.policy.plan.TrafficPolicy.TargetKind;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;

/**
 * A plan as bytes and back.
 *
 * <p>The form is {@code WEIRPLAN}, two bytes of version, the plan's lists in the order of its
 * components, and the CRC-32C of all before it. The same plan gives the same bytes. It is ours
 * alone: a version reads only its own format, since a plan can always be compiled anew.
 */
public final class PlanCodec {

  /** Version of the format; grows with every change of a record of this package. */
  public static final int VERSION = 13;

  private static final byte[] MAGIC = "WEIRPLAN".getBytes(StandardCharsets.US_ASCII);

  private PlanCodec() {}

  /** The plan's bytes. */
  public static byte[] encode(Plan plan) {
    BinaryWriter out = new BinaryWriter();
    out.raw(MAGIC);
    out.u8(VERSION >>> 8);
    out.u8(VERSION);
    write(out, plan);
    return out.finish();
  }

  /**
   * The plan of these bytes.
   *
   * @throws PlanFormatException when they are not a plan, damaged, of another version, or when an
   *     index in them leads nowhere
   */
  public static Plan decode(byte[] bytes) throws PlanFormatException {
    BinaryReader in = BinaryReader.open(bytes, MAGIC, VERSION, "Weir plan");
    Plan plan = read(in);
    in.finish();
    return plan;
  }

  /**
   * The part of a plan that the proxy needs. Indexes keep their meaning: the lists of workloads,
   * rules, identities and backends stay as long as they are. Of the verdicts stay those whose
   * destination is a service that leads to the proxy, a backend of a route, whoever has a port that
   * a tunnel may lead to, or anybody; with them stay the port classes and address blocks without
   * which they cannot be looked up ({@link VerdictIndex}). A rule that no answer can name is {@link
   * Rule#ELSEWHERE}, and no workload has cgroups: the proxy's heap is small, and a node's policy
   * need not be.
   */
  public static Plan forProxy(Plan plan) {
    BitSet destinations = new BitSet();
    destinations.set(Reserved.ANY.index());
    List<Service> services =
        plan.services().stream().filter(s -> s.tier() == Service.Tier.PROXY).toList();
    for (Service service : services) {
      destinations.set(service.identity());
    }
    BitSet workloads = new BitSet();
    for (Cluster cluster : plan.proxy().clusters()) {
      for (int backend : cluster.endpoints()) {
        destinations.set(plan.backends().get(backend).identity());
        workloads.set(plan.backends().get(backend).workload());
      }
    }
    boolean tunnels = plan.proxy().hbone().isPresent();
    // What a tunnel may lead to: whoever has a port here.
    List<PortOwner> ports =
        plan.ports().stream()
            .filter(p -> tunnels && p.protocol() == Protocol.TCP)
            .filter(p -> p.workload() >= Workload.RESERVED)
            .toList();
    for (PortOwner port : ports) {
      destinations.set(plan.workloads().get(port.workload()).identity());
      workloads.set(port.workload());
    }
    plan.proxy()
        .hbone()
        .ifPresent(
            hbone ->
                hbone
                    .through()
                    .forEach(t -> destinations.set(plan.workloads().get(t.workload()).identity())));
    List<Verdict> verdicts =
        plan.verdicts().stream().filter(v -> destinations.get(v.destination())).toList();
    AccessPlan access = plan.proxy().access().about(workloads);
    return new Plan(
        plan.settings(),
        plan.workloads().stream().map(Workload::withoutCgroups).toList(),
        plan.identities(),
        named(plan, verdicts, destinations, access),
        verdicts,
        plan.portClasses(),
        services,
        plan.backends(),
        // Policies may ask for a source's address; without any, the proxy need not know them.
        access.policies().isEmpty() && !tunnels
            ? List.of()
            : plan.endpoints().stream().filter(e -> tunnels || !e.remote()).toList(),
        plan.cidrs(),
        ports,
        plan.proxy().with(access),
        plan.traffic());
  }

  /** The rules, those blotted out that no answer about these verdicts and destinations can name. */
  private static List<Rule> named(
      Plan plan, List<Verdict> verdicts, BitSet destinations, AccessPlan access) {
    BitSet named = new BitSet();
    named.set(0);
    for (TrafficPolicy policy : plan.traffic()) {
      named.set(policy.rule());
      policy.targets().stream()
          .filter(t -> t.kind() == TargetKind.GATEWAY || t.kind() == TargetKind.ROUTE)
          .forEach(t -> named.set(t.index()));
    }
    for (AccessPlan.Policy policy : access.policies()) {
      named.set(policy.rule());
      policy.clauses().forEach(clause -> named.set(clause.rule()));
    }
    verdicts.forEach(verdict -> named.set(verdict.rule()));
    for (int i = 0; i < plan.identities().size(); i++) {
      Identity identity = plan.identities().get(i);
      named.set(identity.egressRule());
      if (destinations.get(i)) {
        named.set(identity.ingressRule());
        identity.strict().forEach(s -> named.set(s.rule()));
      }
    }
    for (ProxyPlan.Listener listener : plan.proxy().listeners()) {
      listener.routes().forEach(route -> named.set(route.rule()));
      listener.l4Routes().forEach(route -> named.set(route.rule()));
    }
    for (ProxyPlan.VirtualService service : plan.proxy().virtualServices()) {
      service.everyRoute().forEach(route -> named.set(route.rule()));
      service.everyL4Route().forEach(route -> named.set(route.rule()));
    }
    List<Rule> rules = new ArrayList<>(plan.rules());
    for (int i = named.nextClearBit(0); i < rules.size(); i = named.nextClearBit(i + 1)) {
      rules.set(i, Rule.ELSEWHERE);
    }
    return rules;
  }

  static void write(BinaryWriter out, Plan plan) {
    settings(out, plan.settings());
    out.list(
        plan.workloads(),
        w -> {
          out.text(w.namespace());
          out.text(w.name());
          out.text(w.kind());
          out.number(w.identity());
          out.list(w.cgroups(), out::text);
          out.bool(w.handsOutSockets());
          out.text(w.serviceAccount());
          out.text(w.app());
          out.text(w.version());
        });
    out.list(
        plan.identities(),
        i -> {
          out.text(i.description());
          out.bool(i.ingressIsolated());
          out.bool(i.egressIsolated());
          out.bool(i.ingressAudit());
          out.bool(i.egressAudit());
          out.number(i.ingressRule());
          out.number(i.egressRule());
          out.list(
              i.strict(),
              s -> {
                out.number(s.first());
                out.number(s.last());
                out.number(s.rule());
              });
        });
    out.list(
        plan.rules(),
        r -> {
          out.text(r.kind());
          out.text(r.namespace());
          out.text(r.name());
          out.text(r.clause());
          out.text(r.file());
          out.number(r.line());
        });
    out.list(plan.verdicts(), v -> out.u64(v.row()));
    out.list(
        plan.portClasses(),
        c -> {
          out.number(c.first());
          out.number(c.last());
        });
    // Backends before services, so that slots can be checked as they are read.
    out.list(
        plan.backends(),
        b -> {
          out.address(b.address());
          out.number(b.port());
          out.number(b.workload());
          out.number(b.identity());
        });
    out.list(
        plan.services(),
        s -> {
          out.number(s.workload());
          out.address(s.address());
          out.number(s.port());
          out.ordinal(s.protocol());
          out.ordinal(s.tier());
          out.number(s.identity());
          out.number(s.affinitySeconds());
          out.numbers(s.slots());
        });
    out.list(
        plan.endpoints(),
        e -> {
          out.address(e.address());
          out.number(e.workload());
          out.bool(e.remote());
        });
    out.list(
        plan.cidrs(),
        c -> {
          out.address(c.address());
          out.number(c.prefixLength());
          out.number(c.identity());
        });
    out.list(
        plan.ports(),
        p -> {
          out.ordinal(p.protocol());
          out.number(p.port());
          out.number(p.workload());
          out.bool(p.apart());
        });
    ProxyPlanCodec.write(out, plan.proxy());
    TrafficCodec.write(out, plan.traffic());
  }

  private static void settings(BinaryWriter out, Settings settings) {
    out.text(settings.mesh());
    out.bool(settings.defaultDeny());
    out.bool(settings.hostGoverned());
    out.list(
        settings.managementAllow(),
        m -> {
          out.ordinal(m.direction());
          out.ordinal(m.protocol());
          out.number(m.port());
        });
    out.list(settings.governedCgroups(), out::text);
    out.bool(settings.audit());
    out.bool(settings.refuseWithEperm());
    out.number(settings.outboundPort());
    out.number(settings.metricsPort());
    out.number(settings.healthPort());
    out.text(settings.proxyCgroup());
    out.number(settings.mapBytes());
    out.ordinal(settings.icmp());
    out.text(settings.trustDomain());
    Telemetry.AccessLog accessLog = settings.telemetry().accessLog();
    out.number(accessLog.oneIn());
    out.bool(accessLog.errors());
    out.number(accessLog.perSecond());
    out.bool(accessLog.query());
    Telemetry.Tracing tracing = settings.telemetry().tracing();
    out.bool(tracing.begin());
    out.number(tracing.sampledPercent());
    out.list(
        settings.trustedProxies(),
        block -> {
          out.address(block.address());
          out.number(block.length());
        });
  }

  static Plan read(BinaryReader in) throws PlanFormatException {
    Settings settings = settings(in);
    List<Workload> workloads =
        in.list(
            () ->
                new Workload(
                    in.text(),
                    in.text(),
                    in.text(),
                    in.integer(Identity.MAX),
                    in.list(in::text),
                    in.bool(),
                    in.text(),
                    in.text(),
                    in.text()));
    List<Identity> identities =
        in.list(
            () ->
                new Identity(
                    in.text(),
                    in.bool(),
                    in.bool(),
                    in.bool(),
                    in.bool(),
                    in.integer(0xffff),
                    in.integer(0xffff),
                    in.list(
                        () ->
                            new Identity.StrictPorts(
                                in.integer(0xffff), in.integer(0xffff), in.integer(0xffff)))));
    List<Rule> rules =
        in.list(
            () -> {
              Rule rule =
                  new Rule(
                      in.text(),
                      in.text(),
                      in.text(),
                      in.text(),
                      in.text(),
                      in.integer(Integer.MAX_VALUE));
              return rule.equals(Rule.ELSEWHERE) ? Rule.ELSEWHERE : rule;
            });
    if (workloads.size() < Workload.RESERVED
        || identities.size() < Identity.FIRST
        || identities.size() > Identity.MAX + 1
        || rules.isEmpty()
        || rules.size() > 1 << 16) {
      throw in.bad(
          "a plan of "
              + workloads.size()
              + " workloads, "
              + identities.size()
              + " identities and "
              + rules.size()
              + " rules");
    }
    for (Workload workload : workloads) {
      if (workload.identity() >= identities.size()) {
        throw in.bad("workload " + workload.key() + " of identity " + workload.identity());
      }
    }
    for (Identity identity : identities) {
      if (identity.ingressRule() >= rules.size()
          || identity.egressRule() >= rules.size()
          || identity.strict().stream().anyMatch(s -> s.rule() >= rules.size())) {
        throw in.bad(
            "identity " + identity.description() + " isolated by a rule that is not there");
      }
    }
    List<Verdict> verdicts = in.list(() -> verdict(in, identities.size(), rules.size()));
    for (int i = 1; i < verdicts.size(); i++) {
      if (verdicts.get(i - 1).compareTo(verdicts.get(i)) >= 0) {
        throw in.bad("verdict rows out of order");
      }
    }
    List<PortClass> portClasses =
        in.list(() -> new PortClass(in.integer(0xffff), in.integer(0xffff)));
    int people = workloads.size();
    List<Backend> backends =
        in.list(
            () ->
                new Backend(
                    in.address(),
                    in.integer(0xffff),
                    in.index(people),
                    in.index(identities.size())));
    if (backends.isEmpty()) {
      throw in.bad("no backend 0");
    }
    List<Service> services =
        in.list(
            () ->
                new Service(
                    in.index(people),
                    in.address(),
                    in.integer(0xffff),
                    in.ordinal(Protocol.values()),
                    in.ordinal(Service.Tier.values()),
                    in.index(identities.size()),
                    in.integer(Integer.MAX_VALUE),
                    in.list(() -> in.index(backends.size()))));
    List<Endpoint> endpoints =
        in.list(() -> new Endpoint(in.address(), in.index(people), in.bool()));
    List<Cidr> cidrs =
        in.list(() -> new Cidr(in.address(), in.integer(128), in.index(identities.size())));
    List<PortOwner> ports =
        in.list(
            () ->
                new PortOwner(
                    in.ordinal(Protocol.values()),
                    in.integer(0xffff),
                    in.index(people),
                    in.bool()));
    ProxyPlan proxy = ProxyPlanCodec.read(in, people, rules.size(), backends.size());
    List<TrafficPolicy> traffic = TrafficCodec.read(in, people, rules.size());
    return new Plan(
        settings,
        workloads,
        identities,
        rules,
        verdicts,
        portClasses,
        services,
        backends,
        endpoints,
        cidrs,
        ports,
        proxy,
        traffic);
  }

  private static Settings settings(BinaryReader in) throws PlanFormatException {
    return new Settings(
        in.text(),
        in.bool(),
        in.bool(),
        in.list(
            () ->
                new Settings.ManagementRule(
                    in.ordinal(Settings.Direction.values()),
                    in.ordinal(Protocol.values()),
                    in.integer(0xffff))),
        in.list(in::text),
        in.bool(),
        in.bool(),
        in.integer(0xffff),
        in.integer(0xffff),
        in.integer(0xffff),
        in.text(),
        in.integer(Integer.MAX_VALUE),
        in.ordinal(Settings.Icmp.values()),
        in.text(),
        telemetry(in),
        in.list(() -> new Block(in.address(), in.integer(128))));
  }

  private static Telemetry telemetry(BinaryReader in) throws PlanFormatException {
    int oneIn = in.integer(Integer.MAX_VALUE);
    boolean errors = in.bool();
    int perSecond = in.integer(Integer.MAX_VALUE);
    boolean query = in.bool();
    if (perSecond < 1) {
      throw in.bad("access log: perSecond " + perSecond);
    }
    return new Telemetry(
        new Telemetry.AccessLog(oneIn, errors, perSecond, query),
        new Telemetry.Tracing(in.bool(), in.integer(100)));
  }

  private static Verdict verdict(BinaryReader in, int identities, int rules)
      throws PlanFormatException {
    long row = in.u64();
    Verdict verdict = Verdict.ofRow(row);
    if (verdict.source() >= identities
        || verdict.destination() >= identities
        || verdict.source() == 0 && verdict.destination() == 0
        || verdict.rule() >= rules
        || verdict.protocol() == Protocol.ANY && verdict.port() != 0) {
      throw in.bad("verdict row " + Long.toHexString(row));
    }
    return verdict;
  }
}
