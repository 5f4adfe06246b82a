// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.answer;

import dev.weir.policy.Analysis;
import dev.weir.policy.access.AccessQuestions;
import dev.weir.policy.access.AccessQuestions.Decisive;
import dev.weir.policy.access.AskedRequest;
import dev.weir.policy.answer.Authorizations.Asked;
import dev.weir.policy.answer.Explanation.Side;
import dev.weir.policy.model.AuthorizationPolicy;
import dev.weir.policy.model.AuthorizationPolicy.Action;
import dev.weir.policy.model.AuthorizationPolicy.Patterns;
import dev.weir.policy.model.Mesh;
import dev.weir.policy.model.NetworkPolicy;
import dev.weir.policy.model.NetworkPolicy.Clause;
import dev.weir.policy.model.NetworkPolicy.Peer;
import dev.weir.policy.model.PeerAuthentication;
import dev.weir.policy.model.PortReference;
import dev.weir.policy.model.Workload;
import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.rbac.Attributes;
import dev.weir.policy.rbac.Principal;
import dev.weir.policy.source.Position;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;

/**
 * Finds the smallest change of policy that allows a refused connection: the one that opens least
 * besides, and of those the one that writes least. A clause that is there is extended only where
 * that opens nothing else; otherwise its policy gets a clause of its own for this connection.
 */
final class Remedies {

  private final Analysis analysis;
  private final NetworkPolicies policies;
  private final Authorizations authorizations;
  private final List<Workload> workloads;

  /** A change that would do, with how many workloads it is about. */
  private record Candidate(Change change, int subjects, boolean extendsClause) {}

  Remedies(Analysis analysis, NetworkPolicies policies, Authorizations authorizations) {
    this.analysis = analysis;
    this.authorizations = authorizations;
    this.policies = policies;
    this.workloads = analysis.cluster().workloads();
  }

  /**
   * What would have both sides allow a connection.
   *
   * @param sides those whose NetworkPolicies do not allow it
   * @param refusing what AuthorizationPolicies and PeerAuthentications refuse it; none when they
   *     allow it
   * @param enforced whether it is refused, and not only reported
   */
  Remedy of(
      List<Side> sides,
      Party from,
      Party to,
      Protocol protocol,
      int port,
      List<Decisive> refusing,
      Asked asked,
      boolean enforced) {
    if (from instanceof Party.Unknown || to instanceof Party.Unknown) {
      return new Remedy(
          "nobody can be named who is not declared: declare a Workload with the cgroup that the"
              + " process lives in",
          List.of());
    }
    if (from instanceof Party.Host) {
      return management("Egress", protocol, port);
    }
    List<Change> changes = new ArrayList<>();
    for (Side side : sides) {
      Party subject = side == Side.INGRESS ? to : from;
      Party other = side == Side.INGRESS ? from : to;
      if (subject instanceof Party.Declared declared) {
        changes.add(open(side, declared, other, to, protocol, port, enforced));
      } else if (subject instanceof Party.Host) {
        changes.addAll(management("Ingress", protocol, port).changes());
      } else {
        return new Remedy(
            subject.name() + " is reached there by a listener of a Gateway only: declare one",
            List.of());
      }
    }
    String note = "";
    if (!refusing.isEmpty()) {
      if (refusing.stream().anyMatch(d -> d.action().equals("MTLS"))
          && to instanceof Party.Declared declared) {
        Optional<Change> plaintext = plaintext(declared, port);
        if (plaintext.isEmpty()) {
          return new Remedy(
              "mutual TLS is demanded of peers from elsewhere: have it come by mutual TLS. "
                  + to.name()
                  + " has no labels by which a PeerAuthentication could except its port",
              List.of());
        }
        changes.add(plaintext.get());
        note = "; better, have it come by mutual TLS";
      }
      Optional<Who> who = who(from, asked);
      List<AuthorizationPolicy> about = authorizations.about(to, protocol, port);
      List<AccessQuestions.Match> matching =
          authorizations.matching(from, to, protocol, port, asked);
      if (who.isEmpty() && !admit(NOBODY, about, matching, port, asked, enforced).isEmpty()) {
        return new Remedy(NO_NAME, List.of());
      }
      who.ifPresent(w -> changes.addAll(admit(w, about, matching, port, asked, enforced)));
    }
    return remedy(changes, note);
  }

  /** Changes that are all needed. */
  static Remedy remedy(List<Change> changes, String note) {
    return new Remedy(
        (changes.size() == 1
                ? "one change allows it"
                : changes.size() + " changes allow it together; each is needed")
            + note,
        changes);
  }

  // PeerAuthentications.

  /**
   * Excepts one port of a workload: in the PeerAuthentication that already selects it, since of
   * several only one counts, else in a new one for it.
   */
  private Optional<Change> plaintext(Party.Declared to, int port) {
    Map<String, Object> mode = Map.of("mode", "PERMISSIVE");
    for (PeerAuthentication policy : authorizations.peers(to, port)) {
      if (policy.selector().filter(s -> !s.isEmpty()).isPresent()) {
        boolean first = policy.ports().isEmpty();
        return Optional.of(
            new Change(
                policy.kind(),
                policy.meta().namespace(),
                policy.meta().name(),
                policy.meta().at().file(),
                policy.meta().at().line(),
                "/spec/portLevelMtls" + (first ? "" : "/" + port),
                first ? Map.of(String.valueOf(port), mode) : mode));
      }
    }
    Map<String, String> labels = labels(to);
    if (labels.isEmpty()) {
      return Optional.empty();
    }
    Workload workload = workloads.get(to.index());
    String namespace = workload.meta().namespace();
    List<String> taken =
        analysis.cluster().all(PeerAuthentication.class).stream()
            .map(p -> p.meta().qualifiedName())
            .toList();
    String name = workload.meta().name() + "-" + port + "-plaintext";
    while (taken.contains(namespace + "/" + name)) {
      name += "-2";
    }
    Map<String, Object> metadata = new LinkedHashMap<>();
    metadata.put("name", name);
    metadata.put("namespace", namespace);
    Map<String, Object> spec = new LinkedHashMap<>();
    spec.put("selector", Map.of("matchLabels", labels));
    spec.put("portLevelMtls", Map.of(String.valueOf(port), mode));
    Map<String, Object> object = new LinkedHashMap<>();
    object.put("apiVersion", "security.istio.io/v1");
    object.put("kind", "PeerAuthentication");
    object.put("metadata", metadata);
    object.put("spec", spec);
    return Optional.of(new Change("PeerAuthentication", namespace, name, "", 0, "", object));
  }

  // AuthorizationPolicies.

  private static final String NO_NAME =
      "nobody can tell who it is, so that no rule can name it: have it come by mutual TLS, or give"
          + " its Workload an address";

  /**
   * How a rule names somebody.
   *
   * @param principal of whoever is authenticated
   * @param cidr of whoever is not
   */
  private record Who(Principal principal, String cidr) {
    boolean named() {
      return !principal.text().isEmpty();
    }
  }

  private static final Who NOBODY = new Who(Principal.NONE, "");

  private Optional<Who> who(Party from, Asked asked) {
    Principal principal = authorizations.principal(from, asked.plaintext());
    Address address = authorizations.address(from);
    return principal.text().isEmpty() && address.equals(Attributes.NOWHERE)
        ? Optional.empty()
        : Optional.of(new Who(principal, cidr(address)));
  }

  /**
   * What would have policies let a request pass.
   *
   * @param about the policies that are asked
   * @param matching their rules that match it
   * @param request as they see it
   * @param enforced whether it is refused, and not only reported
   */
  Remedy admitting(
      List<AuthorizationPolicy> about,
      List<AccessQuestions.Match> matching,
      Party from,
      AskedRequest request,
      boolean enforced) {
    Asked asked =
        Asked.of(
            new Request(request.method(), request.host(), request.path(), "", request.headers()));
    return who(from, asked)
        .map(
            who ->
                remedy(admit(who, about, matching, request.destinationPort(), asked, enforced), ""))
        .orElseGet(() -> new Remedy(NO_NAME, List.of()));
  }

  /** Takes the source out of rules that deny it, and has a rule allow it where one must. */
  private static List<Change> admit(
      Who who,
      List<AuthorizationPolicy> about,
      List<AccessQuestions.Match> matching,
      int port,
      Asked asked,
      boolean enforced) {
    List<Change> changes = new ArrayList<>();
    boolean allowed = false;
    for (AccessQuestions.Match match : matching) {
      AuthorizationPolicy policy = match.policy();
      if (enforced && policy.audit()) {
        continue; // It refuses nothing, and what it allows opens nothing that others refuse.
      }
      if (policy.action() == Action.DENY) {
        changes.addAll(exempt(policy, match.index(), who));
      }
      allowed |= policy.action() == Action.ALLOW;
    }
    List<AuthorizationPolicy> allowing =
        about.stream().filter(p -> p.action() == Action.ALLOW && !(enforced && p.audit())).toList();
    if (!allowing.isEmpty() && !allowed) {
      AuthorizationPolicy policy = allowing.getFirst();
      Map<String, Object> operation = new LinkedHashMap<>();
      operation.put("ports", List.of(String.valueOf(port)));
      asked
          .request()
          .ifPresent(
              request -> {
                operation.put("methods", List.of(request.method()));
                operation.put("paths", List.of(request.path()));
              });
      Map<String, Object> rule = new LinkedHashMap<>();
      rule.put(
          "from",
          List.of(
              Map.of(
                  "source",
                  who.named()
                      ? Map.of("principals", List.of(who.principal().text()))
                      : Map.of("ipBlocks", List.of(who.cidr())))));
      rule.put("to", List.of(Map.of("operation", operation)));
      changes.add(
          change(
              policy,
              policy.meta().at(),
              "/spec/rules" + (policy.rules().isEmpty() ? "" : "/-"),
              policy.rules().isEmpty() ? List.of(rule) : rule));
    }
    return changes;
  }

  /** Takes the source out of every source of a rule. */
  private static List<Change> exempt(AuthorizationPolicy policy, int index, Who who) {
    AuthorizationPolicy.Rule rule = policy.rules().get(index);
    String path = "/spec/rules/" + index + "/from";
    boolean named = who.named();
    if (rule.from().isEmpty()) {
      Map<String, Object> source =
          named
              ? Map.of("notPrincipals", List.of(who.principal().text()))
              : Map.of("notIpBlocks", List.of(who.cidr()));
      return List.of(change(policy, rule.at(), path, List.of(Map.of("source", source))));
    }
    List<Change> changes = new ArrayList<>();
    for (int i = 0; i < rule.from().size(); i++) {
      AuthorizationPolicy.Source source = rule.from().get(i);
      // Istio has accounts stand without principals in one source.
      boolean byAccount = named && !source.serviceAccounts().isEmpty();
      String field = byAccount ? "notServiceAccounts" : named ? "notPrincipals" : "notIpBlocks";
      String name =
          byAccount ? who.principal().account() : named ? who.principal().text() : who.cidr();
      Patterns there =
          byAccount ? source.serviceAccounts() : named ? source.principals() : source.ipBlocks();
      String at = path + "/" + i + "/source/" + field;
      changes.add(
          there.notValues().isEmpty()
              ? change(policy, rule.at(), at, List.of(name))
              : change(policy, rule.at(), at + "/-", name));
    }
    return changes;
  }

  private static Change change(AuthorizationPolicy policy, Position at, String path, Object value) {
    return new Change(
        policy.kind(),
        policy.meta().namespace(),
        policy.meta().name(),
        at.file(),
        at.line(),
        path,
        value);
  }

  private static String cidr(Address address) {
    return address + (address.isV4() ? "/32" : "/128");
  }

  // NetworkPolicies.

  private Remedy management(String direction, Protocol protocol, int port) {
    Optional<Mesh> mesh = analysis.cluster().mesh();
    Map<String, Object> value = new LinkedHashMap<>();
    value.put("direction", direction);
    value.put("protocol", protocol.name());
    value.put("port", port);
    return mesh.map(
            m ->
                new Remedy(
                    "Mesh governs the node's own processes and must say that they may",
                    List.of(
                        new Change(
                            m.kind(),
                            m.meta().namespace(),
                            m.meta().name(),
                            m.meta().at().file(),
                            m.meta().at().line(),
                            "/spec/host/management/-",
                            value))))
        .orElseGet(() -> new Remedy("no policy governs the node's own processes", List.of()));
  }

  private Change open(
      Side side,
      Party.Declared subject,
      Party other,
      Party destination,
      Protocol protocol,
      int port,
      boolean enforced) {
    String direction = side == Side.INGRESS ? "ingress" : "egress";
    String peers = side == Side.INGRESS ? "from" : "to";
    List<Candidate> candidates = new ArrayList<>();
    for (NetworkPolicy policy : policies.isolating(side, subject)) {
      if (enforced && policy.audit()) {
        continue; // What it allows opens nothing that others refuse.
      }
      int subjects =
          analysis.cluster().select(policy.meta().namespace(), policy.podSelector()).length;
      List<Clause> clauses = NetworkPolicies.clauses(side, policy);
      Map<String, Object> peer = peer(policy.meta().namespace(), other);
      for (int i = 0; i < clauses.size(); i++) {
        Clause clause = clauses.get(i);
        String path = "/spec/" + direction + "/" + i;
        boolean onPort = policies.names(clause, destination, protocol, port);
        if (onPort && onlyThis(clause, protocol, port)) {
          candidates.add(
              new Candidate(
                  change(policy, clause, path + "/" + peers + "/-", peer), subjects, true));
        } else if (!onPort
            && clause.peers().size() == 1
            && sameAs(policy, clause.peers().getFirst(), other)) {
          candidates.add(
              new Candidate(
                  change(policy, clause, path + "/ports/-", portOf(protocol, port)),
                  subjects,
                  true));
        }
      }
      Map<String, Object> clause = clause(peers, peer, protocol, port);
      candidates.add(
          new Candidate(
              new Change(
                  policy.kind(),
                  policy.meta().namespace(),
                  policy.meta().name(),
                  policy.meta().at().file(),
                  policy.meta().at().line(),
                  "/spec/" + direction + (clauses.isEmpty() ? "" : "/-"),
                  clauses.isEmpty() ? List.of(clause) : clause),
              subjects,
              false));
    }
    return candidates.stream()
        .min(
            Comparator.comparingInt(Candidate::subjects)
                .thenComparing(c -> !c.extendsClause())
                .thenComparing(c -> c.change().namespace() + "/" + c.change().name()))
        .map(Candidate::change)
        .orElseGet(() -> create(side, subject, other, protocol, port));
  }

  private static Change change(NetworkPolicy policy, Clause clause, String path, Object value) {
    return new Change(
        policy.kind(),
        policy.meta().namespace(),
        policy.meta().name(),
        clause.at().file(),
        clause.at().line(),
        path,
        value);
  }

  /** What {@code defaultDeny} isolates and no policy selects needs a policy. */
  private Change create(
      Side side, Party.Declared subject, Party other, Protocol protocol, int port) {
    Workload workload = workloads.get(subject.index());
    String namespace = workload.meta().namespace();
    Map<String, Object> metadata = new LinkedHashMap<>();
    String name =
        (workload.meta().name() + (side == Side.INGRESS ? "-from-" : "-to-") + other.name())
            .toLowerCase(Locale.ROOT)
            .replaceAll("[^a-z0-9.-]+", "-");
    metadata.put("name", name);
    metadata.put("namespace", namespace);
    Map<String, Object> spec = new LinkedHashMap<>();
    spec.put("podSelector", selector(subject));
    spec.put("policyTypes", List.of(side == Side.INGRESS ? "Ingress" : "Egress"));
    spec.put(
        side == Side.INGRESS ? "ingress" : "egress",
        List.of(
            clause(side == Side.INGRESS ? "from" : "to", peer(namespace, other), protocol, port)));
    Map<String, Object> object = new LinkedHashMap<>();
    object.put("apiVersion", "networking.k8s.io/v1");
    object.put("kind", "NetworkPolicy");
    object.put("metadata", metadata);
    object.put("spec", spec);
    return new Change("NetworkPolicy", namespace, name, "", 0, "", object);
  }

  private static Map<String, Object> clause(
      String peers, Map<String, Object> peer, Protocol protocol, int port) {
    Map<String, Object> clause = new LinkedHashMap<>();
    clause.put(peers, List.of(peer));
    clause.put("ports", List.of(portOf(protocol, port)));
    return clause;
  }

  private static Map<String, Object> portOf(Protocol protocol, int port) {
    Map<String, Object> value = new LinkedHashMap<>();
    value.put("port", port);
    value.put("protocol", protocol.name());
    return value;
  }

  /** Whether a clause is about this port alone, so that a further peer gets nothing else. */
  private static boolean onlyThis(Clause clause, Protocol protocol, int port) {
    return clause.ports().size() == 1
        && clause.ports().getFirst().protocol() == protocol
        && clause
            .ports()
            .getFirst()
            .port()
            .map(
                reference ->
                    reference instanceof PortReference.Numbers numbers
                        && numbers.first() == port
                        && numbers.last() == port)
            .orElse(false);
  }

  /** Whether a clause's peer is what we would write for this party, and nobody else. */
  private boolean sameAs(NetworkPolicy policy, Peer peer, Party other) {
    return switch (peer) {
      case Peer.Pods pods ->
          other instanceof Party.Declared declared
              && Arrays.equals(
                  analysis.cluster().select(policy.meta().namespace(), pods), meant(declared));
      case Peer.Addresses block ->
          other instanceof Party.Outside outside
              && block.except().isEmpty()
              && block.block().length() == 128
              && block.block().contains(outside.address());
    };
  }

  private Map<String, Object> peer(String namespace, Party other) {
    return switch (other) {
      case Party.Declared declared -> {
        Map<String, Object> peer = new LinkedHashMap<>();
        String home = workloads.get(declared.index()).meta().namespace();
        if (!home.equals(namespace)) {
          peer.put(
              "namespaceSelector",
              Map.of("matchLabels", Map.of("kubernetes.io/metadata.name", home)));
        }
        peer.put("podSelector", selector(declared));
        yield peer;
      }
      case Party.Outside outside -> block(outside.address());
      default -> block(Address.LOOPBACK4);
    };
  }

  private static Map<String, Object> block(Address address) {
    return Map.of("ipBlock", Map.of("cidr", cidr(address)));
  }

  private int[] meant(Party.Declared declared) {
    return analysis
        .cluster()
        .select(workloads.get(declared.index()).meta().namespace(), labels(declared));
  }

  private Map<String, Object> selector(Party.Declared declared) {
    Map<String, String> labels = labels(declared);
    return labels.isEmpty() ? Map.of() : Map.of("matchLabels", labels);
  }

  /** The fewest labels that select no more workloads than all of its labels do. */
  private Map<String, String> labels(Party.Declared declared) {
    Workload workload = workloads.get(declared.index());
    String namespace = workload.meta().namespace();
    Map<String, String> all = new TreeMap<>(workload.meta().labels());
    int least = analysis.cluster().select(namespace, all).length;
    return all.entrySet().stream()
        .map(label -> Map.of(label.getKey(), label.getValue()))
        .filter(one -> analysis.cluster().select(namespace, one).length == least)
        .findFirst()
        .orElse(all);
  }
}
