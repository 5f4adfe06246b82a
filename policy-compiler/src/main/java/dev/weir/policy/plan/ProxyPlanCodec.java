// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.plan;

import dev.weir.policy.plan.ProxyPlan.BackendTls;
import dev.weir.policy.plan.ProxyPlan.ClientTrust;
import dev.weir.policy.plan.ProxyPlan.Cluster;
import dev.weir.policy.plan.ProxyPlan.ConsumerRoutes;
import dev.weir.policy.plan.ProxyPlan.Filter;
import dev.weir.policy.plan.ProxyPlan.Header;
import dev.weir.policy.plan.ProxyPlan.HeaderEdit;
import dev.weir.policy.plan.ProxyPlan.L4Route;
import dev.weir.policy.plan.ProxyPlan.Listener;
import dev.weir.policy.plan.ProxyPlan.ListenerProtocol;
import dev.weir.policy.plan.ProxyPlan.Match;
import dev.weir.policy.plan.ProxyPlan.PathEdit;
import dev.weir.policy.plan.ProxyPlan.PathMatch;
import dev.weir.policy.plan.ProxyPlan.Retry;
import dev.weir.policy.plan.ProxyPlan.Route;
import dev.weir.policy.plan.ProxyPlan.RouteKind;
import dev.weir.policy.plan.ProxyPlan.RouteRule;
import dev.weir.policy.plan.ProxyPlan.SessionPersistence;
import dev.weir.policy.plan.ProxyPlan.SubjectAltName;
import dev.weir.policy.plan.ProxyPlan.Tls;
import dev.weir.policy.plan.ProxyPlan.ValueMatch;
import dev.weir.policy.plan.ProxyPlan.VirtualService;
import dev.weir.policy.plan.ProxyPlan.WeightedBackend;
import java.util.List;

/** The proxy's part of {@link PlanCodec}. */
final class ProxyPlanCodec {

  private ProxyPlanCodec() {}

  static void write(BinaryWriter out, ProxyPlan proxy) {
    out.list(
        proxy.clusters(),
        c -> {
          out.number(c.workload());
          out.number(c.port());
          out.text(c.name());
          out.numbers(c.endpoints());
          out.numbers(c.workloads());
          out.text(c.appProtocol());
          out.optional(c.tls(), t -> backendTls(out, t));
          out.numbers(c.near());
        });
    out.list(
        proxy.listeners(),
        l -> {
          out.text(l.gateway());
          out.text(l.name());
          out.optional(l.address(), out::address);
          out.number(l.port());
          out.text(l.hostname());
          out.ordinal(l.protocol());
          out.optional(
              l.tls(),
              t -> {
                out.list(t.certificates(), out::text);
                out.optional(
                    t.clients(),
                    c -> {
                      out.list(c.authorities(), out::text);
                      out.bool(c.required());
                    });
              });
          out.list(l.routes(), r -> route(out, r));
          out.list(l.l4Routes(), r -> l4Route(out, r));
        });
    out.list(
        proxy.virtualServices(),
        v -> {
          out.number(v.workload());
          out.list(v.addresses(), out::address);
          out.number(v.port());
          out.list(v.routes(), r -> route(out, r));
          out.list(v.l4Routes(), r -> l4Route(out, r));
          out.list(
              v.consumers(),
              c -> {
                out.text(c.namespace());
                out.list(c.routes(), r -> route(out, r));
                out.list(c.l4Routes(), r -> l4Route(out, r));
              });
        });
    AccessPlanCodec.write(out, proxy.access());
    out.optional(proxy.hbone(), h -> hbone(out, h));
  }

  private static void hbone(BinaryWriter out, Hbone hbone) {
    out.number(hbone.port());
    out.text(hbone.account());
    out.list(
        hbone.peers(),
        p -> {
          out.text(p.name());
          out.address(p.address());
          out.number(p.port());
          out.text(p.account());
        });
    out.list(
        hbone.through(),
        t -> {
          out.number(t.workload());
          out.number(t.peer());
        });
    out.list(hbone.identities(), out::text);
    out.list(hbone.authorities(), out::text);
  }

  private static void backendTls(BinaryWriter out, BackendTls tls) {
    out.text(tls.hostname());
    out.list(
        tls.subjectAltNames(),
        n -> {
          out.bool(n.uri());
          out.text(n.value());
        });
    out.bool(tls.systemTrust());
    out.list(tls.authorities(), out::text);
  }

  private static void l4Route(BinaryWriter out, L4Route route) {
    out.text(route.name());
    out.number(route.rule());
    out.list(route.hostnames(), out::text);
    out.list(route.backends(), b -> backend(out, b));
  }

  private static void backend(BinaryWriter out, WeightedBackend backend) {
    out.number(backend.cluster() + 1L);
    out.number(backend.weight());
    out.list(backend.filters(), f -> filter(out, f));
  }

  private static void route(BinaryWriter out, Route route) {
    out.ordinal(route.kind());
    out.text(route.name());
    out.number(route.rule());
    out.list(route.hostnames(), out::text);
    out.list(
        route.rules(),
        r -> {
          out.text(r.name());
          out.list(r.matches(), m -> match(out, m));
          out.list(r.filters(), f -> filter(out, f));
          out.list(r.backends(), b -> backend(out, b));
          out.number(r.requestTimeoutMillis());
          out.number(r.backendTimeoutMillis());
          out.optional(
              r.retry(),
              t -> {
                out.numbers(t.codes());
                out.number(t.attempts());
                out.number(t.backoffMillis());
              });
          out.optional(
              r.session(),
              p -> {
                out.ordinal(p.type());
                out.text(p.name());
                out.number(p.absoluteTimeoutMillis());
                out.number(p.idleTimeoutMillis());
                out.bool(p.permanent());
              });
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
      case PathMatch.Grpc(String service, String method, boolean regex) -> {
        out.u8(3);
        out.text(service);
        out.text(method);
        out.bool(regex);
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
      case Filter.Mirror(int cluster, int numerator, int denominator) -> {
        out.u8(4);
        out.number(cluster + 1L);
        out.number(numerator);
        out.number(denominator);
      }
      case Filter.Cors cors -> {
        out.u8(5);
        out.list(cors.allowOrigins(), out::text);
        out.bool(cors.allowCredentials());
        out.list(cors.allowMethods(), out::text);
        out.list(cors.allowHeaders(), out::text);
        out.list(cors.exposeHeaders(), out::text);
        out.number(cors.maxAgeSeconds());
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

  static ProxyPlan read(BinaryReader in, int workloads, int rules, int backends)
      throws PlanFormatException {
    List<Cluster> clusters =
        in.list(
            () ->
                new Cluster(
                    in.index(workloads),
                    in.integer(0xffff),
                    in.text(),
                    in.list(() -> in.index(backends)),
                    in.list(() -> in.index(workloads)),
                    in.text(),
                    in.optional(() -> backendTls(in)),
                    in.list(() -> in.index(backends))));
    List<Listener> listeners =
        in.list(
            () ->
                new Listener(
                    in.text(),
                    in.text(),
                    in.optional(in::address),
                    in.integer(0xffff),
                    in.text(),
                    in.ordinal(ListenerProtocol.values()),
                    in.optional(
                        () ->
                            new Tls(
                                in.list(in::text),
                                in.optional(() -> new ClientTrust(in.list(in::text), in.bool())))),
                    in.list(() -> route(in, rules, clusters.size())),
                    in.list(() -> l4Route(in, rules, clusters.size()))));
    List<VirtualService> virtualServices =
        in.list(
            () ->
                new VirtualService(
                    in.index(workloads),
                    in.list(in::address),
                    in.integer(0xffff),
                    in.list(() -> route(in, rules, clusters.size())),
                    in.list(() -> l4Route(in, rules, clusters.size())),
                    in.list(
                        () ->
                            new ConsumerRoutes(
                                in.text(),
                                in.list(() -> route(in, rules, clusters.size())),
                                in.list(() -> l4Route(in, rules, clusters.size()))))));
    return new ProxyPlan(
        listeners,
        virtualServices,
        clusters,
        AccessPlanCodec.read(in, workloads, rules),
        in.optional(() -> hbone(in, workloads)));
  }

  private static Hbone hbone(BinaryReader in, int workloads) throws PlanFormatException {
    int port = in.integer(0xffff);
    String account = in.text();
    List<Hbone.Peer> peers =
        in.list(() -> new Hbone.Peer(in.text(), in.address(), in.integer(0xffff), in.text()));
    return new Hbone(
        port,
        account,
        peers,
        in.list(() -> new Hbone.Through(in.index(workloads), in.index(peers.size()))),
        in.list(in::text),
        in.list(in::text));
  }

  private static Route route(BinaryReader in, int rules, int clusters) throws PlanFormatException {
    return new Route(
        in.ordinal(RouteKind.values()),
        in.text(),
        in.index(rules),
        in.list(in::text),
        in.list(() -> routeRule(in, clusters)));
  }

  private static L4Route l4Route(BinaryReader in, int rules, int clusters)
      throws PlanFormatException {
    return new L4Route(
        in.text(), in.index(rules), in.list(in::text), in.list(() -> backend(in, clusters)));
  }

  private static BackendTls backendTls(BinaryReader in) throws PlanFormatException {
    return new BackendTls(
        in.text(),
        in.list(() -> new SubjectAltName(in.bool(), in.text())),
        in.bool(),
        in.list(in::text));
  }

  private static WeightedBackend backend(BinaryReader in, int clusters) throws PlanFormatException {
    return new WeightedBackend(
        in.integer(clusters) - 1,
        in.integer(Integer.MAX_VALUE),
        in.list(() -> filter(in, clusters)));
  }

  private static RouteRule routeRule(BinaryReader in, int clusters) throws PlanFormatException {
    return new RouteRule(
        in.text(),
        in.list(() -> match(in)),
        in.list(() -> filter(in, clusters)),
        in.list(() -> backend(in, clusters)),
        in.number(Long.MAX_VALUE),
        in.number(Long.MAX_VALUE),
        in.optional(
            () ->
                new Retry(
                    in.list(() -> in.integer(999)),
                    in.integer(Integer.MAX_VALUE),
                    in.number(Long.MAX_VALUE))),
        in.optional(
            () ->
                new SessionPersistence(
                    in.ordinal(SessionPersistence.Type.values()),
                    in.text(),
                    in.number(Long.MAX_VALUE),
                    in.number(Long.MAX_VALUE),
                    in.bool())));
  }

  private static Match match(BinaryReader in) throws PlanFormatException {
    int kind = in.u8();
    PathMatch path =
        switch (kind) {
          case 0 -> new PathMatch.Exact(in.text());
          case 1 -> new PathMatch.Prefix(in.text());
          case 2 -> new PathMatch.Regex(in.text());
          case 3 -> new PathMatch.Grpc(in.text(), in.text(), in.bool());
          default -> throw in.bad("path match " + kind);
        };
    return new Match(
        path, in.list(() -> valueMatch(in)), in.list(() -> valueMatch(in)), in.optional(in::text));
  }

  private static ValueMatch valueMatch(BinaryReader in) throws PlanFormatException {
    return new ValueMatch(in.text(), in.text(), in.bool());
  }

  private static Filter filter(BinaryReader in, int clusters) throws PlanFormatException {
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
      case 4 ->
          new Filter.Mirror(
              in.integer(clusters) - 1,
              in.integer(Integer.MAX_VALUE),
              in.integer(Integer.MAX_VALUE));
      case 5 ->
          new Filter.Cors(
              in.list(in::text),
              in.bool(),
              in.list(in::text),
              in.list(in::text),
              in.list(in::text),
              in.integer(Integer.MAX_VALUE));
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
