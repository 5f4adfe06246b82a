// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.access;

import dev.weir.policy.cluster.Cluster;
import dev.weir.policy.model.AuthorizationPolicy;
import dev.weir.policy.model.LabelSelector;
import dev.weir.policy.model.Meta;
import dev.weir.policy.model.PeerAuthentication;
import dev.weir.policy.model.PeerAuthentication.Mode;
import dev.weir.policy.model.PortReference;
import dev.weir.policy.model.Reference;
import dev.weir.policy.model.Resource;
import dev.weir.policy.model.Service;
import dev.weir.policy.plan.AccessPlan.Action;
import dev.weir.policy.plan.AccessPlan.Policy;
import dev.weir.policy.plan.Rule;
import dev.weir.policy.rbac.AccessDecision;
import dev.weir.policy.rbac.AccessDecision.Verdict;
import dev.weir.policy.rbac.AccessRules;
import dev.weir.policy.rbac.Attributes;
import dev.weir.policy.source.Position;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Answers what AuthorizationPolicies and PeerAuthentications say about destinations that need not
 * be declared. Policies are compiled once, and those about like destinations are put together once.
 */
public final class AccessQuestions {

  /**
   * An answer.
   *
   * @param allow whether it passes
   * @param verdict the same, and whether a policy in audit would have refused it
   * @param rules what decided, and what policies of action AUDIT report
   * @param kernel whether the connection alone decides
   */
  public record Answer(boolean allow, Verdict verdict, List<Decisive> rules, boolean kernel) {
    /** Copies the list. */
    public Answer {
      rules = List.copyOf(rules);
    }
  }

  /**
   * A rule that decided.
   *
   * @param rule with its place
   * @param action of its policy; {@code MTLS} for a PeerAuthentication
   * @param audit whether its policy only reports
   */
  public record Decisive(Rule rule, String action, boolean audit) {}

  private record Known(AuthorizationPolicy model, Policy policy) {}

  private record Applied(AccessRules rules, List<Known> policies) {}

  private final String rootNamespace;
  private final List<Rule> rules = new ArrayList<>();
  private final List<Known> policies = new ArrayList<>();
  private final List<PeerAuthentication> peers;
  private final List<Service> services;
  private final Map<Destination, Applied> byDestination = new HashMap<>();

  /**
   * Prepares the policies of some files.
   *
   * @param rootNamespace whose policies are about every namespace
   */
  public AccessQuestions(Cluster cluster, String rootNamespace) {
    this.rootNamespace = rootNamespace;
    this.peers =
        cluster.all(PeerAuthentication.class).stream()
            .sorted(
                // Those without a time are the youngest.
                Comparator.comparing(
                        (PeerAuthentication p) ->
                            p.meta().created().isEmpty() ? "~" : p.meta().created())
                    .thenComparing(p -> p.meta().qualifiedName()))
            .toList();
    this.services = cluster.all(Service.class);
    for (AuthorizationPolicy policy : cluster.all(AuthorizationPolicy.class)) {
      int first = rules.size();
      rules.add(rule(policy, "", policy.meta().at()));
      for (int i = 0; i < policy.rules().size(); i++) {
        rules.add(rule(policy, "rules[" + i + "]", policy.rules().get(i).at()));
      }
      policies.add(new Known(policy, AccessCompiler.policy(policy, new Numbers(first))));
    }
  }

  private record Numbers(int first) implements AccessCompiler.RuleIndex {
    @Override
    public int of(AuthorizationPolicy policy) {
      return first;
    }

    @Override
    public int of(AuthorizationPolicy policy, int index) {
      return first + 1 + index;
    }
  }

  private static Rule rule(Resource resource, String clause, Position at) {
    Meta meta = resource.meta();
    return new Rule(resource.kind(), meta.namespace(), meta.name(), clause, at.file(), at.line());
  }

  /** Whether something may be asked of a destination. */
  public Answer ask(Destination destination, Attributes attributes) {
    return ask(destination, attributes, true);
  }

  /**
   * Whether something may be asked of a destination.
   *
   * @param overWire whether it comes from another node, so that mutual TLS can be demanded of it
   */
  public Answer ask(Destination destination, Attributes attributes, boolean overWire) {
    Applied applied = byDestination.computeIfAbsent(destination, this::applied);
    Optional<PeerAuthentication> strict =
        overWire && attributes.principal().text().isEmpty()
            ? strict(destination)
            : Optional.empty();
    List<Decisive> decisive = new ArrayList<>();
    AccessDecision decision = applied.rules().decide(attributes);
    boolean kernel = applied.rules().decidedByConnection(attributes);
    switch (decision.verdict()) {
      case REFUSE -> refusing(applied, attributes, false, decisive);
      case AUDIT -> refusing(applied, attributes, true, decisive);
      case ALLOW -> {
        if (strict.isEmpty()) {
          matching(applied, attributes, Action.ALLOW, false, decisive);
        }
      }
    }
    strict.ifPresent(
        p -> decisive.addFirst(new Decisive(rule(p, "", p.meta().at()), "MTLS", false)));
    matching(applied, attributes, Action.AUDIT, false, decisive);
    boolean refused = strict.isPresent() || decision.verdict() == Verdict.REFUSE;
    return new Answer(
        !refused,
        refused ? Verdict.REFUSE : decision.verdict(),
        decisive,
        kernel || strict.isPresent());
  }

  /**
   * What a connection alone decides about a destination, PeerAuthentication aside.
   *
   * @param requests whether requests can follow, as on TCP
   * @param audited whether the policies in audit are asked as if they were enforced
   */
  public AccessRules.Before before(
      Destination destination, Attributes attributes, boolean requests, boolean audited) {
    return byDestination
        .computeIfAbsent(destination, this::applied)
        .rules()
        .before(attributes, requests, audited);
  }

  /**
   * A rule that matches.
   *
   * @param policy whose rule it is
   * @param index of the rule in its policy
   */
  public record Match(AuthorizationPolicy policy, int index) {}

  /** The rules that match, of whatever policy about the destination. */
  public List<Match> matching(Destination destination, Attributes attributes) {
    Applied applied = byDestination.computeIfAbsent(destination, this::applied);
    List<Match> result = new ArrayList<>();
    for (AccessRules.Match match : applied.rules().matches(attributes)) {
      for (Known known : applied.policies()) {
        int index = match.rule() - known.policy().rule() - 1;
        if (index >= 0 && index < known.model().rules().size()) {
          result.add(new Match(known.model(), index));
        }
      }
    }
    return result;
  }

  /** The policies about a destination. */
  public List<AuthorizationPolicy> about(Destination destination) {
    return byDestination.computeIfAbsent(destination, this::applied).policies().stream()
        .map(Known::model)
        .toList();
  }

  /** The DENY rules that match; else every ALLOW policy, none of whose rules does. */
  private void refusing(
      Applied applied, Attributes attributes, boolean audit, List<Decisive> decisive) {
    matching(applied, attributes, Action.DENY, audit, decisive);
    if (decisive.isEmpty()) {
      for (Known known : applied.policies()) {
        if (known.policy().action() == Action.ALLOW && known.policy().audit() == audit) {
          decisive.add(new Decisive(rules.get(known.policy().rule()), "ALLOW", audit));
        }
      }
    }
  }

  private void matching(
      Applied applied,
      Attributes attributes,
      Action action,
      boolean audit,
      List<Decisive> decisive) {
    for (AccessRules.Match match : applied.rules().matches(attributes)) {
      if (match.action() == action && match.audit() == audit) {
        decisive.add(new Decisive(rules.get(match.rule()), action.name(), audit));
      }
    }
  }

  private Applied applied(Destination destination) {
    List<Known> about = policies.stream().filter(p -> isAbout(p.model(), destination)).toList();
    return new Applied(new AccessRules(about.stream().map(Known::policy).toList()), about);
  }

  private boolean isAbout(AuthorizationPolicy policy, Destination destination) {
    if (policy.targets().isEmpty()) {
      return about(policy.meta(), policy.selector(), destination);
    }
    return policy.targets().stream()
        .anyMatch(target -> isTarget(policy.meta().namespace(), target, destination));
  }

  private boolean about(Meta meta, Optional<LabelSelector> selector, Destination destination) {
    return (meta.namespace().equals(rootNamespace)
            || destination.namespace().isEmpty()
            || meta.namespace().equals(destination.namespace()))
        && selects(selector, destination);
  }

  private static boolean selects(Optional<LabelSelector> selector, Destination destination) {
    return selector.isEmpty()
        || destination.labels().entrySet().containsAll(selector.get().matchLabels().entrySet());
  }

  private boolean isTarget(String namespace, Reference target, Destination destination) {
    boolean here = destination.namespace().isEmpty() || namespace.equals(destination.namespace());
    Map<String, String> labels = destination.labels();
    return switch (target.kind()) {
      case "Service" -> here && isBehind(namespace, target.name(), destination);
      case "Gateway" -> here && target.name().equals(labels.get(AccessPlanner.GATEWAY_NAME));
      case "GatewayClass" ->
          namespace.equals(rootNamespace)
              && target.name().equals(labels.get(AccessPlanner.GATEWAY_CLASS_NAME));
      default -> false;
    };
  }

  /** By the Service's selector and target ports, where it is among the files; else by its name. */
  private boolean isBehind(String namespace, String name, Destination destination) {
    for (Service service : services) {
      if (service.meta().namespace().equals(namespace) && service.meta().name().equals(name)) {
        return !service.selector().isEmpty()
            && destination.labels().entrySet().containsAll(service.selector().entrySet())
            && (destination.port() < 0
                || service.ports().stream().anyMatch(p -> leadsTo(p, destination)));
      }
    }
    return name.equals(destination.service());
  }

  private static boolean leadsTo(Service.Port port, Destination destination) {
    if (destination.listening().map(l -> l.protocol() != port.protocol()).orElse(false)) {
      return false;
    }
    return switch (port.target()) {
      case PortReference.Numbers numbers ->
          numbers.first() <= destination.port() && destination.port() <= numbers.last();
      // Where it is not known what the destination calls so, the policy counts: that can only
      // refuse more of a DENY, and of an ALLOW demand that one matches.
      case PortReference.Named named ->
          destination
              .listening()
              .map(
                  listening ->
                      listening.ports().stream()
                          .anyMatch(
                              own ->
                                  own.name().equals(named.name())
                                      && own.protocol() == port.protocol()
                                      && own.port() == destination.port()))
              .orElse(true);
    };
  }

  /** The PeerAuthentication that demands mutual TLS of whoever comes in plain text. */
  private Optional<PeerAuthentication> strict(Destination destination) {
    for (PeerAuthentication policy : counting(destination)) {
      Mode mode = policy.ports().getOrDefault(destination.port(), Mode.UNSET);
      mode = mode == Mode.UNSET ? policy.mode() : mode;
      if (mode != Mode.UNSET) {
        return mode == Mode.STRICT ? Optional.of(policy) : Optional.empty();
      }
    }
    return Optional.empty();
  }

  /**
   * The PeerAuthentications that count for a destination, from the narrowest: at most one with a
   * selector, one of its namespace and one of the root namespace, each the oldest of its width.
   */
  public List<PeerAuthentication> counting(Destination destination) {
    List<PeerAuthentication> counting = new ArrayList<>();
    for (int width = 0; width < 3; width++) {
      for (PeerAuthentication policy : peers) {
        boolean selected = policy.selector().filter(s -> !s.isEmpty()).isPresent();
        boolean root = policy.meta().namespace().equals(rootNamespace);
        int wide = selected ? 0 : root ? 2 : 1;
        // With a selector it is only about its own namespace, be that the root namespace.
        boolean here =
            !selected
                || destination.namespace().isEmpty()
                || policy.meta().namespace().equals(destination.namespace());
        if (wide == width && here && about(policy.meta(), policy.selector(), destination)) {
          counting.add(policy);
          break;
        }
      }
    }
    return counting;
  }
}
