// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.plan;

import dev.weir.policy.plan.ProxyPlan.Cluster;
import dev.weir.policy.plan.ProxyPlan.Filter;
import dev.weir.policy.plan.ProxyPlan.Header;
import dev.weir.policy.plan.ProxyPlan.HeaderEdit;
import dev.weir.policy.plan.ProxyPlan.Listener;
import dev.weir.policy.plan.ProxyPlan.Match;
import dev.weir.policy.plan.ProxyPlan.PathEdit;
import dev.weir.policy.plan.ProxyPlan.PathMatch;
import dev.weir.policy.plan.ProxyPlan.Route;
import dev.weir.policy.plan.ProxyPlan.RouteRule;
import dev.weir.policy.plan.ProxyPlan.Tls;
import dev.weir.policy.plan.ProxyPlan.ValueMatch;
import dev.weir.policy.plan.ProxyPlan.VirtualService;
import dev.weir.policy.plan.ProxyPlan.WeightedBackend;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;

/**
 * A plan as bytes and back.
 *
 * <p>The form is {@code WEIRPLAN}, two bytes of version, the plan's lists in the order of its
 * components, and the SHA-256 of all before it. The same plan gives the same bytes. It is ours
 * alone: a version reads only its own format, since a plan can always be compiled anew.
 */
public final class PlanCodec {

  /** Version of the format; grows with every change of a record of this package. */
  public static final int VERSION = 1;

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
   * destination is a service that leads to the proxy, a backend of a route, or anybody; with them
   * stay the port classes and address blocks without which they cannot be looked up ({@link
   * VerdictIndex}). A rule that no answer can name is {@link Rule#ELSEWHERE}, and no workload has
   * cgroups: the proxy's heap is small, and a node's policy need not be.
   */
  public static Plan forProxy(Plan plan) {
    BitSet destinations = new BitSet();
    destinations.set(Reserved.ANY.index());
    List<Service> services =
        plan.services().stream().filter(s -> s.tier() == Service.Tier.PROXY).toList();
    for (Service service : services) {
      destinations.set(service.identity());
    }
    for (Cluster cluster : plan.proxy().clusters()) {
      for (int backend : cluster.endpoints()) {
        destinations.set(plan.workloads().get(plan.backends().get(backend).workload()).identity());
      }
    }
    List<Verdict> verdicts =
        plan.verdicts().stream().filter(v -> destinations.get(v.destination())).toList();
    return new Plan(
        plan.settings(),
        plan.workloads().stream().map(Workload::withoutCgroups).toList(),
        plan.identities(),
        named(plan, verdicts, destinations),
        verdicts,
        plan.portClasses(),
        services,
        plan.backends(),
        List.of(),
        plan.cidrs(),
        List.of(),
        plan.proxy());
  }

  /** The rules, those blotted out that no answer about these verdicts and destinations can name. */
  private static List<Rule> named(Plan plan, List<Verdict> verdicts, BitSet destinations) {
    BitSet named = new BitSet();
    named.set(0);
    verdicts.forEach(verdict -> named.set(verdict.rule()));
    for (int i = 0; i < plan.identities().size(); i++) {
      Identity identity = plan.identities().get(i);
      named.set(identity.egressRule());
      if (destinations.get(i)) {
        named.set(identity.ingressRule());
      }
    }
    plan.proxy().listeners().forEach(l -> l.routes().forEach(route -> named.set(route.rule())));
    plan.proxy()
        .virtualServices()
        .forEach(s -> s.routes().forEach(route -> named.set(route.rule())));
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
          out.number(i.ingressRule());
          out.number(i.egressRule());
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
          out.bool(s.affinity());
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
        });
    proxy(out, plan.proxy());
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
  }

  private static void proxy(BinaryWriter out, ProxyPlan proxy) {
    out.list(
        proxy.clusters(),
        c -> {
          out.number(c.workload());
          out.text(c.name());
          out.numbers(c.endpoints());
        });
    out.list(
        proxy.listeners(),
        l -> {
          out.text(l.gateway());
          out.text(l.name());
          out.optional(l.address(), out::address);
          out.number(l.port());
          out.text(l.hostname());
          out.optional(l.tls(), t -> out.list(t.certificates(), out::text));
          out.list(l.routes(), r -> route(out, r));
        });
    out.list(
        proxy.virtualServices(),
        v -> {
          out.number(v.workload());
          out.address(v.address());
          out.number(v.port());
          out.list(v.routes(), r -> route(out, r));
        });
  }

  private static void route(BinaryWriter out, Route route) {
    out.text(route.name());
    out.number(route.rule());
    out.list(route.hostnames(), out::text);
    out.list(
        route.rules(),
        r -> {
          out.list(r.matches(), m -> match(out, m));
          out.list(r.filters(), f -> filter(out, f));
          out.list(
              r.backends(),
              b -> {
                out.number(b.cluster() + 1L);
                out.number(b.weight());
                out.list(b.filters(), f -> filter(out, f));
              });
          out.number(r.requestTimeoutMillis());
          out.number(r.backendTimeoutMillis());
        });
  }

  private static void match(BinaryWriter out, Match match) {
    switch (match.path()) {
      case PathMatch.Exact(String path) -> {
        out.u8(0);
        out.text(path);
      }
      case PathMatch.Prefix(String path) -> {
        out.u8(1);
        out.text(path);
      }
      case PathMatch.Regex(String pattern) -> {
        out.u8(2);
        out.text(pattern);
      }
    }
    out.list(match.headers(), v -> valueMatch(out, v));
    out.list(match.query(), v -> valueMatch(out, v));
    out.optional(match.method(), out::text);
  }

  private static void valueMatch(BinaryWriter out, ValueMatch value) {
    out.text(value.name());
    out.text(value.value());
    out.bool(value.regex());
  }

  private static void filter(BinaryWriter out, Filter filter) {
    switch (filter) {
      case Filter.RequestHeaders(HeaderEdit edit) -> {
        out.u8(0);
        headerEdit(out, edit);
      }
      case Filter.ResponseHeaders(HeaderEdit edit) -> {
        out.u8(1);
        headerEdit(out, edit);
      }
      case Filter.Redirect redirect -> {
        out.u8(2);
        out.optional(redirect.scheme(), out::text);
        out.optional(redirect.hostname(), out::text);
        out.optional(redirect.path(), p -> pathEdit(out, p));
        out.optional(redirect.port(), p -> out.number(p));
        out.number(redirect.status());
      }
      case Filter.Rewrite rewrite -> {
        out.u8(3);
        out.optional(rewrite.hostname(), out::text);
        out.optional(rewrite.path(), p -> pathEdit(out, p));
      }
    }
  }

  private static void pathEdit(BinaryWriter out, PathEdit edit) {
    switch (edit) {
      case PathEdit.Full(String path) -> {
        out.u8(0);
        out.text(path);
      }
      case PathEdit.Prefix(String path) -> {
        out.u8(1);
        out.text(path);
      }
    }
  }

  private static void headerEdit(BinaryWriter out, HeaderEdit edit) {
    out.list(edit.set(), h -> header(out, h));
    out.list(edit.add(), h -> header(out, h));
    out.list(edit.remove(), out::text);
  }

  private static void header(BinaryWriter out, Header header) {
    out.text(header.name());
    out.text(header.value());
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
                    in.text(), in.bool(), in.bool(), in.integer(0xffff), in.integer(0xffff)));
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
      if (identity.ingressRule() >= rules.size() || identity.egressRule() >= rules.size()) {
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
        in.list(() -> new Backend(in.address(), in.integer(0xffff), in.index(people)));
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
                    in.bool(),
                    in.list(() -> in.index(backends.size()))));
    List<Endpoint> endpoints =
        in.list(() -> new Endpoint(in.address(), in.index(people), in.bool()));
    List<Cidr> cidrs =
        in.list(() -> new Cidr(in.address(), in.integer(128), in.index(identities.size())));
    List<PortOwner> ports =
        in.list(
            () ->
                new PortOwner(in.ordinal(Protocol.values()), in.integer(0xffff), in.index(people)));
    ProxyPlan proxy = proxy(in, people, rules.size(), backends.size());
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
        proxy);
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
        in.text());
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

  private static ProxyPlan proxy(BinaryReader in, int workloads, int rules, int backends)
      throws PlanFormatException {
    List<Cluster> clusters =
        in.list(
            () -> new Cluster(in.index(workloads), in.text(), in.list(() -> in.index(backends))));
    List<Listener> listeners =
        in.list(
            () ->
                new Listener(
                    in.text(),
                    in.text(),
                    in.optional(in::address),
                    in.integer(0xffff),
                    in.text(),
                    in.optional(() -> new Tls(in.list(in::text))),
                    in.list(() -> route(in, rules, clusters.size()))));
    List<VirtualService> virtualServices =
        in.list(
            () ->
                new VirtualService(
                    in.index(workloads),
                    in.address(),
                    in.integer(0xffff),
                    in.list(() -> route(in, rules, clusters.size()))));
    return new ProxyPlan(listeners, virtualServices, clusters);
  }

  private static Route route(BinaryReader in, int rules, int clusters) throws PlanFormatException {
    return new Route(
        in.text(), in.index(rules), in.list(in::text), in.list(() -> routeRule(in, clusters)));
  }

  private static RouteRule routeRule(BinaryReader in, int clusters) throws PlanFormatException {
    return new RouteRule(
        in.list(() -> match(in)),
        in.list(() -> filter(in)),
        in.list(
            () ->
                new WeightedBackend(
                    in.integer(clusters) - 1,
                    in.integer(Integer.MAX_VALUE),
                    in.list(() -> filter(in)))),
        in.number(Long.MAX_VALUE),
        in.number(Long.MAX_VALUE));
  }

  private static Match match(BinaryReader in) throws PlanFormatException {
    int kind = in.u8();
    PathMatch path =
        switch (kind) {
          case 0 -> new PathMatch.Exact(in.text());
          case 1 -> new PathMatch.Prefix(in.text());
          case 2 -> new PathMatch.Regex(in.text());
          default -> throw in.bad("path match " + kind);
        };
    return new Match(
        path, in.list(() -> valueMatch(in)), in.list(() -> valueMatch(in)), in.optional(in::text));
  }

  private static ValueMatch valueMatch(BinaryReader in) throws PlanFormatException {
    return new ValueMatch(in.text(), in.text(), in.bool());
  }

  private static Filter filter(BinaryReader in) throws PlanFormatException {
    int kind = in.u8();
    return switch (kind) {
      case 0 -> new Filter.RequestHeaders(headerEdit(in));
      case 1 -> new Filter.ResponseHeaders(headerEdit(in));
      case 2 ->
          new Filter.Redirect(
              in.optional(in::text),
              in.optional(in::text),
              in.optional(() -> pathEdit(in)),
              in.optional(() -> in.integer(0xffff)),
              in.integer(999));
      case 3 -> new Filter.Rewrite(in.optional(in::text), in.optional(() -> pathEdit(in)));
      default -> throw in.bad("filter " + kind);
    };
  }

  private static PathEdit pathEdit(BinaryReader in) throws PlanFormatException {
    int kind = in.u8();
    return switch (kind) {
      case 0 -> new PathEdit.Full(in.text());
      case 1 -> new PathEdit.Prefix(in.text());
      default -> throw in.bad("path edit " + kind);
    };
  }

  private static HeaderEdit headerEdit(BinaryReader in) throws PlanFormatException {
    return new HeaderEdit(in.list(() -> header(in)), in.list(() -> header(in)), in.list(in::text));
  }

  private static Header header(BinaryReader in) throws PlanFormatException {
    return new Header(in.text(), in.text());
  }
}
