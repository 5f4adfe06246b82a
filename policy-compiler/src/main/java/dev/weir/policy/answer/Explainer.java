// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.answer;

import dev.weir.policy.Analysis;
import dev.weir.policy.Compilation.Compiled;
import dev.weir.policy.answer.Explanation.Effect;
import dev.weir.policy.answer.Explanation.Finding;
import dev.weir.policy.answer.Explanation.Side;
import dev.weir.policy.cluster.Selectors;
import dev.weir.policy.model.Block;
import dev.weir.policy.model.LabelSelector;
import dev.weir.policy.model.Located;
import dev.weir.policy.model.NetworkPolicy;
import dev.weir.policy.model.NetworkPolicy.Clause;
import dev.weir.policy.model.NetworkPolicy.Peer;
import dev.weir.policy.model.PortReference;
import dev.weir.policy.model.Resource;
import dev.weir.policy.model.Service;
import dev.weir.policy.model.Workload;
import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.PortOwner;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.ProxyPlan;
import dev.weir.policy.plan.Reserved;
import dev.weir.policy.plan.Rule;
import dev.weir.policy.plan.Verdict.Decision;
import dev.weir.policy.plan.VerdictIndex;
import dev.weir.policy.steer.Steering.Target;
import dev.weir.policy.steer.Steering.VirtualPort;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
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
  private final List<Workload> workloads;
  private final List<Service> services;

  /** A question that names nobody, or more than one. */
  public static final class UnclearException extends Exception {
    UnclearException(String message) {
      super(message);
    }
  }

  /** Answers from a compiled plan and what it was made of. */
  public Explainer(Analysis analysis, Compiled compiled) {
    this.analysis = analysis;
    this.plan = compiled.plan();
    this.index = new VerdictIndex(plan);
    this.workloads = analysis.cluster().workloads();
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
    if (text.equals("host")) {
      return new Party.Host();
    }
    if (text.equals("unknown")) {
      return new Party.Unknown();
    }
    Optional<Address> address = Address.parse(text);
    if (address.isPresent()) {
      return at(address.get(), protocol, port);
    }
    String rest = text;
    boolean wantService = port != 0;
    boolean wantWorkload = true;
    for (String prefix : List.of("service/", "svc/", "workload/")) {
      if (text.startsWith(prefix)) {
        rest = text.substring(prefix.length());
        wantService = !prefix.equals("workload/");
        wantWorkload = !wantService;
      }
    }
    List<Party> found = new ArrayList<>();
    for (int s = 0; s < services.size() && wantService; s++) {
      // A bare name that both have means the service only if the service has the port.
      if (named(services.get(s), rest)
          && (!wantWorkload || hasPort(services.get(s), protocol, port))) {
        found.add(new Party.Virtual(s, services.get(s).meta().qualifiedName()));
      }
    }
    for (int w = 0; w < workloads.size() && wantWorkload && found.isEmpty(); w++) {
      if (named(workloads.get(w), rest)) {
        found.add(new Party.Declared(w, workloads.get(w).meta().qualifiedName()));
      }
    }
    if (found.isEmpty() && wantService && wantWorkload) {
      return party("service/" + rest, protocol, port);
    }
    if (found.isEmpty()) {
      throw new UnclearException(
          "nobody is called \""
              + text
              + "\": NAMESPACE/NAME of a Workload or Service, an IP address, host or unknown");
    }
    if (found.size() > 1) {
      throw new UnclearException(
          "\""
              + text
              + "\" may be any of "
              + String.join(", ", found.stream().map(Party::name).toList())
              + ": write NAMESPACE/NAME");
    }
    return found.getFirst();
  }

  private static boolean named(Resource resource, String text) {
    return text.equals(resource.meta().qualifiedName()) || text.equals(resource.meta().name());
  }

  private static boolean hasPort(Service service, Protocol protocol, int port) {
    return service.ports().stream().anyMatch(p -> p.port() == port && p.protocol() == protocol);
  }

  private boolean believes(Workload workload, Address address) {
    return analysis.cluster().believedAddresses(workload).stream()
        .anyMatch(a -> a.value().equals(address));
  }

  private Party at(Address address, Protocol protocol, int port) {
    for (int s = 0; s < services.size(); s++) {
      for (Located<Address> virtual : services.get(s).addresses()) {
        if (virtual.value().equals(address)) {
          return new Party.Virtual(s, services.get(s).meta().qualifiedName());
        }
      }
    }
    for (int w = 0; w < workloads.size(); w++) {
      if (believes(workloads.get(w), address)) {
        return new Party.Declared(w, workloads.get(w).meta().qualifiedName());
      }
    }
    if (!address.isLoopback()) {
      return new Party.Outside(address);
    }
    for (PortOwner owner : plan.ports()) {
      if (owner.protocol() == protocol && owner.port() == port) {
        int workload = owner.workload() - firstWorkload();
        return owner.workload() == Reserved.PROXY.index()
            ? new Party.Proxy()
            : workload < 0
                ? new Party.Host()
                : new Party.Declared(workload, workloads.get(workload).meta().qualifiedName());
      }
    }
    return new Party.Host();
  }

  /** Index of the cluster's first workload in the plan. */
  private int firstWorkload() {
    return plan.workloads().size() - workloads.size();
  }

  private int identity(Party party) {
    return switch (party) {
      case Party.Declared declared ->
          plan.workloads().get(firstWorkload() + declared.index()).identity();
      case Party.Host host -> Reserved.HOST.index();
      case Party.Unknown unknown -> Reserved.UNKNOWN.index();
      case Party.Proxy proxy -> Reserved.PROXY.index();
      case Party.Outside outside -> index.outside(outside.address());
      case Party.Virtual virtual ->
          plan.workloads().get(firstWorkload() - services.size() + virtual.index()).identity();
    };
  }

  /** May {@code from} reach {@code to}, and why? */
  public Explanation explain(Party from, Party to, Protocol protocol, int port) {
    return to instanceof Party.Virtual service
        ? service(from, service, protocol, port)
        : direct(from, to, protocol, port);
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
    List<Explanation> backends = new ArrayList<>();
    for (int target : virtual.proxied() ? routed(virtual) : new TreeSet<>(virtual.targets())) {
      Target backend = analysis.steering().targets().get(target);
      String name = workloads.get(backend.workload()).meta().qualifiedName();
      backends.add(
          direct(from, new Party.Declared(backend.workload(), name), protocol, backend.port()));
    }
    if (virtual.proxied()) {
      VerdictIndex.Answer answer = index.lookup(identity(from), identity(to), protocol, port);
      String route = rule(virtual.routes().getFirst().rule()).describe();
      boolean made = answer.decision() == Decision.INSPECT || answer.decision() == Decision.ALLOW;
      return answer(
          from,
          to,
          protocol,
          port,
          made ? Decision.INSPECT : answer.decision(),
          answer.rule(),
          made ? "proxy" : "kernel",
          made
              ? route
                  + " chooses a backend by request, which only the proxy can; it asks for each"
                  + " backend whether this source may reach it"
              : "the source may reach none of the backends that " + route + " leads to",
          backends);
    }
    if (backends.isEmpty()) {
      return answer(
          from,
          to,
          protocol,
          port,
          Decision.REFUSE,
          0,
          "kernel",
          "nobody is behind the Service",
          List.of());
    }
    List<Explanation> refused = backends.stream().filter(b -> !b.made()).toList();
    Explanation first = refused.isEmpty() ? backends.getFirst() : refused.getFirst();
    String why =
        refused.isEmpty()
            ? "no route needs the proxy: the kernel leads the connection to one of "
                + backends.size()
                + " backend(s), and the source may reach each"
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
        backends);
  }

  /** Targets that any rule of the service's routes leads to. */
  private Set<Integer> routed(VirtualPort virtual) {
    TreeSet<Integer> targets = new TreeSet<>();
    for (ProxyPlan.Route route : virtual.routes()) {
      for (ProxyPlan.RouteRule routeRule : route.rules()) {
        for (ProxyPlan.WeightedBackend backend : routeRule.backends()) {
          if (backend.cluster() >= 0) {
            targets.addAll(analysis.steering().clusters().get(backend.cluster()).targets());
          }
        }
      }
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
        backends);
  }

  private Rule rule(int index) {
    return plan.rules().get(index);
  }

  private Explanation direct(Party from, Party to, Protocol protocol, int port) {
    VerdictIndex.Answer answer = index.lookup(identity(from), identity(to), protocol, port);
    List<Finding> findings = new ArrayList<>();
    boolean out = side(Side.EGRESS, from, to, to, protocol, port, findings);
    boolean in = side(Side.INGRESS, to, from, to, protocol, port, findings);
    findings.sort(Comparator.comparing(Finding::effect));
    boolean byPolicy = out && in;
    boolean special =
        from instanceof Party.Host
            || from instanceof Party.Proxy
            || to instanceof Party.Host
            || to instanceof Party.Proxy;
    boolean refused = answer.decision() == Decision.REFUSE || answer.decision() == Decision.AUDIT;
    String why;
    if (!special && byPolicy == refused) {
      why =
          "the plan and the policies disagree about this connection: this is a defect of Weir,"
              + " please report it with these files";
    } else if (!refused && answer.rule() == 0 && findings.isEmpty()) {
      why = "no policy selects either side in this direction";
    } else if (from instanceof Party.Host && !plan.settings().hostGoverned()) {
      why = "the node's own processes are governed by nobody, as Mesh does not say otherwise";
    } else if (!refused) {
      why = "every side that is isolated allows it";
    } else if (special) {
      why = "nothing allows it";
    } else {
      why =
          in
              ? "the source is isolated, and nothing allows it to connect there"
              : out
                  ? "the destination is isolated, and nothing lets the source in"
                  : "both sides are isolated, and neither allows it";
    }
    if (answer.decision() == Decision.AUDIT) {
      why += "; Mesh is in audit mode, so that it is reported and made";
    }
    return new Explanation(
        from.name(),
        to.name(),
        protocol,
        port,
        answer.decision(),
        rule(answer.rule()),
        "kernel",
        why,
        findings,
        List.of());
  }

  /** Whether one side allows the connection; adds what its policies say. */
  private boolean side(
      Side side,
      Party subject,
      Party other,
      Party destination,
      Protocol protocol,
      int port,
      List<Finding> findings) {
    String name = side.name().toLowerCase(Locale.ROOT);
    boolean defaultDeny = plan.settings().defaultDeny();
    if (!(subject instanceof Party.Declared declared)) {
      return !(subject instanceof Party.Unknown && defaultDeny);
    }
    Workload workload = workloads.get(declared.index());
    boolean isolated = defaultDeny;
    boolean allowed = false;
    if (defaultDeny) {
      findings.add(new Finding(rule(0), side, Effect.ISOLATES, "Mesh: defaultDeny"));
    }
    for (NetworkPolicy policy : analysis.cluster().all(NetworkPolicy.class)) {
      boolean applies =
          (side == Side.INGRESS ? policy.isolatesIngress() : policy.isolatesEgress())
              && policy.meta().namespace().equals(workload.meta().namespace())
              && Selectors.matches(policy.podSelector(), workload.meta().labels());
      if (!applies) {
        continue;
      }
      isolated = true;
      findings.add(
          new Finding(
              rule(analysis.rules().of(policy)),
              side,
              Effect.ISOLATES,
              "isolates " + workload.meta().qualifiedName() + " for " + name));
      List<Clause> clauses = side == Side.INGRESS ? policy.ingress() : policy.egress();
      for (int i = 0; i < clauses.size(); i++) {
        boolean peer = peers(policy, clauses.get(i), other);
        boolean onPort = ports(clauses.get(i), destination, protocol, port);
        Rule rule = rule(analysis.rules().of(policy, name, i));
        if (peer && onPort) {
          allowed = true;
          findings.add(new Finding(rule, side, Effect.ALLOWS, "allows it"));
        } else if (peer) {
          findings.add(
              new Finding(
                  rule,
                  side,
                  Effect.OTHER_PORT,
                  "names " + other.name() + ", but not " + protocol + " " + port));
        } else if (onPort) {
          findings.add(
              new Finding(
                  rule,
                  side,
                  Effect.OTHER_PEER,
                  "names " + protocol + " " + port + ", but not " + other.name()));
        }
      }
    }
    return !isolated || allowed;
  }

  private boolean peers(NetworkPolicy policy, Clause clause, Party other) {
    if (clause.peers().isEmpty()) {
      return true;
    }
    for (Peer peer : clause.peers()) {
      boolean named =
          switch (peer) {
            case Peer.Pods pods ->
                other instanceof Party.Declared declared
                    && selects(policy, pods, workloads.get(declared.index()));
            case Peer.Addresses block ->
                switch (other) {
                  case Party.Outside outside -> holds(block, outside.address());
                  case Party.Host host ->
                      holds(block, Address.LOOPBACK4) || holds(block, Address.LOOPBACK6);
                  case Party.Proxy proxy ->
                      holds(block, Address.LOOPBACK4) || holds(block, Address.LOOPBACK6);
                  default -> false;
                };
          };
      if (named) {
        return true;
      }
    }
    return false;
  }

  private boolean selects(NetworkPolicy policy, Peer.Pods pods, Workload workload) {
    Map<String, String> namespaceLabels =
        analysis.cluster().namespaceLabels(workload.meta().namespace());
    boolean namespace =
        pods.namespaces()
            .map(selector -> Selectors.matches(selector, namespaceLabels))
            .orElse(policy.meta().namespace().equals(workload.meta().namespace()));
    Optional<LabelSelector> selector = pods.pods();
    return namespace
        && (selector.isEmpty() || Selectors.matches(selector.get(), workload.meta().labels()));
  }

  private static boolean holds(Peer.Addresses peer, Address address) {
    return peer.block().contains(address)
        && peer.except().stream().noneMatch((Block e) -> e.contains(address));
  }

  private boolean ports(Clause clause, Party destination, Protocol protocol, int port) {
    if (clause.ports().isEmpty()) {
      return true;
    }
    for (NetworkPolicy.Port wanted : clause.ports()) {
      if (wanted.protocol() == protocol
          && (wanted.port().isEmpty() || means(wanted.port().get(), destination, protocol, port))) {
        return true;
      }
    }
    return false;
  }

  private boolean means(PortReference reference, Party destination, Protocol protocol, int port) {
    return switch (reference) {
      case PortReference.Numbers numbers -> numbers.first() <= port && port <= numbers.last();
      case PortReference.Named named ->
          destination instanceof Party.Declared declared
              && workloads.get(declared.index()).ports().stream()
                  .anyMatch(
                      p ->
                          p.name().equals(named.name())
                              && p.protocol() == protocol
                              && p.port() == port);
    };
  }
}
