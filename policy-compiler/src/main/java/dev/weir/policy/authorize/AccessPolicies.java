// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.authorize;

import dev.weir.policy.authorize.SourceSets.Attribute;
import dev.weir.policy.cluster.Cluster;
import dev.weir.policy.model.AuthorizationPolicy;
import dev.weir.policy.model.AuthorizationPolicy.Action;
import dev.weir.policy.model.AuthorizationPolicy.Condition;
import dev.weir.policy.model.AuthorizationPolicy.Operation;
import dev.weir.policy.model.AuthorizationPolicy.Patterns;
import dev.weir.policy.model.AuthorizationPolicy.Rule;
import dev.weir.policy.model.AuthorizationPolicy.Source;
import dev.weir.policy.model.LabelSelector;
import dev.weir.policy.model.Mesh;
import dev.weir.policy.model.NetworkPolicy.Peer;
import dev.weir.policy.model.PortReference;
import dev.weir.policy.model.Reference;
import dev.weir.policy.model.Service;
import dev.weir.policy.model.Workload;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.source.Position;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/**
 * AuthorizationPolicies that decide something: about whom they are, and what their rules answer
 * about a connection before anything is sent.
 */
public final class AccessPolicies {

  /**
   * A policy about a destination.
   *
   * @param ports on these codes only, ascending; absent: on all
   */
  record Applied(AccessPolicy policy, Optional<int[]> ports) {
    boolean on(int code) {
      return ports.isEmpty() || Arrays.binarySearch(ports.get(), code) >= 0;
    }
  }

  /** One policy. */
  record AccessPolicy(int rule, boolean deny, boolean audit, List<AccessRule> rules) {}

  private final Cluster cluster;
  private final String rootNamespace;
  private final SourceSets sets;
  private final Map<SourcePart.Key, SourcePart> sources = new HashMap<>();

  /** About whom each policy is: workloads, by the ports on which it is about them. */
  private final List<Scoped> scopes = new ArrayList<>();

  private Map<Integer, List<Applied>> applied = new HashMap<>();

  /** By workload. */
  private final Map<Integer, List<Applied>> asking = new HashMap<>();

  /** Of which identities it is known what they answer. */
  private Optional<Resolved> resolved = Optional.empty();

  /** Both are equal to nothing but themselves. */
  private record Resolved(IdentityPartition partition, OutsideBlocks outside, int count) {}

  private record Scope(Optional<int[]> ports, IntList workloads) {}

  private record Scoped(AccessPolicy policy, Collection<Scope> parts) {}

  /** Those of a cluster. */
  public AccessPolicies(Cluster cluster, RuleTable rules) {
    this.cluster = cluster;
    this.rootNamespace = cluster.mesh().map(Mesh::rootNamespace).orElse(Mesh.ROOT_NAMESPACE);
    this.sets = new SourceSets(cluster);
    Map<String, Service> services = new HashMap<>();
    if (!cluster.all(AuthorizationPolicy.class).isEmpty()) {
      cluster.all(Service.class).forEach(s -> services.put(s.meta().qualifiedName(), s));
    }
    for (AuthorizationPolicy policy : cluster.all(AuthorizationPolicy.class)) {
      if (policy.action() == Action.AUDIT) {
        continue;
      }
      Map<Members, Scope> scope = scope(policy, services);
      if (!scope.isEmpty()) {
        List<AccessRule> compiled = new ArrayList<>();
        for (int i = 0; i < policy.rules().size(); i++) {
          compiled.add(compile(policy, policy.rules().get(i), rules.of(policy, i)));
        }
        scopes.add(
            new Scoped(
                new AccessPolicy(
                    rules.of(policy), policy.action() == Action.DENY, policy.audit(), compiled),
                scope.values()));
      }
    }
    asking();
  }

  /** Whether any of them asks for more than is known before a request. */
  public boolean asksOfRequests() {
    return !asking.isEmpty();
  }

  /**
   * The rule for which requests to a workload's TCP port have to be looked at: the first of an
   * enforced policy that asks for more than is known before a request.
   */
  public OptionalInt asksOfRequests(int workload, int port) {
    int code = PortCodes.code(Protocol.TCP, port);
    for (Applied applied : asking.getOrDefault(workload, List.of())) {
      if (applied.on(code)) {
        for (AccessRule rule : applied.policy().rules()) {
          if (rule.asksOfRequests(port)) {
            return OptionalInt.of(rule.rule());
          }
        }
      }
    }
    return OptionalInt.empty();
  }

  /** Finds the workloads about which there are policies that may ask something of requests. */
  private void asking() {
    for (Scoped scoped : scopes) {
      boolean asks =
          !scoped.policy().audit()
              && scoped.policy().rules().stream().anyMatch(AccessRule::mayAskOfRequests);
      for (Scope part : asks ? scoped.parts() : List.<Scope>of()) {
        for (int i = 0; i < part.workloads().size(); i++) {
          asking
              .computeIfAbsent(part.workloads().get(i), k -> new ArrayList<>())
              .add(new Applied(scoped.policy(), part.ports()));
        }
      }
    }
  }

  boolean isEmpty() {
    return scopes.isEmpty();
  }

  SourceSets sets() {
    return sets;
  }

  // About whom.

  private Map<Members, Scope> scope(AuthorizationPolicy policy, Map<String, Service> services) {
    Map<Members, Scope> scope = new HashMap<>();
    String namespace = policy.meta().namespace();
    if (policy.targets().isEmpty()) {
      IntList workloads = new IntList();
      for (int workload : selected(cluster, namespace, rootNamespace, policy.selector())) {
        workloads.add(workload);
      }
      if (workloads.size() > 0) {
        scope.put(new Members(new int[0]), new Scope(Optional.empty(), workloads));
      }
      return scope;
    }
    TreeMap<Integer, IntList> ports = new TreeMap<>();
    for (Reference target : policy.targets()) {
      Service service = services.get(target.namespace().orElse(namespace) + "/" + target.name());
      if (target.kind().equals("Service") && service != null && !service.selector().isEmpty()) {
        for (int w : cluster.select(service.meta().namespace(), service.selector())) {
          codes(service, cluster.workloads().get(w), ports.computeIfAbsent(w, k -> new IntList()));
        }
      }
    }
    ports.forEach(
        (workload, list) -> {
          int[] codes = list.toSet();
          scope
              .computeIfAbsent(
                  new Members(codes), k -> new Scope(Optional.of(codes), new IntList()))
              .workloads()
              .add(workload);
        });
    return scope;
  }

  /** What a service leads to on a workload. */
  private static void codes(Service service, Workload workload, IntList codes) {
    for (Service.Port port : service.ports()) {
      switch (port.target()) {
        case PortReference.Numbers numbers ->
            codes.add(PortCodes.code(port.protocol(), numbers.first()));
        case PortReference.Named named -> {
          for (Workload.Port own : workload.ports()) {
            if (own.name().equals(named.name()) && own.protocol() == port.protocol()) {
              codes.add(PortCodes.code(own.protocol(), own.port()));
            }
          }
        }
      }
    }
  }

  /** Workloads that a selector of a namespace selects; in the root namespace, of every one. */
  static int[] selected(
      Cluster cluster, String namespace, String rootNamespace, Optional<LabelSelector> selector) {
    LabelSelector labels =
        selector.orElseGet(() -> new LabelSelector(Map.of(), List.of(), new Position("", 0, 0)));
    return namespace.equals(rootNamespace)
        ? cluster.select(
            namespace,
            new Peer.Pods(
                Optional.of(new LabelSelector(Map.of(), List.of(), new Position("", 0, 0))),
                Optional.of(labels),
                new Position("", 0, 0)))
        : cluster.select(namespace, labels);
  }

  // What rules ask.

  private AccessRule compile(AuthorizationPolicy policy, Rule rule, int number) {
    List<SourcePart.Clause> clauses = new ArrayList<>();
    for (Source source : rule.from()) {
      List<SourcePart.Field> fields = new ArrayList<>();
      field(Attribute.PRINCIPAL, source.principals(), fields);
      field(Attribute.NAMESPACE, source.namespaces(), fields);
      field(
          Attribute.SERVICE_ACCOUNT,
          accounts(source.serviceAccounts(), policy.meta().namespace()),
          fields);
      field(Attribute.TRUST_DOMAIN, source.trustDomains(), fields);
      field(Attribute.ADDRESS, source.ipBlocks(), fields);
      clauses.add(
          new SourcePart.Clause(
              fields, !source.requestPrincipals().isEmpty() || !source.remoteIpBlocks().isEmpty()));
    }
    List<SourcePart.Field> conditions = new ArrayList<>();
    List<AccessRule.Ports> ports = new ArrayList<>();
    List<AccessRule.Where> destinations = new ArrayList<>();
    boolean depends = false;
    for (Condition condition : rule.when()) {
      Patterns values = condition.values();
      switch (condition.key()) {
        case "source.ip" -> field(Attribute.ADDRESS, values, conditions);
        case "source.namespace" -> field(Attribute.NAMESPACE, values, conditions);
        case "source.principal" -> field(Attribute.PRINCIPAL, values, conditions);
        case "source.serviceAccount" ->
            field(
                Attribute.SERVICE_ACCOUNT, accounts(values, policy.meta().namespace()), conditions);
        case "source.trustDomain" -> field(Attribute.TRUST_DOMAIN, values, conditions);
        case "destination.ip" ->
            destinations.add(
                new AccessRule.Where(
                    number(Attribute.ADDRESS, values.values()),
                    number(Attribute.ADDRESS, values.notValues())));
        case "destination.port" -> ports.add(ports(values));
        default -> depends = true;
      }
    }
    List<AccessRule.Operation> to = new ArrayList<>();
    for (Operation operation : rule.to()) {
      to.add(
          new AccessRule.Operation(
              ports(operation.ports()),
              !operation.hosts().isEmpty()
                  || !operation.methods().isEmpty()
                  || !operation.paths().isEmpty()));
    }
    return new AccessRule(
        number,
        policy.action() == Action.DENY,
        sources.computeIfAbsent(new SourcePart.Key(clauses, conditions), SourcePart::new),
        to,
        ports,
        destinations,
        depends);
  }

  /** A bare account is one of the policy's namespace. */
  private static Patterns accounts(Patterns written, String namespace) {
    return new Patterns(
        written.values().stream().map(v -> qualified(v, namespace)).toList(),
        written.notValues().stream().map(v -> qualified(v, namespace)).toList());
  }

  private static String qualified(String account, String namespace) {
    return account.contains("/") ? account : namespace + "/" + account;
  }

  private void field(Attribute attribute, Patterns patterns, List<SourcePart.Field> fields) {
    if (!patterns.isEmpty()) {
      fields.add(
          new SourcePart.Field(
              number(attribute, patterns.values()), number(attribute, patterns.notValues())));
    }
  }

  private int number(Attribute attribute, List<String> values) {
    return values.isEmpty() ? -1 : sets.of(attribute, values);
  }

  private static AccessRule.Ports ports(Patterns patterns) {
    return new AccessRule.Ports(numbers(patterns.values()), numbers(patterns.notValues()));
  }

  private static int[] numbers(List<String> ports) {
    // What is no port can be nobody's, and must still not look as if nothing were asked for.
    return ports.stream()
        .mapToInt(p -> p.matches("[0-9]{1,5}") ? Integer.parseInt(p) : -1)
        .sorted()
        .distinct()
        .toArray();
  }

  // What they tell apart.

  /** Tells apart whom policies select and whom their rules match. */
  void tellApart(IdentityPartition partition) {
    sets.tellApart(partition);
    for (Scoped scoped : scopes) {
      scoped.parts().forEach(s -> partition.tellApart(s.workloads().toArray()));
    }
  }

  /** Names the ports that rules and targets name. */
  void name(PortSpace space) {
    for (Scoped scoped : scopes) {
      for (Scope part : scoped.parts()) {
        part.ports().ifPresent(p -> Arrays.stream(p).forEach(c -> single(space, c)));
      }
      for (AccessRule rule : scoped.policy().rules()) {
        rulePorts(rule).forEach(space::single);
      }
    }
  }

  private static void single(PortSpace space, int code) {
    int port = PortCodes.port(code);
    if (port > 0) {
      space.single(port);
    }
  }

  /** Every port that a rule treats unlike those it does not name. */
  static IntStream rulePorts(AccessRule rule) {
    return Stream.concat(rule.ports().stream(), rule.to().stream().map(AccessRule.Operation::ports))
        .flatMapToInt(
            p -> IntStream.concat(Arrays.stream(p.values()), Arrays.stream(p.notValues())))
        .filter(p -> p > 0 && p < 65536);
  }

  /** Finds what identities answer, and which policies are about each. */
  void resolve(
      IdentityPartition partition,
      OutsideBlocks outside,
      Map<Integer, Integer> addressOnly,
      int count) {
    if (resolved.equals(Optional.of(new Resolved(partition, outside, count)))) {
      return;
    }
    applied = new HashMap<>();
    resolved = Optional.of(new Resolved(partition, outside, count));
    sets.resolve(partition, outside, addressOnly);
    sources.values().forEach(s -> s.resolve(sets, count));
    for (Scoped scoped : scopes) {
      for (Scope part : scoped.parts()) {
        for (int identity : partition.identitiesOf(part.workloads().toArray())) {
          applied
              .computeIfAbsent(identity, k -> new ArrayList<>())
              .add(new Applied(scoped.policy(), part.ports()));
        }
      }
    }
  }

  /** About which destinations there are policies; stays what it is when they are cut anew. */
  Set<Integer> about() {
    return applied.keySet();
  }

  /** The policies about a destination, in the order of their rules. */
  List<Applied> of(int destination) {
    return applied.getOrDefault(destination, List.of());
  }
}
