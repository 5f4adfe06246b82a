// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.lint;

import dev.weir.policy.access.AccessPlanner;
import dev.weir.policy.cluster.Cluster;
import dev.weir.policy.model.AuthorizationPolicy;
import dev.weir.policy.model.AuthorizationPolicy.Action;
import dev.weir.policy.model.AuthorizationPolicy.Condition;
import dev.weir.policy.model.AuthorizationPolicy.Operation;
import dev.weir.policy.model.AuthorizationPolicy.Patterns;
import dev.weir.policy.model.AuthorizationPolicy.Rule;
import dev.weir.policy.model.AuthorizationPolicy.Source;
import dev.weir.policy.model.Gateway;
import dev.weir.policy.model.LabelSelector;
import dev.weir.policy.model.Mesh;
import dev.weir.policy.model.Namespace;
import dev.weir.policy.model.PeerAuthentication;
import dev.weir.policy.model.PortReference;
import dev.weir.policy.model.Resource;
import dev.weir.policy.model.Service;
import dev.weir.policy.model.Workload;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.source.Lint;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;

/** About AuthorizationPolicies and PeerAuthentications. */
final class AccessLints {

  /** Istio, Protocol Selection: protocols a port can be said to have that are not HTTP. */
  private static final Set<String> NOT_HTTP =
      Set.of("tcp", "tls", "udp", "mongo", "mysql", "redis");

  private final Cluster cluster;
  private final Findings findings;
  private final String root;
  private final String trustDomain;
  private final Set<String> namespaces = new HashSet<>();
  private final Set<String> accounts = new HashSet<>();

  AccessLints(Cluster cluster, Findings findings) {
    this.cluster = cluster;
    this.findings = findings;
    this.root = cluster.mesh().map(Mesh::rootNamespace).orElse(Mesh.ROOT_NAMESPACE);
    this.trustDomain = cluster.mesh().map(Mesh::trustDomain).orElse(Mesh.TRUST_DOMAIN);
  }

  void run() {
    List<AuthorizationPolicy> policies = cluster.all(AuthorizationPolicy.class);
    for (PeerAuthentication policy : cluster.all(PeerAuthentication.class)) {
      selector(policy, policy.selector());
    }
    if (policies.isEmpty()) {
      return;
    }
    cluster.all(Namespace.class).forEach(n -> namespaces.add(n.meta().name()));
    for (Workload workload : cluster.workloads()) {
      namespaces.add(workload.meta().namespace());
      String account = workload.serviceAccount().isEmpty() ? "default" : workload.serviceAccount();
      accounts.add(workload.meta().namespace() + "/" + account);
    }
    for (AuthorizationPolicy policy : policies) {
      selector(policy, policy.selector());
      if (policy.rules().isEmpty()) {
        withoutRules(policy);
      }
      for (int i = 0; i < policy.rules().size(); i++) {
        rule(policy, policy.rules().get(i), "spec.rules[" + i + "]");
      }
    }
    against(policies);
  }

  private void selector(Resource policy, Optional<LabelSelector> selector) {
    if (selector.isEmpty() || cluster.workloads().isEmpty()) {
      return;
    }
    String namespace = policy.meta().namespace();
    boolean nobody =
        namespace.equals(root)
            ? namespaces().stream().allMatch(n -> cluster.select(n, selector.get()).length == 0)
            : cluster.select(namespace, selector.get()).length == 0;
    boolean gateway =
        policy instanceof AuthorizationPolicy access
            && cluster.all(Gateway.class).stream()
                .anyMatch(g -> g.ours() && AccessPlanner.selects(access, g, root));
    if (nobody && !gateway) {
      findings.add(
          Lint.SELECTS_NOBODY,
          policy,
          selector.get().at(),
          "spec.selector",
          "selects nobody: the policy has no effect",
          "check labels and namespace");
    }
  }

  private Set<String> namespaces() {
    Set<String> all = new HashSet<>();
    cluster.workloads().forEach(w -> all.add(w.meta().namespace()));
    return all;
  }

  private void withoutRules(AuthorizationPolicy policy) {
    if (policy.action() == Action.ALLOW) {
      findings.add(
          Lint.REFUSES_ALL,
          policy,
          policy.meta().at(),
          "spec.rules",
          "there are none: nothing matches the policy, so it refuses all that no other policy"
              + " allows",
          "to allow everything instead, write rules: [{}]");
    } else {
      findings.add(
          Lint.NEVER_MATCHES,
          policy,
          policy.meta().at(),
          "spec.rules",
          "there are none: the policy never matches and does nothing",
          "to match everything, write rules: [{}]");
    }
  }

  private void rule(AuthorizationPolicy policy, Rule rule, String field) {
    boolean empty = rule.from().isEmpty() && rule.to().isEmpty() && rule.when().isEmpty();
    if (empty && policy.action() == Action.ALLOW) {
      findings.add(
          Lint.WIDE,
          policy,
          rule.at(),
          field,
          "is empty: it allows everybody everything",
          "say from whom, to what or when");
    }
    boolean from = false;
    for (int s = 0; s < rule.from().size(); s++) {
      Source source = rule.from().get(s);
      boolean never = source(source).stream().anyMatch(AccessLints::never);
      from |= !never;
      if (!never) {
        peers(policy, rule, source, field + ".from[" + s + "].source");
        if (policy.action() == Action.ALLOW) {
          wide(policy, rule, source, field + ".from[" + s + "].source");
        }
      }
    }
    boolean to = false;
    for (int o = 0; o < rule.to().size(); o++) {
      Operation operation = rule.to().get(o);
      to |= operation(operation).stream().noneMatch(AccessLints::never);
      notHttp(policy, rule, operation, field + ".to[" + o + "].operation");
    }
    Optional<Condition> impossible =
        rule.when().stream().filter(c -> never(c.values())).findFirst();
    if (!rule.from().isEmpty() && !from || !rule.to().isEmpty() && !to || impossible.isPresent()) {
      findings.add(
          Lint.NEVER_MATCHES,
          policy,
          impossible.map(Condition::at).orElse(rule.at()),
          field,
          "can never match: what its values name its not-values take away",
          "remove one of the two");
    }
  }

  private void wide(AuthorizationPolicy policy, Rule rule, Source source, String field) {
    for (String block : source.ipBlocks().values()) {
      if (block.endsWith("/0") && source.ipBlocks().notValues().isEmpty()) {
        findings.add(
            Lint.WIDE,
            policy,
            rule.at(),
            field + ".ipBlocks",
            block + " holds every address",
            "name who is meant");
      }
    }
  }

  private static List<Patterns> source(Source source) {
    return List.of(
        source.principals(),
        source.requestPrincipals(),
        source.namespaces(),
        source.serviceAccounts(),
        source.ipBlocks(),
        source.remoteIpBlocks());
  }

  private static List<Patterns> operation(Operation operation) {
    return List.of(operation.hosts(), operation.ports(), operation.methods(), operation.paths());
  }

  /** Whether every value is taken away again, by itself or by a wider prefix or suffix. */
  private static boolean never(Patterns patterns) {
    return !patterns.values().isEmpty()
        && patterns.values().stream()
            .allMatch(value -> patterns.notValues().stream().anyMatch(not -> covers(not, value)));
  }

  private static boolean covers(String pattern, String value) {
    return pattern.equals(value)
        || pattern.equals("*")
        || pattern.length() > 1
            && pattern.endsWith("*")
            && !value.startsWith("*")
            && value.startsWith(pattern.substring(0, pattern.length() - 1))
        || pattern.length() > 1
            && pattern.startsWith("*")
            && !value.endsWith("*")
            && value.endsWith(pattern.substring(1));
  }

  /** Names of namespaces and accounts that no file declares. */
  private void peers(AuthorizationPolicy policy, Rule rule, Source source, String field) {
    if (cluster.workloads().isEmpty()) {
      return;
    }
    for (String name : source.namespaces().values()) {
      if (!name.contains("*") && !namespaces.contains(name)) {
        unknown(policy, rule, field + ".namespaces", "there is no namespace \"" + name + "\"");
      }
    }
    for (String name : source.serviceAccounts().values()) {
      String whole = name.contains("/") ? name : policy.meta().namespace() + "/" + name;
      if (!name.contains("*") && !accounts.contains(whole)) {
        unknown(policy, rule, field + ".serviceAccounts", "nobody runs as " + whole);
      }
    }
    for (String name : source.principals().values()) {
      String[] parts = name.split("/", -1);
      boolean ours =
          parts.length == 5
              && !name.contains("*")
              && (parts[0].equals(trustDomain) || parts[0].equals(Mesh.TRUST_DOMAIN));
      if (ours && !accounts.contains(parts[2] + "/" + parts[4])) {
        unknown(policy, rule, field + ".principals", "nobody runs as " + parts[2] + "/" + parts[4]);
      }
    }
  }

  private void unknown(AuthorizationPolicy policy, Rule rule, String field, String message) {
    findings.add(
        Lint.UNKNOWN_PEER,
        policy,
        rule.at(),
        field,
        message + " among the files",
        "check its spelling, or add who is meant");
  }

  private void notHttp(AuthorizationPolicy policy, Rule rule, Operation operation, String field) {
    boolean http =
        !operation.hosts().isEmpty()
            || !operation.methods().isEmpty()
            || !operation.paths().isEmpty();
    if (!http) {
      return;
    }
    for (String port : operation.ports().values()) {
      Optional<String> spoken = spoken(policy, port);
      if (spoken.isPresent()) {
        findings.add(
            Lint.NOT_HTTP,
            policy,
            rule.at(),
            field,
            "demands HTTP of port "
                + port
                + ", where "
                + spoken.get()
                + ": "
                + (policy.action() == Action.ALLOW
                    ? "it allows nothing there"
                    : "there it matches without looking at the request"),
            "leave out hosts, methods and paths, or the port");
        return;
      }
    }
  }

  /** What a Service says is spoken at a port of who is selected, when it is not HTTP. */
  private Optional<String> spoken(AuthorizationPolicy policy, String port) {
    for (Service service : cluster.all(Service.class)) {
      if (!service.meta().namespace().equals(policy.meta().namespace())
          || service.selector().isEmpty()) {
        continue;
      }
      int[] backends = cluster.select(service.meta().namespace(), service.selector());
      if (policy.selector().isPresent()) {
        int[] chosen = cluster.select(policy.meta().namespace(), policy.selector().get());
        backends =
            Arrays.stream(backends)
                .filter(b -> Arrays.stream(chosen).anyMatch(c -> c == b))
                .toArray();
      }
      for (Service.Port candidate : service.ports()) {
        if (leads(candidate, backends, port)) {
          String word = protocol(candidate);
          if (!word.isEmpty()) {
            return Optional.of(service.id() + " speaks " + word);
          }
        }
      }
    }
    return Optional.empty();
  }

  private boolean leads(Service.Port port, int[] backends, String number) {
    return switch (port.target()) {
      case PortReference.Numbers numbers ->
          backends.length > 0 && String.valueOf(numbers.first()).equals(number);
      case PortReference.Named named ->
          Arrays.stream(backends)
              .mapToObj(cluster.workloads()::get)
              .flatMap(w -> w.ports().stream())
              .anyMatch(
                  p ->
                      p.name().equals(named.name())
                          && p.protocol() == port.protocol()
                          && String.valueOf(p.port()).equals(number));
    };
  }

  /** Empty when it may be HTTP. */
  private static String protocol(Service.Port port) {
    if (port.protocol() != Protocol.TCP) {
      return port.protocol().toString();
    }
    String word = port.appProtocol().toLowerCase(Locale.ROOT);
    if (word.isEmpty()) {
      int dash = port.name().indexOf('-');
      word = dash < 0 ? port.name() : port.name().substring(0, dash);
    }
    return NOT_HTTP.contains(word) ? word : "";
  }

  /** Policies that say the same, and ALLOW rules that a DENY rule undoes. */
  private void against(List<AuthorizationPolicy> policies) {
    Map<Object, AuthorizationPolicy> seen = new HashMap<>();
    Map<Object, AuthorizationPolicy> denied = new HashMap<>();
    for (AuthorizationPolicy policy : policies) {
      List<Object> key = new ArrayList<>(List.of(about(policy), policy.action(), policy.audit()));
      policy.rules().forEach(r -> key.add(placeless(r)));
      AuthorizationPolicy other = seen.putIfAbsent(key, policy);
      if (other != null) {
        findings.add(
            Lint.DUPLICATE,
            policy,
            policy.meta().at(),
            "spec",
            "says the same as " + other.id() + " at " + other.meta().at(),
            "remove one of the two");
      }
      if (policy.action() == Action.DENY && !policy.audit()) {
        policy.rules().forEach(r -> denied.put(List.of(about(policy), placeless(r)), policy));
      }
    }
    for (AuthorizationPolicy policy : policies) {
      if (policy.action() != Action.ALLOW) {
        continue;
      }
      for (int i = 0; i < policy.rules().size(); i++) {
        Rule rule = policy.rules().get(i);
        AuthorizationPolicy deny = denied.get(List.of(about(policy), placeless(rule)));
        if (deny != null) {
          findings.add(
              Lint.CONTRADICTION,
              policy,
              rule.at(),
              "spec.rules[" + i + "]",
              "allows nothing: " + deny.id() + " at " + deny.meta().at() + " denies the same first",
              "remove one of the two");
        }
      }
    }
  }

  private static Object about(AuthorizationPolicy policy) {
    return List.of(
        policy.meta().namespace(),
        policy.selector().map(s -> List.of(s.matchLabels(), s.matchExpressions())),
        policy.targets().stream().map(t -> t.kind() + " " + t.name()).toList());
  }

  private static Object placeless(Rule rule) {
    Function<Condition, Object> condition = c -> List.of(c.key(), c.values());
    return List.of(rule.from(), rule.to(), rule.when().stream().map(condition).toList());
  }
}
