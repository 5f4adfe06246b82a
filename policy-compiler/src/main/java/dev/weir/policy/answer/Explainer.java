// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.answer;

import dev.weir.policy.Analysis;
import dev.weir.policy.Compilation.Compiled;
import dev.weir.policy.answer.Authorizations.Asked;
import dev.weir.policy.answer.Explanation.Finding;
import dev.weir.policy.answer.Explanation.Side;
import dev.weir.policy.answer.NetworkPolicies.Reading;
import dev.weir.policy.answer.Routing.Entrance;
import dev.weir.policy.model.Service;
import dev.weir.policy.plan.Backend;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.ProxyPlan;
import dev.weir.policy.plan.Reserved;
import dev.weir.policy.plan.Rule;
import dev.weir.policy.plan.Verdict.Decision;
import dev.weir.policy.plan.VerdictIndex;
import dev.weir.policy.route.RouteMatch;
import dev.weir.policy.steer.Steering;
import dev.weir.policy.steer.Steering.Target;
import dev.weir.policy.steer.Steering.VirtualPort;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;

/**
 * Answers who may reach whom, and why.
 *
 * <p>The verdict is the plan's, looked up as the kernel does. The reasons are found by reading the
 * policies once more; when they do not add up to the plan's verdict, that is said instead of a
 * reason, since one of the two is wrong.
 */
public final class Explainer {

  private final Analysis analysis;
  private final Plan plan;
  private final VerdictIndex index;
  private final Parties parties;
  private final NetworkPolicies policies;
  private final Authorizations authorizations;
  private final Remedies remedies;
  private final Routing routing;
  private final RequestRules requests;
  private final RateLimits limits;
  private final List<Service> services;

  /** A question that names nobody, or more than one. */
  public static final class UnclearException extends Exception {
    /** Says who is meant by what. */
    public UnclearException(String message) {
      super(message);
    }
  }

  /** Answers from a compiled plan and what it was made of. */
  public Explainer(Analysis analysis, Compiled compiled) {
    this.analysis = analysis;
    this.plan = compiled.plan();
    this.index = new VerdictIndex(plan);
    this.parties = new Parties(analysis, plan, index);
    this.policies = new NetworkPolicies(analysis, plan);
    this.routing = new Routing(plan, analysis.steering());
    this.authorizations = new Authorizations(analysis);
    this.remedies = new Remedies(analysis, policies, authorizations);
    this.requests = new RequestRules(analysis.cluster(), plan, authorizations, remedies);
    this.limits = new RateLimits(plan);
    this.services = analysis.steering().services();
  }

  /**
   * Who is meant: {@code namespace/name}, a bare name that is unique, either with {@code service/}
   * or {@code workload/} before it, an IP address, {@code host} or {@code unknown}.
   *
   * @param port destination port when the destination is meant, else 0
   * @throws UnclearException when nobody or more than one is meant
   */
  public Party party(String text, Protocol protocol, int port) throws UnclearException {
    return parties.named(text, protocol, port);
  }

  /** May {@code from} reach {@code to}, and why? */
  public Explanation explain(Party from, Party to, Protocol protocol, int port) {
    return (to instanceof Party.Virtual service
            ? service(from, service, protocol, port)
            : direct(from, to, protocol, port, Asked.CONNECTION))
        .limited(limits.of(to, protocol, port));
  }

  /**
   * May {@code from} reach {@code to} if it came from elsewhere and without mutual TLS, so that
   * nobody could tell who it is? The plan is not asked: it knows workloads as they would come.
   */
  public Explanation inPlaintext(Party from, Party to, int port, Optional<Request> request) {
    return direct(from, to, Protocol.TCP, port, new Asked(request, true, false, false));
  }

  /**
   * May {@code from} ask {@code to} this, and where does the request go?
   *
   * @param port destination port, TCP
   */
  public Explanation explain(Party from, Party to, int port, Request request) {
    if (!(to instanceof Party.Virtual service)) {
      return direct(from, to, Protocol.TCP, port, Asked.of(request));
    }
    Explanation connection = service(from, service, Protocol.TCP, port);
    Entrance entrance = routing.of(Entrance.service(service.name(), port), namespace(from));
    if (!routing.has(entrance) || from instanceof Party.Outside) {
      return connection;
    }
    if (connection.decision() != Decision.INSPECT && connection.made()) {
      return connection;
    }
    Explanation routed = routed(connection, from, entrance, request, "");
    // What is refused as a connection must be allowed as this request, too.
    return connection.made()
        ? routed
        : routed.made() ? connection : connection.by(routed.remedy().or(connection::remedy));
  }

  /**
   * What becomes of a request through a Gateway? First the policies about the Gateway itself are
   * asked, then the route is found, then the policies about the backend are asked.
   *
   * @param gateway {@code namespace/name}, or a bare name that is unique
   * @param port of a listener
   * @throws UnclearException when no listener of the Gateway has the port
   */
  public Explanation throughGateway(Party from, String gateway, int port, Request request)
      throws UnclearException {
    List<Entrance> entrances = routing.gateways(gateway, port);
    if (entrances.isEmpty()) {
      throw new UnclearException("no listener of a Gateway " + gateway + " has port " + port);
    }
    if (entrances.size() > 1) {
      throw new UnclearException(
          "\"" + gateway + "\" may be any of " + entrances + ": write NAMESPACE/NAME");
    }
    Entrance entrance = entrances.getFirst();
    Explanation connection =
        direct(from, new Party.Proxy(), Protocol.TCP, port, Asked.CONNECTION)
            .to(entrance.name() + "[Gateway]");
    String serverName = routing.secure(entrance) ? request.host() : "";
    // Without a listener for the host it is answered 404 before anybody is asked.
    Optional<Explanation> own =
        routing.serves(entrance, request)
            ? requests.gateway(connection, from, entrance.name(), request, serverName)
            : Optional.empty();
    Explanation routed = routed(connection, from, entrance, request, serverName);
    List<Explanation> refusing = new ArrayList<>(List.of(connection));
    own.ifPresent(refusing::add);
    refusing.add(routed);
    refusing.removeIf(Explanation::made);
    if (!refusing.isEmpty() && !refusing.getFirst().equals(routed)) {
      Explanation first = refusing.getFirst();
      return first.by(Optional.of(together(first.why(), refusing)));
    }
    return own.filter(o -> o.decision() == Decision.AUDIT && routed.made())
        .map(
            o ->
                new Explanation(
                    routed.from(),
                    routed.to(),
                    routed.protocol(),
                    routed.port(),
                    Decision.AUDIT,
                    o.decidedBy(),
                    routed.tier(),
                    o.why() + "; " + routed.why(),
                    routed.findings(),
                    routed.backends(),
                    o.remedy(),
                    routed.routed()))
        .orElse(routed);
  }

  private String namespace(Party party) {
    return party instanceof Party.Declared declared
        ? analysis.cluster().workloads().get(declared.index()).meta().namespace()
        : "";
  }

  /** The connection is made as far as the proxy: where does it lead the request? */
  private Explanation routed(
      Explanation connection, Party from, Entrance entrance, Request request, String serverName) {
    Optional<Routing.Connection> split =
        routing.connection(entrance, serverName.isEmpty() ? request.host() : serverName);
    if (split.isPresent()) {
      return byServerName(connection, from, entrance, split.get());
    }
    Routing.Decision found = routing.ask(entrance, request);
    Optional<Rule> route = found.match().map(m -> rule(m.route().rule()));
    Explanation.Routed routed =
        new Explanation.Routed(
            found.match().map(m -> m.route().name()).orElse(""),
            route,
            found.match().map(m -> m.ruleIndex()).orElse(-1),
            found.status(),
            found.shares());
    List<Explanation> backends = new ArrayList<>();
    for (Routing.Share share : found.shares()) {
      if (share.cluster() >= 0) {
        ProxyPlan.Cluster cluster = plan.proxy().clusters().get(share.cluster());
        for (int endpoint : cluster.endpoints()) {
          Backend backend = plan.backends().get(endpoint);
          Party party = parties.declared(parties.workload(backend.workload()));
          Explanation reached =
              direct(from, party, Protocol.TCP, backend.port(), Asked.CONNECTION.fromHere());
          if (found.match().isEmpty()) {
            backends.add(reached);
            continue;
          }
          RouteMatch match = found.match().get();
          if (reached.made()) {
            backends.add(
                requests.ask(reached, from, backend, share.cluster(), request, match, serverName));
            continue;
          }
          // Both the connection and then the request must be allowed.
          Request sent = RequestRules.atBackend(request, match, share.cluster());
          Explanation whole =
              direct(from, party, Protocol.TCP, backend.port(), Asked.of(sent).fromHere());
          backends.add(reached.by(whole.remedy().or(reached::remedy)));
        }
      }
    }
    List<Explanation> refused = backends.stream().filter(b -> !b.made()).toList();
    List<Explanation> audited =
        backends.stream().filter(b -> b.decision() == Decision.AUDIT).toList();
    Decision decision =
        !refused.isEmpty()
            ? refused.size() == backends.size() ? Decision.REFUSE : Decision.INSPECT
            : audited.isEmpty() ? Decision.ALLOW : Decision.AUDIT;
    String why;
    if (found.status() != 0) {
      why =
          (found.match().isEmpty() ? "no route matches: the proxy answers " : "the proxy answers ")
              + found.status();
    } else if (backends.isEmpty()) {
      why = "nobody is behind the services of the route: the proxy answers 503";
    } else if (decision == Decision.AUDIT) {
      why =
          "the source may ask this of every backend that the route leads to, and for "
              + audited.size()
              + " of "
              + backends.size()
              + " it is reported that it would be refused";
    } else if (refused.isEmpty()) {
      why = "the source may ask this of every backend that the route leads to";
    } else if (decision == Decision.REFUSE) {
      why = "the source may ask this of no backend that the route leads to: the proxy answers 403";
    } else {
      why =
          "the route picks one of "
              + backends.size()
              + " backends, of which "
              + refused.size()
              + " may not be asked this: the proxy answers 403 for those";
    }
    List<Explanation> against = refused.isEmpty() ? audited : refused;
    return new Explanation(
        connection.from(),
        entrance.name(),
        Protocol.TCP,
        connection.port(),
        decision,
        against.isEmpty() ? route.orElse(connection.decidedBy()) : against.getFirst().decidedBy(),
        "proxy",
        why,
        connection.findings(),
        backends,
        decision == Decision.REFUSE || decision == Decision.AUDIT
            ? Optional.of(together(why, backends))
            : Optional.empty(),
        Optional.of(routed));
  }

  /** The proxy leads the connection on as it is, whatever is asked over it. */
  private Explanation byServerName(
      Explanation connection, Party from, Entrance entrance, Routing.Connection found) {
    List<Explanation> backends = new ArrayList<>();
    for (Routing.Share share : found.shares()) {
      if (share.served()) {
        for (int endpoint : plan.proxy().clusters().get(share.cluster()).endpoints()) {
          Backend backend = plan.backends().get(endpoint);
          Party party = parties.declared(parties.workload(backend.workload()));
          backends.add(direct(from, party, Protocol.TCP, backend.port(), Asked.OPAQUE.fromHere()));
        }
      }
    }
    List<Explanation> refused = backends.stream().filter(b -> !b.made()).toList();
    Decision decision =
        refused.size() == backends.size()
            ? Decision.REFUSE
            : refused.isEmpty() ? Decision.ALLOW : Decision.INSPECT;
    String why;
    if (found.route().isEmpty()) {
      why = "no route is for this server name: the proxy closes the connection";
    } else if (!found.served()) {
      why = "route " + found.route() + " has no valid backend: the proxy closes the connection";
    } else if (backends.isEmpty()) {
      why = "nobody is behind the services of the route: the proxy closes the connection";
    } else if (refused.isEmpty()) {
      why = "the source may reach every backend that the route leads connections to";
    } else if (decision == Decision.REFUSE) {
      why = "the source may reach no backend that the route leads connections to";
    } else {
      why =
          "the route picks one of "
              + backends.size()
              + " backends, of which the source may not reach "
              + refused.size();
    }
    Optional<Rule> route =
        found.route().isEmpty() ? Optional.empty() : Optional.of(rule(found.rule()));
    return new Explanation(
        connection.from(),
        entrance.name(),
        Protocol.TCP,
        connection.port(),
        decision,
        refused.isEmpty() ? route.orElse(connection.decidedBy()) : refused.getFirst().decidedBy(),
        "proxy",
        why,
        connection.findings(),
        backends,
        decision == Decision.REFUSE ? Optional.of(together(why, backends)) : Optional.empty(),
        Optional.of(routed(found)));
  }

  private Explanation.Routed routed(Routing.Connection found) {
    return new Explanation.Routed(
        found.route(),
        found.route().isEmpty() ? Optional.empty() : Optional.of(rule(found.rule())),
        -1,
        0,
        found.shares());
  }

  private Explanation service(Party from, Party.Virtual to, Protocol protocol, int port) {
    Optional<VirtualPort> found =
        analysis.steering().virtualPorts().stream()
            .filter(v -> v.service() == to.index() && v.port() == port && v.protocol() == protocol)
            .findFirst();
    Service service = services.get(to.index());
    if (found.isEmpty()) {
      return answer(
          from,
          to,
          protocol,
          port,
          Decision.REFUSE,
          0,
          "kernel",
          service.addresses().isEmpty()
              ? "the Service has no virtual address to connect to"
              : "the Service has no port " + protocol + " " + port,
          List.of());
    }
    VirtualPort virtual = found.get();
    Asked asked =
        virtual.front().filter(f -> !f.l4Routes().isEmpty()).isPresent()
                || protocol == Protocol.TCP && byTcpRoute(to, port)
            ? Asked.OPAQUE
            : Asked.CONNECTION;
    List<Explanation> backends = new ArrayList<>();
    for (int target : virtual.proxied() ? routed(virtual) : new TreeSet<>(virtual.targets())) {
      Target backend = analysis.steering().targets().get(target);
      Party behind =
          backend.workload() == Steering.OUTSIDE
              ? new Party.Outside(backend.address())
              : parties.declared(backend.workload());
      backends.add(direct(from, behind, protocol, backend.port(), asked));
    }
    if (virtual.proxied()) {
      VerdictIndex.Answer answer =
          index.lookup(parties.identity(from), parties.identity(to), protocol, port);
      String route = rule(virtual.front().orElseThrow().rule()).describe();
      boolean made =
          (answer.decision() == Decision.INSPECT || answer.decision() == Decision.ALLOW)
              && (!asked.opaque()
                  || backends.isEmpty()
                  || backends.stream().anyMatch(Explanation::made));
      return answer(
          from,
          to,
          protocol,
          port,
          made
              ? Decision.INSPECT
              : answer.decision() == Decision.AUDIT ? Decision.AUDIT : Decision.REFUSE,
          answer.rule(),
          made || answer.decision() == Decision.INSPECT ? "proxy" : "kernel",
          made
              ? tunnelled(virtual)
                  ? "a workload behind it is reached by a tunnel, which only the proxy makes; it"
                      + " asks for each backend whether this source may reach it"
                  : route
                      + " chooses a backend by "
                      + (virtual.front().orElseThrow().l4Routes().isEmpty()
                          ? "request"
                          : "server name")
                      + ", which only the proxy can; it asks for each"
                      + " backend whether this source may reach it"
              : from instanceof Party.Outside
                  ? "only who runs on this node is led to the proxy by a Service's address: from"
                      + " elsewhere it is reached through a Gateway, or each backend by itself"
                  : "the source may reach none of the backends that " + route + " leads to",
          made || !(from instanceof Party.Outside) ? backends : List.of());
    }
    // Weights that are the kernel's slots; what is sent makes no difference.
    Optional<Routing.Connection> split =
        protocol == Protocol.TCP
            ? routing
                .connection(Entrance.service(to.name(), port), "")
                .filter(Routing.Connection::kernel)
            : Optional.empty();
    Optional<Explanation.Routed> routed = split.map(this::routed);
    if (backends.isEmpty()) {
      Explanation nobody =
          answer(
              from,
              to,
              protocol,
              port,
              Decision.REFUSE,
              split.map(Routing.Connection::rule).orElse(0),
              "kernel",
              split
                  .map(s -> virtual.why() + ", and nobody is behind any of its backends")
                  .orElse("nobody is behind the Service"),
              List.of());
      return routed.map(nobody::with).orElse(nobody);
    }
    List<Explanation> refused = backends.stream().filter(b -> !b.made()).toList();
    Explanation first = refused.isEmpty() ? backends.getFirst() : refused.getFirst();
    String why =
        refused.isEmpty()
            ? (split.isPresent() ? virtual.why() : "no route needs the proxy")
                + ": the kernel leads the connection to one of "
                + backends.size()
                + " backend(s), and the source may reach each"
                + split.flatMap(Explainer::lost).orElse("")
            : refused.size() == backends.size()
                ? "the source may reach none of the backends"
                : "the kernel picks one of "
                    + backends.size()
                    + " backends, of which the source may not reach "
                    + refused.size();
    Explanation whole =
        answer(from, to, protocol, port, first.decision(), 0, "kernel", why, backends);
    return new Explanation(
        whole.from(),
        whole.to(),
        protocol,
        port,
        whole.decision(),
        first.decidedBy(),
        whole.tier(),
        why,
        List.of(),
        backends,
        whole.remedy(),
        routed);
  }

  /** Whether the kernel splits the connections to a port of a service as a TCPRoute says. */
  private boolean byTcpRoute(Party.Virtual to, int port) {
    return routing
        .connection(Entrance.service(to.name(), port), "")
        .filter(split -> split.kernel() && rule(split.rule()).kind().equals("TCPRoute"))
        .isPresent();
  }

  /** The part of connections that a split leads nowhere. */
  private static Optional<String> lost(Routing.Connection split) {
    return split.shares().stream()
        .filter(s -> !s.served())
        .findFirst()
        .map(s -> "; " + Routing.Share.percent(s.fraction()) + " of connections are refused");
  }

  /** Whether it is Mesh alone that leads it to the proxy. */
  private static boolean tunnelled(VirtualPort virtual) {
    return virtual.front().orElseThrow().rule() == 0;
  }

  /** Targets that any rule of the service's routes leads to. */
  private Set<Integer> routed(VirtualPort virtual) {
    TreeSet<Integer> targets = new TreeSet<>();
    for (int cluster : virtual.front().orElseThrow().clusters()) {
      targets.addAll(analysis.steering().clusters().get(cluster).targets());
    }
    return targets;
  }

  private Explanation answer(
      Party from,
      Party to,
      Protocol protocol,
      int port,
      Decision decision,
      int rule,
      String tier,
      String why,
      List<Explanation> backends) {
    return new Explanation(
        from.name(),
        to.name(),
        protocol,
        port,
        decision,
        rule(rule),
        tier,
        why,
        List.of(),
        backends,
        decision == Decision.REFUSE || decision == Decision.AUDIT
            ? Optional.of(together(why, backends))
            : Optional.empty());
  }

  /** What opens the way to every backend that is closed. */
  private static Remedy together(String why, List<Explanation> backends) {
    List<Remedy> remedies = backends.stream().flatMap(b -> b.remedy().stream()).toList();
    if (remedies.isEmpty()) {
      return new Remedy("no change of policy helps: " + why, List.of());
    }
    Optional<Remedy> none = remedies.stream().filter(r -> r.changes().isEmpty()).findFirst();
    if (none.isPresent()) {
      return none.get();
    }
    List<Change> all = remedies.stream().flatMap(r -> r.changes().stream()).toList();
    return Changes.together(all)
        .map(changes -> Remedies.remedy(changes, ""))
        .orElseGet(
            () ->
                new Remedy(
                    "mutual TLS is demanded by several backends, of which no one change of"
                        + " policy excepts all: have it come by mutual TLS",
                    List.of()));
  }

  private Rule rule(int index) {
    return plan.rules().get(index);
  }

  private Explanation direct(Party from, Party to, Protocol protocol, int port, Asked asked) {
    int source = parties.identity(from);
    int destination = parties.identity(to);
    VerdictIndex.Answer answer =
        asked.here()
            ? index.lookupFromHere(source, destination, protocol, port)
            : index.lookup(source, destination, protocol, port);
    Reading out = policies.read(Side.EGRESS, from, to, to, protocol, port);
    Reading in = policies.read(Side.INGRESS, to, from, to, protocol, port);
    Authorizations.Reading access = authorizations.read(from, to, protocol, port, asked);
    List<Finding> findings = new ArrayList<>(out.findings());
    findings.addAll(in.findings());
    findings.addAll(access.findings());
    findings.sort(Comparator.comparing(Finding::effect));
    boolean special =
        from instanceof Party.Host
            || from instanceof Party.Proxy
            || to instanceof Party.Host
            || to instanceof Party.Proxy;
    Decision read = decision(out, in, access);
    // The proxy knows identities: what it leads back to the caller is judged like all of its kind.
    boolean itself = from.equals(to) && !asked.here();
    // The plan knows no request, and no peer that comes otherwise than it would. What depends on
    // requests where none will be looked at, as Istio has it of TCP: an ALLOW rule with HTTP
    // attributes matches nothing, and a DENY rule matches without them.
    boolean unseen = asked.opaque() && answer.decision() == Decision.INSPECT;
    boolean asPlanned = asked.request().isEmpty() && !asked.plaintext() && !unseen;
    Decision decision = itself ? Decision.ALLOW : asPlanned || special ? answer.decision() : read;
    boolean refused = decision == Decision.REFUSE || decision == Decision.AUDIT;
    // Where the enforced ones let it pass, the reasons are those of policies in audit.
    boolean enforced = out.enforced() && in.enforced() && access.enforced();
    boolean outAllows = enforced ? out.whole() : out.enforced();
    boolean inAllows = enforced ? in.whole() : in.enforced();
    boolean accessAllows = enforced ? access.whole() : access.enforced();
    String why;
    if (itself) {
      why = "nothing keeps a workload from itself";
    } else if (!special && asPlanned && read != answer.decision()) {
      why =
          "the plan and the policies disagree about this connection: this is a defect of Weir,"
              + " please report it with these files";
    } else if (!refused && answer.rule() == 0 && findings.isEmpty()) {
      why = "no policy selects either side in this direction";
    } else if (from instanceof Party.Host && !plan.settings().hostGoverned()) {
      why = "the node's own processes are governed by nobody, as Mesh does not say otherwise";
    } else if (decision == Decision.INSPECT) {
      why =
          "AuthorizationPolicies about the destination decide request by request, which only the"
              + " proxy can: it is reached by way of a Service's address";
    } else if (!refused) {
      why = "every side that is isolated allows it";
    } else if (special) {
      why = "nothing allows it";
    } else {
      Rule byRule = rule(answer.rule());
      why =
          !asPlanned || !outAllows || !inAllows
              ? refusal(outAllows, inAllows, accessAllows)
              : byRule.kind().equals("PeerAuthentication")
                  ? byRule.describe() + " demands mutual TLS of whoever is not on this node"
                  : byRule.clause().isEmpty()
                      ? "no rule of the ALLOW policies about the destination lets the source in"
                      : byRule.describe() + " denies it";
    }
    if (unseen) {
      why +=
          "; nobody looks at requests where a route leads connections: an ALLOW rule with HTTP"
              + " attributes matches nothing there, and a DENY rule matches without them";
    }
    Optional<Remedy> remedy = Optional.empty();
    if (refused) {
      List<Side> closed = new ArrayList<>();
      if (!outAllows) {
        closed.add(Side.EGRESS);
      }
      boolean hostClosed =
          to instanceof Party.Host
              && plan.identities().get(Reserved.HOST.index()).ingressIsolated();
      if (!inAllows || outAllows && accessAllows || hostClosed) {
        closed.add(Side.INGRESS);
      }
      remedy =
          Optional.of(
              remedies.of(
                  closed,
                  from,
                  to,
                  protocol,
                  port,
                  accessAllows ? List.of() : access.decisive(),
                  asked,
                  !enforced));
    }
    if (decision == Decision.AUDIT) {
      why +=
          plan.settings().audit()
              ? "; Mesh is in audit mode, so that it is reported and made"
              : "; the policies that would refuse it are in audit mode: it is reported and made";
    }
    return new Explanation(
        from.name(),
        to.name(),
        protocol,
        port,
        decision,
        asPlanned || findings.isEmpty()
            ? rule(answer.rule())
            : access.decisive().isEmpty()
                ? findings.getFirst().rule()
                : access.decisive().getFirst().rule(),
        answer.decision() == Decision.INSPECT && (!unseen || asked.here()) ? "proxy" : "kernel",
        why,
        findings,
        List.of(),
        remedy);
  }

  private static String refusal(boolean out, boolean in, boolean access) {
    List<String> reasons = new ArrayList<>();
    if (!out && !in) {
      reasons.add("both sides are isolated, and neither allows it");
    } else if (!out) {
      reasons.add("the source is isolated, and nothing allows it to connect there");
    } else if (!in) {
      reasons.add("the destination is isolated, and nothing lets the source in");
    }
    if (!access) {
      reasons.add("the destination's AuthorizationPolicies or PeerAuthentication refuse it");
    }
    return String.join("; ", reasons);
  }

  /** What the policies say, put together as docs/policy.md has it. */
  private Decision decision(Reading out, Reading in, Authorizations.Reading access) {
    if (!out.enforced() || !in.enforced() || !access.enforced()) {
      return plan.settings().audit() ? Decision.AUDIT : Decision.REFUSE;
    }
    if (access.depends()) {
      return Decision.INSPECT;
    }
    return out.whole() && in.whole() && access.whole() ? Decision.ALLOW : Decision.AUDIT;
  }
}
