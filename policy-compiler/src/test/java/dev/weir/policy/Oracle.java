// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy;

import dev.weir.policy.access.AccessQuestions;
import dev.weir.policy.access.AskedRequest;
import dev.weir.policy.access.Destination;
import dev.weir.policy.answer.Explainer;
import dev.weir.policy.answer.Explanation;
import dev.weir.policy.answer.Request;
import dev.weir.policy.model.AuthorizationPolicy;
import dev.weir.policy.model.Mesh;
import dev.weir.policy.model.Resource;
import dev.weir.policy.model.ResourceReader;
import dev.weir.policy.model.Workload;
import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Backend;
import dev.weir.policy.plan.Endpoint;
import dev.weir.policy.plan.Identity;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.ProxyPlan;
import dev.weir.policy.plan.Reserved;
import dev.weir.policy.plan.Service;
import dev.weir.policy.plan.Verdict.Decision;
import dev.weir.policy.plan.VerdictIndex;
import dev.weir.policy.rbac.Principal;
import dev.weir.policy.rbac.Token;
import dev.weir.policy.reference.Attributes;
import dev.weir.policy.reference.Outcome;
import dev.weir.policy.reference.Party;
import dev.weir.policy.reference.ReferenceEvaluator;
import dev.weir.policy.route.RequestTarget;
import dev.weir.policy.source.Diagnostics;
import dev.weir.policy.source.Purpose;
import dev.weir.policy.source.SourceTree;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.IntStream;

/**
 * One cluster, asked three times: what the plan says in the kernel's order of look-ups, what {@code
 * explain} says, and what the reference evaluator says.
 */
final class Oracle {

  private static final List<Protocol> PROTOCOLS =
      List.of(Protocol.TCP, Protocol.UDP, Protocol.SCTP);

  /**
   * Two of them disagree, or the compiler failed.
   *
   * @param kind a word, so that a smaller cluster counts only if it fails alike
   * @param message about what
   */
  record Disagreement(String kind, String message) {
    @Override
    public String toString() {
      return kind + ": " + message;
    }
  }

  /** What came of it. */
  record Result(
      int questions, Map<Outcome, Integer> outcomes, Optional<Disagreement> disagreement) {}

  /** As few documents as the disagreement needs. */
  record Shrunk(List<String> documents, Disagreement disagreement) {}

  private static final class Found extends RuntimeException {
    private static final long serialVersionUID = 1;
    final transient Disagreement disagreement;

    Found(String kind, String message) {
      super(kind + ": " + message);
      this.disagreement = new Disagreement(kind, message);
    }
  }

  /** One side, as the three know it. */
  record Side(
      Party party,
      Optional<dev.weir.policy.answer.Party> named,
      int identity,
      boolean source,
      boolean destination) {
    Side(Party party, Optional<dev.weir.policy.answer.Party> named, int identity) {
      this(party, named, identity, true, true);
    }
  }

  final Analysis analysis;
  final Plan plan;
  final VerdictIndex index;
  final List<Workload> workloads;
  final ReferenceEvaluator reference;
  private final Explainer explainer;
  private final Random random;
  private final boolean everything;
  private final List<Side> sides = new ArrayList<>();
  private final Map<Outcome, Integer> outcomes = new EnumMap<>(Outcome.class);
  private int questions;

  private Oracle(List<String> documents, long seed, boolean everything) {
    this.everything = everything;
    SourceTree tree = SourceTree.of("random.yaml", String.join("---\n", documents));
    random = new Random(seed);
    analysis = PolicyCompiler.analyse(tree);
    if (!(analysis.compilation() instanceof Compilation.Compiled compiled)) {
      throw new Found("refused", analysis.compilation().toString());
    }
    plan = compiled.plan();
    index = new VerdictIndex(plan);
    workloads = analysis.cluster().workloads();
    List<Resource> resources = ResourceReader.read(tree, new Diagnostics(Purpose.ASK));
    reference = new ReferenceEvaluator(resources);
    explainer = new Explainer(analysis, compiled);
    sides();
  }

  /** Asks some of the possible questions, the same ones for the same seed. */
  static Result ask(List<String> documents, long seed) {
    return ask(documents, seed, false);
  }

  @SuppressWarnings("IllegalCatch") // whatever the compiler throws is what is looked for
  private static Result ask(List<String> documents, long seed, boolean everything) {
    try {
      Oracle oracle = new Oracle(documents, seed, everything);
      oracle.connections();
      oracle.requests();
      oracle.services();
      oracle.proxy();
      return new Result(oracle.questions, oracle.outcomes, Optional.empty());
    } catch (Found e) {
      return new Result(0, Map.of(), Optional.of(e.disagreement));
    } catch (RuntimeException | StackOverflowError e) {
      String at = e.getStackTrace().length == 0 ? "" : " at " + e.getStackTrace()[0];
      return new Result(0, Map.of(), Optional.of(new Disagreement("exception", e + at)));
    }
  }

  /** A question about a connection, and what the reference says. */
  record Asked(Side from, Side to, Protocol protocol, int port, Outcome expected) {}

  /** A cluster that compiles, to be asked about elsewhere. */
  static Oracle of(List<String> documents, long seed) {
    return new Oracle(documents, seed, false);
  }

  /** Some questions about connections, each pair with the same chance. */
  List<Asked> connections(int count) {
    List<Side> from = sides.stream().filter(Side::source).toList();
    List<Asked> asked = new ArrayList<>();
    while (asked.size() < count) {
      Side source = one(from);
      Side destination = one(sides);
      if (!source.equals(destination)) {
        Protocol protocol = one(PROTOCOLS);
        int port = one(RandomClusters.PORTS);
        asked.add(
            new Asked(
                source,
                destination,
                protocol,
                port,
                reference.connection(source.party(), destination.party(), protocol, port)));
      }
    }
    return asked;
  }

  /** What the plan says about every pair, protocol and port, in an order that workloads give. */
  static List<Decision> verdicts(List<String> documents) {
    Oracle oracle = new Oracle(documents, 0, true);
    List<Decision> verdicts = new ArrayList<>();
    for (Side from : oracle.sides) {
      for (Side to : oracle.sides) {
        if (!from.source() || !to.destination()) {
          continue; // nothing can be asked of it, so its row says nothing
        }
        for (Protocol protocol : PROTOCOLS) {
          for (int port : RandomClusters.PORTS) {
            verdicts.add(
                oracle.index.lookup(from.identity(), to.identity(), protocol, port).decision());
          }
        }
      }
    }
    return verdicts;
  }

  /** Drops documents as long as there is a disagreement of the same kind. */
  static Shrunk shrink(List<String> documents, long seed, Disagreement found) {
    List<String> rest = new ArrayList<>(documents);
    Disagreement last = found;
    boolean smaller = true;
    while (smaller) {
      smaller = false;
      for (int i = rest.size() - 1; i >= 0; i--) {
        List<String> without = new ArrayList<>(rest);
        without.remove(i);
        Optional<Disagreement> still = ask(without, seed, true).disagreement();
        if (still.isPresent() && still.get().kind().equals(found.kind())) {
          rest = without;
          last = still.get();
          smaller = true;
        }
      }
    }
    return new Shrunk(rest, last);
  }

  /** Its index in the plan. */
  int place(Workload workload) {
    return IntStream.range(0, plan.workloads().size())
        .filter(
            i -> {
              dev.weir.policy.plan.Workload w = plan.workloads().get(i);
              return w.kind().equals(workload.kind())
                  && w.namespace().equals(workload.meta().namespace())
                  && w.name().equals(workload.meta().name());
            })
        .findFirst()
        .orElseThrow();
  }

  int identity(Workload workload) {
    return plan.workloads().get(place(workload)).identity();
  }

  private void sides() {
    for (int w = 0; w < workloads.size(); w++) {
      Workload workload = workloads.get(w);
      sides.add(
          new Side(
              new Party.Declared(workload),
              Optional.of(
                  new dev.weir.policy.answer.Party.Declared(w, workload.meta().qualifiedName())),
              identity(workload)));
    }
    for (Endpoint endpoint : plan.endpoints()) {
      if (endpoint.remote()) {
        Workload workload = workload(endpoint.workload());
        sides.add(
            new Side(
                new Party.TrustedAddress(workload, endpoint.address()),
                Optional.empty(),
                identity(workload),
                false,
                true));
        sides.add(
            new Side(
                new Party.TrustedAddress(workload, endpoint.address()),
                Optional.empty(),
                index.outside(endpoint.address()),
                true,
                false));
      }
    }
    for (String text : RandomClusters.OUTSIDE) {
      Address address = Address.parse(text).orElseThrow();
      sides.add(
          new Side(
              new Party.Outside(address),
              Optional.of(new dev.weir.policy.answer.Party.Outside(address)),
              index.outside(address)));
    }
    sides.add(
        new Side(
            new Party.Unknown(),
            Optional.of(new dev.weir.policy.answer.Party.Unknown()),
            Reserved.UNKNOWN.index()));
    sides.add(
        new Side(
            new Party.Host(),
            Optional.of(new dev.weir.policy.answer.Party.Host()),
            Reserved.HOST.index()));
  }

  /** Every pair: the plan on every port, {@code explain} on some. */
  private void connections() {
    for (Side from : sides) {
      for (Side to : sides) {
        if (from.equals(to) || !from.source() || !to.destination()) {
          continue;
        }
        for (Protocol protocol : PROTOCOLS) {
          for (int port : RandomClusters.PORTS) {
            if (everything || random.nextInt(12) == 0) {
              connection(from, to, protocol, port);
            }
          }
        }
      }
    }
  }

  private void connection(Side from, Side to, Protocol protocol, int port) {
    Outcome expected = reference.connection(from.party(), to.party(), protocol, port);
    questions++;
    outcomes.merge(expected, 1, Integer::sum);
    VerdictIndex.Answer answer = index.lookup(from.identity(), to.identity(), protocol, port);
    if (!answer.decision().name().equals(expected.name())) {
      throw new Found(
          "verdict", question(from, to, protocol, port) + differ(answer.decision(), expected));
    }
    if ((everything || random.nextInt(3) == 0)
        && from.named().isPresent()
        && to.named().isPresent()) {
      Explanation explanation =
          explainer.explain(from.named().get(), to.named().get(), protocol, port);
      questions++;
      if (!explanation.decision().name().equals(expected.name())
          || explanation.why().contains("disagree")) {
        throw new Found(
            "explain",
            question(from, to, protocol, port)
                + differ(explanation.decision(), expected)
                + ", because "
                + explanation.why());
      }
    }
  }

  private static final List<String> PATHS =
      List.of("/", "/admin", "/admin/x", "/index.html", "/a/b/c", "/a/b", "/a", "/a/b/c/d");

  /** Requests to workloads: AuthorizationPolicies whole, beside the reference. */
  private void requests() {
    if (analysis.cluster().all(AuthorizationPolicy.class).isEmpty()) {
      return;
    }
    String root = analysis.cluster().mesh().map(Mesh::rootNamespace).orElse(Mesh.ROOT_NAMESPACE);
    AccessQuestions access = new AccessQuestions(analysis.cluster(), root);
    for (Side from : sides) {
      boolean known =
          from.party() instanceof Party.Declared || from.party() instanceof Party.Outside;
      for (Workload to : workloads) {
        for (int i = 0; known && i < (everything ? 60 : 4); i++) {
          request(access, from, to);
        }
      }
    }
  }

  private void request(AccessQuestions access, Side asking, Workload to) {
    Party from = asking.party();
    int port = one(RandomClusters.PORTS);
    Optional<String> token =
        random.nextBoolean() ? Optional.empty() : Optional.of(one(List.of("iss/sub", "iss/x")));
    Map<String, List<String>> claims =
        token.isPresent() && random.nextBoolean()
            ? Map.of("role", List.of(one(List.of("admin", "user"))))
            : Map.of();
    Map<String, String> headers =
        random.nextBoolean() ? Map.of() : Map.of("x-user", one(List.of("ann", "bob", "eve")));
    Optional<String> serverName =
        random.nextBoolean()
            ? Optional.empty()
            : Optional.of(one(List.of("shop.example", "x.example", "other")));
    String host = one(List.of("shop.example", "Shop.Example", "x.example", "other.test"));
    String method = one(List.of("GET", "POST", "PUT", "DELETE"));
    String path = one(PATHS);
    Attributes.Request request =
        new Attributes.Request(host, method, path, headers, serverName, token, claims);
    Party destination = new Party.Declared(to);
    Outcome expected = reference.authorization(from, destination, port, request);
    Address source =
        ReferenceEvaluator.address(from).orElse(dev.weir.policy.rbac.Attributes.NOWHERE);
    AskedRequest asked =
        new AskedRequest(
            true,
            principal(reference.principal(from)),
            source,
            source,
            ReferenceEvaluator.address(destination).orElse(dev.weir.policy.rbac.Attributes.NOWHERE),
            port,
            serverName.orElse(""),
            host,
            method,
            RequestTarget.parse(path),
            headers,
            token
                .map(t -> Token.of(t, new HashMap<String, Object>(claims), Set.of()))
                .orElse(Token.NONE));
    AccessQuestions.Answer answer =
        access.ask(
            new Destination(
                to.meta().namespace(),
                to.meta().labels(),
                "",
                port,
                Optional.of(new Destination.Listening(Protocol.TCP, to.ports()))),
            asked);
    questions++;
    if (!answer.verdict().name().equals(expected.name())) {
      throw new Found(
          "request",
          from
              + " -> "
              + destination
              + " "
              + port
              + " "
              + request
              + differ(answer.verdict(), expected));
    }
    explain(asking, to, port, host, method, path, headers);
    // The connection's verdict must not open or close what the whole does not.
    Outcome connection = reference.connection(from, destination, Protocol.TCP, port);
    Outcome whole = reference.request(from, destination, port, request);
    if (connection != Outcome.INSPECT
        && (connection == Outcome.REFUSE) != (whole == Outcome.REFUSE)
        && !plan.settings().audit()) {
      throw new Found(
          "split", from + " -> " + destination + " " + port + ": " + connection + ", " + whole);
    }
  }

  /** The same to {@code explain}, which knows no token and no handshake, NetworkPolicies too. */
  private void explain(
      Side from,
      Workload to,
      int port,
      String host,
      String method,
      String path,
      Map<String, String> headers) {
    Party destination = new Party.Declared(to);
    Outcome expected =
        reference.request(from.party(), destination, port, plain(host, method, path, headers));
    dev.weir.policy.answer.Party named =
        new dev.weir.policy.answer.Party.Declared(workloads.indexOf(to), to.meta().qualifiedName());
    Explanation explanation =
        explainer.explain(
            from.named().orElseThrow(),
            named,
            port,
            Request.of(method, host, path, headers).orElseThrow());
    questions++;
    if (!explanation.decision().name().equals(expected.name())) {
      throw new Found(
          "explain request",
          from.party()
              + " -> "
              + destination
              + " "
              + port
              + " "
              + List.of(host, method, path, headers)
              + differ(explanation.decision(), expected));
    }
  }

  private static Attributes.Request plain(
      String host, String method, String path, Map<String, String> headers) {
    return new Attributes.Request(
        host, method, path, headers, Optional.empty(), Optional.empty(), Map.of());
  }

  /** A request to a routed service: what {@code explain} says of each backend. */
  private void routed(Service service, Side from) {
    String host = one(List.of("shop.example", "Shop.Example:80", "x.example"));
    String method = one(List.of("GET", "POST"));
    String path = one(PATHS);
    Map<String, String> headers =
        random.nextBoolean() ? Map.of() : Map.of("x-user", one(List.of("ann", "bob")));
    String name =
        plan.workloads().get(service.workload()).namespace()
            + "/"
            + plan.workloads().get(service.workload()).name();
    List<Explanation> backends;
    try {
      dev.weir.policy.answer.Party to =
          explainer.party("service/" + name, Protocol.TCP, service.port());
      backends =
          explainer
              .explain(
                  from.named().orElseThrow(),
                  to,
                  service.port(),
                  Request.of(method, host, path, headers).orElseThrow())
              .backends();
    } catch (Explainer.UnclearException e) {
      throw new Found("explain service", name + ": " + e.getMessage());
    }
    for (Explanation backend : backends) {
      if (!backend.tier().equals("proxy")) {
        continue; // A connection, which is asked about above.
      }
      Workload to =
          workloads.stream()
              .filter(w -> w.meta().qualifiedName().equals(backend.to()))
              .findFirst()
              .orElseThrow();
      // It was inspected, so that NetworkPolicies let it pass; those in audit do not report it.
      Outcome alone =
          reference.authorization(
              from.party(),
              new Party.Declared(to),
              backend.port(),
              plain(host, method, path, headers));
      Outcome expected = alone == Outcome.REFUSE && plan.settings().audit() ? Outcome.AUDIT : alone;
      questions++;
      boolean connection = backend.decision() == Decision.INSPECT;
      if (!connection && !backend.decision().name().equals(expected.name())) {
        throw new Found(
            "explain routed request",
            from.party()
                + " -> "
                + name
                + " -> "
                + backend.to()
                + " "
                + List.of(host, method, path, headers)
                + differ(backend.decision(), expected));
      }
    }
  }

  private static Principal principal(String name) {
    return name.isEmpty() ? Principal.NONE : Principal.parse(name);
  }

  private <T> T one(List<T> list) {
    return list.get(random.nextInt(list.size()));
  }

  private static String question(Side from, Side to, Protocol protocol, int port) {
    return from.party() + " -> " + to.party() + " " + protocol + " " + port;
  }

  private static String differ(Object weir, Outcome reference) {
    return ": Weir says " + weir + ", the reference " + reference;
  }

  /** Whoever may reach one of a routed service's backends may reach the proxy in its name. */
  private void services() {
    for (Service service : plan.services()) {
      if (service.tier() == Service.Tier.PROXY) {
        Set<Integer> backends = routed(service);
        for (Side from : sides) {
          if (from.source()
              && !(from.party() instanceof Party.Outside)
              && !(from.party() instanceof Party.TrustedAddress)) {
            service(service, backends, from);
            if (from.party() instanceof Party.Declared declared
                && declared.workload().onThisNode()) {
              routed(service, from);
            }
          }
        }
      } else if (service.protocol() == Protocol.TCP) {
        service.slots().stream().distinct().forEach(this::kernel);
      }
    }
  }

  private void service(Service service, Set<Integer> backends, Side from) {
    boolean may = backends.isEmpty() && free(from) || plan.settings().audit();
    for (int backend : backends) {
      Backend to = plan.backends().get(backend);
      Party.Declared party = new Party.Declared(workload(to.workload()));
      if (party.equals(from.party())) {
        // Itself it reaches directly; through the proxy it is one of its identity, which no policy
        // tells apart. Refusing is the safe side.
        return;
      }
      may |= reference.connection(from.party(), party, Protocol.TCP, to.port()) != Outcome.REFUSE;
    }
    questions++;
    VerdictIndex.Answer answer =
        index.lookup(from.identity(), service.identity(), Protocol.TCP, service.port());
    // With Mesh.audit everybody may, and it is reported who would not.
    boolean made = plan.settings().audit() ? answer.made() : answer.decision() == Decision.INSPECT;
    if (made != may) {
      throw new Found(
          "service",
          from.party()
              + " -> "
              + plan.workloads().get(service.workload()).name()
              + ": "
              + answer
              + ", though it may "
              + (may ? "" : "not ")
              + "reach a backend");
    }
  }

  /** What the kernel leads to without the proxy must not need one. */
  private void kernel(int slot) {
    Backend backend = plan.backends().get(slot);
    Party.Declared to = new Party.Declared(workload(backend.workload()));
    for (Side from : sides) {
      questions++;
      if (reference.connection(from.party(), to, Protocol.TCP, backend.port()) == Outcome.INSPECT) {
        throw new Found(
            "tier", from.party() + " -> " + to + " " + backend.port() + " needs the proxy");
      }
    }
  }

  private boolean free(Side from) {
    Identity source = plan.identities().get(from.identity());
    return !source.egressIsolated() || source.egressAudit();
  }

  private Set<Integer> routed(Service service) {
    Set<Integer> backends = new TreeSet<>();
    for (ProxyPlan.VirtualService virtual : plan.proxy().virtualServices()) {
      if (virtual.workload() != service.workload() || virtual.port() != service.port()) {
        continue;
      }
      for (ProxyPlan.Route route : virtual.routes()) {
        for (ProxyPlan.RouteRule rule : route.rules()) {
          for (ProxyPlan.WeightedBackend backend : rule.backends()) {
            if (backend.cluster() >= 0) {
              backends.addAll(plan.proxy().clusters().get(backend.cluster()).endpoints());
            }
          }
        }
      }
    }
    return backends;
  }

  private Workload workload(int place) {
    return workloads.get(place - (plan.workloads().size() - workloads.size()));
  }

  /** The proxy may dial the backends of routes, and nothing else. */
  private void proxy() {
    Set<String> backends = new TreeSet<>();
    for (ProxyPlan.Cluster cluster : plan.proxy().clusters()) {
      for (int endpoint : cluster.endpoints()) {
        Backend backend = plan.backends().get(endpoint);
        backends.add(plan.workloads().get(backend.workload()).identity() + " " + backend.port());
      }
    }
    for (Workload workload : workloads) {
      for (int port : RandomClusters.PORTS) {
        questions++;
        int identity = identity(workload);
        boolean made = index.lookup(Reserved.PROXY.index(), identity, Protocol.TCP, port).made();
        if (made != (backends.contains(identity + " " + port) || plan.settings().audit())) {
          throw new Found(
              "proxy",
              "the proxy -> " + workload.meta().qualifiedName() + " " + port + ": " + made);
        }
      }
    }
  }
}
