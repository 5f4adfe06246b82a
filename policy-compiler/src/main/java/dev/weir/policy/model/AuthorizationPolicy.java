// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import dev.weir.policy.source.Position;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/**
 * A {@code security.istio.io AuthorizationPolicy}, as written: patterns are still text.
 *
 * <p>Source: Istio, Authorization Policy reference. Policies of action DENY are asked first: one
 * rule that matches refuses. Then, when any policy of action ALLOW applies to the destination, one
 * of their rules must match. AUDIT policies only report.
 *
 * @param meta name and place
 * @param selector workloads it is about; absent: all of its namespace, or of every namespace when
 *     it lies in the root namespace
 * @param targets Services or Gateways it is about instead of a selector
 * @param action what a match means
 * @param audit it is only reported what it would do ({@code weir.dev/audit} or {@code
 *     istio.io/dry-run})
 * @param rules any of them; without any, nothing matches
 */
public record AuthorizationPolicy(
    Meta meta,
    Optional<LabelSelector> selector,
    List<Reference> targets,
    Action action,
    boolean audit,
    List<Rule> rules)
    implements Resource {

  /** Copies the lists. */
  public AuthorizationPolicy {
    targets = List.copyOf(targets);
    rules = List.copyOf(rules);
  }

  @Override
  public String kind() {
    return "AuthorizationPolicy";
  }

  /** What a match means. */
  public enum Action {
    /** What matches no rule of any such policy is refused. */
    ALLOW,
    /** What matches is refused. */
    DENY,
    /** What matches is reported. */
    AUDIT
  }

  /**
   * One rule: one of the sources, one of the operations and every condition must hold.
   *
   * @param from any of them; empty: any source
   * @param to any of them; empty: any operation
   * @param when all of them
   * @param at where it begins
   */
  public record Rule(List<Source> from, List<Operation> to, List<Condition> when, Position at) {
    /** Copies the lists. */
    public Rule {
      from = List.copyOf(from);
      to = List.copyOf(to);
      when = List.copyOf(when);
    }

    /** Whether it looks at something that is only known of a request, not of a connection. */
    public boolean needsRequest() {
      return from.stream()
              .anyMatch(s -> !s.requestPrincipals().isEmpty() || !s.remoteIpBlocks().isEmpty())
          || to.stream()
              .anyMatch(o -> !o.hosts().isEmpty() || !o.methods().isEmpty() || !o.paths().isEmpty())
          || when.stream().anyMatch(c -> !CONNECTION_ATTRIBUTES.contains(c.key()));
    }

    private static final Set<String> CONNECTION_ATTRIBUTES =
        Set.of(
            "source.ip",
            "source.namespace",
            "source.principal",
            "source.serviceAccount",
            "source.trustDomain",
            "destination.ip",
            "destination.port");
  }

  /**
   * Who asks; every field that is given must hold.
   *
   * @param principals {@code trust-domain/ns/NAMESPACE/sa/ACCOUNT}, authenticated
   * @param requestPrincipals {@code issuer/subject} of a verified token
   * @param namespaces of the authenticated principal
   * @param serviceAccounts {@code NAMESPACE/ACCOUNT}, or {@code ACCOUNT} of the policy's namespace
   * @param trustDomains of the authenticated principal
   * @param ipBlocks address of the peer
   * @param remoteIpBlocks address of the original client, as trusted proxies say
   */
  public record Source(
      Patterns principals,
      Patterns requestPrincipals,
      Patterns namespaces,
      Patterns serviceAccounts,
      Patterns trustDomains,
      Patterns ipBlocks,
      Patterns remoteIpBlocks) {}

  /**
   * What is asked; every field that is given must hold.
   *
   * @param hosts of the request, without regard to case
   * @param ports of the destination workload
   * @param methods of the request, for gRPC always POST
   * @param paths of the request, normalised, without query
   */
  public record Operation(Patterns hosts, Patterns ports, Patterns methods, Patterns paths) {}

  /**
   * One of {@code values} and none of {@code notValues}; a field that is not written has neither
   * and always holds.
   */
  public record Patterns(List<String> values, List<String> notValues) {
    /** A field that is not written. */
    public static final Patterns NONE = new Patterns(List.of(), List.of());

    /** Copies the lists. */
    public Patterns {
      values = List.copyOf(values);
      notValues = List.copyOf(notValues);
    }

    /** Whether the field is not written. */
    public boolean isEmpty() {
      return values.isEmpty() && notValues.isEmpty();
    }
  }

  /**
   * A further condition.
   *
   * @param key an attribute of Istio, as {@code source.ip} or {@code request.headers[x-user]}
   * @param values and their negations
   * @param at where
   */
  public record Condition(String key, Patterns values, Position at) {}
}
