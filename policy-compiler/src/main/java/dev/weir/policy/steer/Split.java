// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.steer;

import dev.weir.policy.cluster.Cluster;
import dev.weir.policy.model.HttpRoute;
import dev.weir.policy.model.L4Route;
import dev.weir.policy.model.Reference;
import dev.weir.policy.model.Route;
import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.ProxyPlan.Match;
import dev.weir.policy.plan.ProxyPlan.PathMatch;
import dev.weir.policy.plan.ProxyPlan.RouteKind;
import dev.weir.policy.source.Diagnostics;
import dev.weir.policy.steer.Attachment.ServiceRoutes;
import dev.weir.policy.steer.Slots.Share;
import dev.weir.policy.steer.Steering.KernelSplit;
import dev.weir.policy.steer.Steering.SplitPart;
import dev.weir.policy.steer.Steering.Target;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * Weights that the kernel can honour by itself, connection by connection: a TCPRoute's, and an
 * HTTPRoute's that says nothing but weights and asks for it.
 */
final class Split {

  /** On an HTTPRoute, with the value {@code connection}. */
  static final String ANNOTATION = "weir.dev/split";

  /** Stands in slots for a share that leads nowhere. */
  static final Target NOWHERE = new Target(new Address(0, 0), 0, Steering.OUTSIDE);

  private final Cluster cluster;
  private final Backends backends;
  private final Diagnostics diagnostics;

  Split(Cluster cluster, Backends backends, Diagnostics diagnostics) {
    this.cluster = cluster;
    this.backends = backends;
    this.diagnostics = diagnostics;
  }

  private static final String REFUSED = "its share of connections is refused";

  private record Part(Reference reference, int weight) {}

  /** Whether the kernel honours the routes at a port of a service exactly. */
  boolean inKernel(Backing backing, ServiceRoutes routes) {
    if (!routes.consumers().isEmpty() || routes.producers().isEmpty()) {
      return false;
    }
    Route first = routes.producers().getFirst().route();
    return switch (first) {
      case L4Route l4 -> l4.type() == L4Route.Type.TCP;
      case HttpRoute http -> byConnection(http, routes.producers().size());
    };
  }

  private boolean byConnection(HttpRoute route, int routes) {
    String wish = route.meta().annotations().getOrDefault(ANNOTATION, "");
    if (wish.isEmpty() || wish.equals("request")) {
      return false;
    }
    String obstacle = "";
    if (!wish.equals("connection")) {
      obstacle = "is \"" + wish + "\"; connection and request are known";
    } else if (route.type() != RouteKind.HTTP) {
      obstacle = "calls of one connection are told apart, since it is a GRPCRoute";
    } else if (routes > 1) {
      obstacle = "another route is attached to the same port";
    } else if (route.parents().size() > 1) {
      obstacle = "the route has several parents";
    } else if (route.rules().size() != 1) {
      obstacle = "the route has several rules";
    } else {
      obstacle = obstacle(route.rules().getFirst());
    }
    if (!obstacle.isEmpty()) {
      diagnostics.warning(
          route.meta().at(),
          "metadata.annotations." + ANNOTATION,
          obstacle + ": the proxy splits by request",
          "only a bare weight split can be made by connection");
    }
    return obstacle.isEmpty();
  }

  private static String obstacle(HttpRoute.Rule rule) {
    Match match = rule.matches().getFirst();
    boolean any =
        rule.matches().size() == 1
            && match.path() instanceof PathMatch.Prefix(String path)
            && path.equals("/")
            && match.headers().isEmpty()
            && match.query().isEmpty()
            && match.method().isEmpty();
    if (!any) {
      return "the rule matches by request";
    }
    if (!rule.filters().isEmpty()
        || rule.backends().stream().anyMatch(b -> !b.filters().isEmpty())) {
      return "the rule has filters";
    }
    if (rule.requestTimeoutMillis() > 0
        || rule.backendTimeoutMillis() > 0
        || rule.retry().isPresent()
        || rule.session().isPresent()) {
      return "the rule has timeouts, retries or session persistence";
    }
    return rule.backends().isEmpty() ? "the rule has no backends" : "";
  }

  /**
   * Whom the kernel picks from, each slot as likely as another.
   *
   * @param routes at the port, if any; then all of them in the kernel
   * @param v4 family of the virtual address
   */
  List<Target> slots(Backing backing, Optional<ServiceRoutes> routes, boolean v4) {
    if (routes.isEmpty()) {
      return backends.targets(backends.service(backing), backends.port(backing), v4);
    }
    Route route = routes.get().producers().getFirst().route();
    List<Part> parts = parts(route);
    long total = parts.stream().mapToLong(Part::weight).sum();
    List<Target> targets = new ArrayList<>();
    List<Share> shares = new ArrayList<>();
    for (Part part : parts) {
      List<Target> here =
          backends
              .resolve(route, part.reference(), REFUSED)
              .map(b -> backends.targets(backends.service(b), backends.port(b), v4))
              .orElse(List.of());
      if (here.isEmpty()) {
        shares.add(new Share(Slots.NOWHERE, part.reference().name(), part.weight(), total));
      }
      for (Target target : here) {
        shares.add(
            new Share(
                targets.size(),
                key(target),
                part.weight(),
                Math.multiplyExact(total, here.size())));
        targets.add(target);
      }
    }
    return Slots.of(shares).stream()
        .map(slot -> slot == Slots.NOWHERE ? NOWHERE : targets.get(slot))
        .toList();
  }

  private static List<Part> parts(Route route) {
    return switch (route) {
      case L4Route l4 ->
          l4.backends().stream().map(b -> new Part(b.reference(), b.weight())).toList();
      case HttpRoute http ->
          http.rules().getFirst().backends().stream()
              .map(b -> new Part(b.reference(), b.weight()))
              .toList();
    };
  }

  /** What the slots of a port stand for, whether or not the service has an address. */
  KernelSplit describe(Backing backing, ServiceRoutes routes, int rule) {
    Route route = routes.producers().getFirst().route();
    List<SplitPart> parts = new ArrayList<>();
    for (Part part : parts(route)) {
      parts.add(
          backends
              .resolve(route, part.reference(), REFUSED)
              .map(
                  b ->
                      new SplitPart(
                          b.service(), backends.port(b).port(), backends.behind(b), part.weight()))
              .orElse(new SplitPart(Steering.OUTSIDE, 0, List.of(), part.weight())));
    }
    return new KernelSplit(
        backing.service(), backends.port(backing).port(), route.id(), rule, parts);
  }

  private String key(Target target) {
    String address = target.address() + " " + target.port();
    return target.workload() == Steering.OUTSIDE
        ? address
        : cluster.workloads().get(target.workload()).id() + " " + target.port();
  }

  /** Why the kernel serves a port, for people. */
  String why(Optional<ServiceRoutes> routes, boolean nobody) {
    if (routes.isPresent()) {
      return routes.get().producers().getFirst().route().id()
          + " splits by connection: its weights are the kernel's slots";
    }
    return whyPlain(nobody);
  }

  /** The same of a port without routes. */
  static String whyPlain(boolean nobody) {
    return nobody ? "nobody is behind it" : "no route: the kernel picks a backend at connect";
  }
}
