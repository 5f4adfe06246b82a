// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.access;

import dev.weir.policy.model.AuthorizationPolicy;
import dev.weir.policy.model.AuthorizationPolicy.Operation;
import dev.weir.policy.model.AuthorizationPolicy.Patterns;
import dev.weir.policy.model.AuthorizationPolicy.Rule;
import dev.weir.policy.model.AuthorizationPolicy.Source;
import dev.weir.policy.plan.AccessPlan.Action;
import dev.weir.policy.plan.AccessPlan.Attribute;
import dev.weir.policy.plan.AccessPlan.Clause;
import dev.weir.policy.plan.AccessPlan.Condition;
import dev.weir.policy.plan.AccessPlan.Policy;
import dev.weir.policy.plan.AccessPlan.Term;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** Writes an AuthorizationPolicy as a record of the plan. */
public final class AccessCompiler {

  /** Which rule of the plan stands for what. */
  public interface RuleIndex {
    /** The rule of a whole policy. */
    int of(AuthorizationPolicy policy);

    /** The rule of one of its rules. */
    int of(AuthorizationPolicy policy, int index);
  }

  private static final String HEADERS = "request.headers";
  private static final String CLAIMS = "request.auth.claims";

  private AccessCompiler() {}

  /** The policy as a record. */
  public static Policy policy(AuthorizationPolicy policy, RuleIndex rules) {
    List<Clause> clauses = new ArrayList<>();
    for (int i = 0; i < policy.rules().size(); i++) {
      clauses.add(clause(policy.rules().get(i), policy.meta().namespace(), rules.of(policy, i)));
    }
    return new Policy(rules.of(policy), action(policy), policy.audit(), clauses);
  }

  private static Action action(AuthorizationPolicy policy) {
    return switch (policy.action()) {
      case ALLOW -> Action.ALLOW;
      case DENY -> Action.DENY;
      case AUDIT -> Action.AUDIT;
    };
  }

  private static Clause clause(Rule rule, String namespace, int index) {
    return new Clause(
        index,
        rule.from().stream().map(s -> source(s, namespace)).toList(),
        rule.to().stream().map(AccessCompiler::operation).toList(),
        new Term(
            rule.when().stream().map(c -> condition(c.key(), c.values(), namespace)).toList()));
  }

  private static Term source(Source source, String namespace) {
    List<Condition> conditions = new ArrayList<>();
    add(conditions, Attribute.SOURCE_PRINCIPAL, source.principals());
    add(conditions, Attribute.REQUEST_PRINCIPAL, source.requestPrincipals());
    add(conditions, Attribute.SOURCE_NAMESPACE, source.namespaces());
    add(
        conditions,
        Attribute.SOURCE_SERVICE_ACCOUNT,
        accounts(source.serviceAccounts(), namespace));
    add(conditions, Attribute.SOURCE_TRUST_DOMAIN, source.trustDomains());
    add(conditions, Attribute.SOURCE_IP, source.ipBlocks());
    add(conditions, Attribute.REMOTE_IP, source.remoteIpBlocks());
    return new Term(conditions);
  }

  private static Term operation(Operation operation) {
    List<Condition> conditions = new ArrayList<>();
    add(conditions, Attribute.DESTINATION_PORT, operation.ports());
    add(conditions, Attribute.METHOD, operation.methods());
    add(conditions, Attribute.HOST, operation.hosts());
    add(conditions, Attribute.PATH, operation.paths());
    return new Term(conditions);
  }

  private static void add(List<Condition> conditions, Attribute attribute, Patterns patterns) {
    if (!patterns.isEmpty()) {
      conditions.add(new Condition(attribute, List.of(), patterns.values(), patterns.notValues()));
    }
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

  private static Condition condition(String key, Patterns values, String namespace) {
    return switch (key) {
      case "source.ip" -> condition(Attribute.SOURCE_IP, values);
      case "remote.ip" -> condition(Attribute.REMOTE_IP, values);
      case "source.namespace" -> condition(Attribute.SOURCE_NAMESPACE, values);
      case "source.principal" -> condition(Attribute.SOURCE_PRINCIPAL, values);
      case "source.trustDomain" -> condition(Attribute.SOURCE_TRUST_DOMAIN, values);
      case "source.serviceAccount" ->
          condition(Attribute.SOURCE_SERVICE_ACCOUNT, accounts(values, namespace));
      case "destination.ip" -> condition(Attribute.DESTINATION_IP, values);
      case "destination.port" -> condition(Attribute.DESTINATION_PORT, values);
      case "connection.sni" -> condition(Attribute.CONNECTION_SNI, values);
      case "request.auth.principal" -> condition(Attribute.REQUEST_PRINCIPAL, values);
      case "request.auth.audiences" -> condition(Attribute.REQUEST_AUDIENCES, values);
      case "request.auth.presenter" -> condition(Attribute.REQUEST_PRESENTER, values);
      default -> {
        if (key.startsWith(HEADERS)) {
          String name = key.substring(HEADERS.length() + 1, key.length() - 1);
          yield condition(Attribute.HEADER, List.of(name.toLowerCase(Locale.ROOT)), values);
        }
        if (key.startsWith(CLAIMS)) {
          yield condition(Attribute.REQUEST_CLAIM, names(key.substring(CLAIMS.length())), values);
        }
        yield condition(Attribute.FILTER_METADATA, List.of(key), values);
      }
    };
  }

  private static Condition condition(Attribute attribute, Patterns values) {
    return condition(attribute, List.of(), values);
  }

  private static Condition condition(Attribute attribute, List<String> names, Patterns values) {
    return new Condition(attribute, names, values.values(), values.notValues());
  }

  /** {@code [a][b]} as a and b; what is between brackets otherwise is one name. */
  private static List<String> names(String bracketed) {
    String inner = bracketed.substring(1, bracketed.length() - 1);
    List<String> names = List.of(inner.split("]\\[", -1));
    boolean nested = names.stream().noneMatch(n -> n.isEmpty() || n.matches(".*[\\[\\]].*"));
    return nested ? names : List.of(inner);
  }
}
