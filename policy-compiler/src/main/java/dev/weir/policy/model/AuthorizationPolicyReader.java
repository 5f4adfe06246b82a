// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import dev.weir.policy.model.AuthorizationPolicy.Action;
import dev.weir.policy.model.AuthorizationPolicy.Condition;
import dev.weir.policy.model.AuthorizationPolicy.Operation;
import dev.weir.policy.model.AuthorizationPolicy.Patterns;
import dev.weir.policy.model.AuthorizationPolicy.Rule;
import dev.weir.policy.model.AuthorizationPolicy.Source;
import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Block;
import dev.weir.policy.source.Node.Sequence;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import java.util.function.Predicate;
import java.util.regex.Pattern;

/**
 * Reads {@code security.istio.io AuthorizationPolicy}. Refused is what Istio's own validation
 * refuses; in a policy, what is not understood must not be passed over.
 *
 * <p>Source: Istio, Authorization Policy and Authorization Policy Conditions references, and the
 * rules of its validating webhook and of the schema's CEL expressions.
 */
final class AuthorizationPolicyReader {

  private static final String DRY_RUN = "istio.io/dry-run";
  private static final String AUDIT = "weir.dev/audit";

  /** Go's strconv.ParseBool, which reads the annotation in Istio. */
  private static final Set<String> TRUE = Set.of("1", "t", "T", "true", "TRUE", "True");

  private static final Set<String> FALSE = Set.of("0", "f", "F", "false", "FALSE", "False");

  private static final Pattern PORT = Pattern.compile("[0-9]{1,9}");

  /** What may stand between the slashes of a path template (RFC 3986 pchar). */
  private static final Pattern SEGMENT = Pattern.compile("[a-zA-Z0-9._~%!$&'()+,;:@=-]+");

  /** Bounds of the schema. */
  private static final int MAX_RULES = 512;

  private static final int MAX_ACCOUNTS = 16;

  private static final Set<String> CONDITIONS =
      Set.of(
          "source.ip",
          "remote.ip",
          "source.namespace",
          "source.principal",
          "source.serviceAccount",
          "source.trustDomain",
          "request.auth.principal",
          "request.auth.audiences",
          "request.auth.presenter",
          "destination.ip",
          "destination.port",
          "connection.sni");

  /** Prefixes of keys with a name in brackets. */
  private static final List<String> BRACKETED =
      List.of("request.headers", "request.auth.claims", "experimental.envoy.filters.");

  private final Fields object;
  private final Meta meta;
  private boolean custom;

  private AuthorizationPolicyReader(Meta meta, Fields object) {
    this.meta = meta;
    this.object = object;
  }

  static Resource read(Meta meta, Fields object) {
    return new AuthorizationPolicyReader(meta, object).policy();
  }

  private Resource policy() {
    object.ignore("apiVersion", "kind", "metadata", "status");
    Fields spec = object.mapping("spec").orElseGet(() -> object.empty("spec"));
    object.finish();
    String word = spec.text("action", "ALLOW");
    Action action = action(spec, word);
    custom = word.equals("CUSTOM");
    boolean audit = audit(word);
    Optional<LabelSelector> selector = spec.mapping("selector").map(TargetReader::selector);
    List<Reference> targets = TargetReader.targets(spec);
    provider(spec, word);
    List<Rule> rules = new ArrayList<>();
    List<Fields> items = spec.mappings("rules");
    if (items.isEmpty() && (custom || action == Action.DENY)) {
      spec.error(
          "rules",
          "is missing or empty, so that a policy of action " + word + " never matches",
          "write an empty rule, - {}, to match everything");
    }
    atMost(spec, "rules", MAX_RULES, items.size());
    for (Fields item : items) {
      rules.add(rule(item, action));
    }
    spec.finish();
    return new AuthorizationPolicy(meta, selector, targets, action, audit, rules);
  }

  private static void atMost(Fields fields, String key, int most, int count) {
    if (count > most) {
      fields.error(key, "has " + count + " entries, more than " + most, "write several policies");
    }
  }

  private static Action action(Fields spec, String word) {
    return switch (word) {
      case "ALLOW" -> Action.ALLOW;
      case "DENY", "CUSTOM" -> Action.DENY;
      case "AUDIT" -> Action.AUDIT;
      default -> {
        spec.error("action", "is \"" + word + "\"", "one of: ALLOW, AUDIT, DENY");
        yield Action.DENY;
      }
    };
  }

  /**
   * CUSTOM asks a provider, which we have not: as in Istio without that provider, what matches is
   * refused.
   */
  private static void provider(Fields spec, String word) {
    Optional<Fields> provider = spec.mapping("provider");
    if (word.equals("CUSTOM")) {
      if (provider.isEmpty() || provider.get().text("name", "").isEmpty()) {
        spec.error("provider", "has no name", "name who is asked, or use action ALLOW or DENY");
      }
      spec.unserved("action", "CUSTOM asks a provider; none is asked, so what matches is refused");
    } else if (provider.isPresent()) {
      provider.get().ignore("name");
      spec.error("provider", "means nothing with action " + word, "remove it");
    }
    provider.ifPresent(Fields::finish);
  }

  private boolean audit(String action) {
    boolean audit = flag(AUDIT);
    if (meta.annotations().containsKey(DRY_RUN)) {
      if (!action.equals("ALLOW") && !action.equals("DENY")) {
        object.error(
            "metadata.annotations." + DRY_RUN,
            "means nothing with action " + action,
            "only ALLOW and DENY can be tried");
      }
      audit |= flag(DRY_RUN);
    }
    return audit;
  }

  private boolean flag(String annotation) {
    String value = meta.annotations().getOrDefault(annotation, "false");
    if (!TRUE.contains(value) && !FALSE.contains(value)) {
      object.error(
          "metadata.annotations." + annotation, "is \"" + value + "\"", "\"true\" or \"false\"");
    }
    return TRUE.contains(value);
  }

  private Rule rule(Fields item, Action action) {
    notEmpty(item, "from", "any source");
    notEmpty(item, "to", "any operation");
    List<Source> from = new ArrayList<>();
    List<Operation> to = new ArrayList<>();
    List<Condition> when = new ArrayList<>();
    for (Fields entry : item.mappings("from")) {
      Optional<Fields> source = entry.mapping("source");
      if (source.isEmpty()) {
        entry.error("source", "is missing", "leave out the whole list to mean any source");
      }
      source.map(this::source).ifPresent(from::add);
      entry.finish();
    }
    for (Fields entry : item.mappings("to")) {
      Optional<Fields> operation = entry.mapping("operation");
      if (operation.isEmpty()) {
        entry.error("operation", "is missing", "leave out the whole list to mean any operation");
      }
      operation.map(AuthorizationPolicyReader::operation).ifPresent(to::add);
      entry.finish();
    }
    for (Fields entry : item.mappings("when")) {
      condition(entry).ifPresent(when::add);
    }
    item.finish();
    Rule rule = new Rule(from, to, when, item.at());
    if (action == Action.DENY && !custom && deniesTcp(rule)) {
      item.warning(
          "denies all TCP traffic that is not HTTP, on every port: of a DENY rule the HTTP fields"
              + " do not count there",
          "name the ports it is about");
    }
    return rule;
  }

  /** As Istio warns: operations without a port, or only sources that TCP knows nothing of. */
  private static boolean deniesTcp(Rule rule) {
    if (!rule.to().isEmpty()) {
      return rule.to().stream().allMatch(o -> o.ports().isEmpty());
    }
    return !rule.from().isEmpty()
        && rule.from().stream()
            .allMatch(
                s ->
                    s.principals().isEmpty()
                        && s.namespaces().isEmpty()
                        && s.serviceAccounts().isEmpty()
                        && s.trustDomains().isEmpty()
                        && s.ipBlocks().isEmpty()
                        && s.remoteIpBlocks().isEmpty());
  }

  private static void notEmpty(Fields item, String key, String meaning) {
    if (item.node(key).filter(n -> n instanceof Sequence s && s.items().isEmpty()).isPresent()) {
      item.error(key, "is an empty list", "leave it out to mean " + meaning);
    }
  }

  private Source source(Fields source) {
    Patterns principals = patterns(source, "principals");
    Patterns requestPrincipals = patterns(source, "requestPrincipals");
    Patterns namespaces = patterns(source, "namespaces", NAMESPACES);
    Patterns accounts = patterns(source, "serviceAccounts", AuthorizationPolicyReader::account);
    atMost(source, "serviceAccounts", MAX_ACCOUNTS, accounts.values().size());
    atMost(source, "notServiceAccounts", MAX_ACCOUNTS, accounts.notValues().size());
    Patterns trustDomains = patterns(source, "trustDomains");
    Patterns ipBlocks = patterns(source, "ipBlocks", ADDRESS);
    Patterns remoteIpBlocks = patterns(source, "remoteIpBlocks", ADDRESS);
    if (!accounts.isEmpty() && !(principals.isEmpty() && namespaces.isEmpty())) {
      source.error(
          "serviceAccounts",
          "stands beside principals or namespaces",
          "write two sources, one with each");
    }
    if (custom
        && !(principals.isEmpty()
            && requestPrincipals.isEmpty()
            && namespaces.isEmpty()
            && accounts.isEmpty())) {
      source.error("names who asks, which action CUSTOM cannot", "use ipBlocks");
    }
    if (principals.isEmpty()
        && requestPrincipals.isEmpty()
        && namespaces.isEmpty()
        && accounts.isEmpty()
        && trustDomains.isEmpty()
        && ipBlocks.isEmpty()
        && remoteIpBlocks.isEmpty()) {
      source.error("is empty", "leave out the whole list to mean any source");
    }
    source.finish();
    return new Source(
        principals,
        requestPrincipals,
        namespaces,
        accounts,
        trustDomains,
        ipBlocks,
        remoteIpBlocks);
  }

  private static Operation operation(Fields operation) {
    Patterns hosts = patterns(operation, "hosts");
    Patterns ports = patterns(operation, "ports", PORTS);
    Patterns methods = patterns(operation, "methods");
    Patterns paths = patterns(operation, "paths", AuthorizationPolicyReader::path);
    if (hosts.isEmpty() && ports.isEmpty() && methods.isEmpty() && paths.isEmpty()) {
      operation.error("is empty", "leave out the whole list to mean any operation");
    }
    operation.finish();
    return new Operation(hosts, ports, methods, paths);
  }

  private Optional<Condition> condition(Fields condition) {
    String key = condition.required("key").value();
    if (key.isEmpty() && condition.has("key")) {
      condition.error("key", "is empty", remedy(key)); // Passed over, the rule would match more.
    }
    Optional<String> problem = key.isEmpty() ? Optional.empty() : badKey(key);
    problem.ifPresent(p -> condition.error("key", "\"" + key + "\" " + p, remedy(key)));
    if (custom
        && (key.startsWith("request.auth.")
            || Set.of("source.namespace", "source.principal", "source.serviceAccount")
                .contains(key))) {
      condition.error("key", key + " cannot be asked by action CUSTOM", "remove the condition");
    }
    if (key.startsWith("experimental.")) {
      condition.unserved(
          "key", "no filter of Envoy runs here: this attribute is never there, no value matches");
    }
    Check check =
        switch (key) {
          case "source.ip", "remote.ip", "destination.ip" -> ADDRESS;
          case "destination.port" -> PORTS;
          case "source.namespace" -> NAMESPACES;
          case "source.serviceAccount" -> AuthorizationPolicyReader::account;
          default -> ANY;
        };
    Patterns values = patterns(condition, "values", "notValues", check);
    if (values.isEmpty()) {
      condition.error("values", "is missing or empty", "write values or notValues");
    }
    condition.finish();
    return key.isEmpty() || problem.isPresent()
        ? Optional.empty()
        : Optional.of(new Condition(key, values, condition.at()));
  }

  private static Optional<String> badKey(String key) {
    if (CONDITIONS.contains(key)) {
      return Optional.empty();
    }
    for (String prefix : BRACKETED) {
      if (key.startsWith(prefix)) {
        int open = key.indexOf('[');
        boolean named = open > 0 && key.endsWith("]") && open < key.length() - 2;
        boolean exact = prefix.endsWith(".") || open == prefix.length();
        return named && exact
            ? Optional.empty()
            : Optional.of("must have a name in brackets at its end");
      }
    }
    return Optional.of("is no attribute that a condition can ask");
  }

  private static String remedy(String key) {
    if (key.equals("destination.namespace")) {
      return "a policy is about its own namespace: put it there";
    }
    if (key.startsWith("destination.")) {
      return "say it with the policy's selector";
    }
    return BRACKETED.stream().anyMatch(key::startsWith)
        ? "as request.headers[x-user] or request.auth.claims[iss]"
        : "one of: "
            + String.join(", ", CONDITIONS.stream().sorted().toList())
            + ", request.headers[NAME], request.auth.claims[NAME]";
  }

  /** Says what is wrong with a value, and what to do; empty when nothing is. */
  private interface Check {
    String[] problem(String value);
  }

  private static final String[] FINE = {};
  private static final Check ANY = value -> FINE;

  private static final Check ADDRESS =
      check(
          v -> v.contains("/") ? Block.parse(v).isPresent() : Address.parse(v).isPresent(),
          "is no address and no block of addresses",
          "as 10.1.2.3, 10.0.0.0/8 or fd00::/8");

  private static final Check PORTS =
      check(
          v -> PORT.matcher(v).matches() && Integer.parseInt(v) <= 65535,
          "is no port",
          "a number from 0 to 65535, in quotes");

  private static final Check NAMESPACES =
      check(
          v -> v.length() < 3 || v.indexOf('*', 1) < 0 || v.indexOf('*') == v.length() - 1,
          "has a wildcard within it",
          "NAME, NAME*, *NAME or *");

  private static Check check(Predicate<String> fine, String message, String remedy) {
    return value -> fine.test(value) ? FINE : new String[] {message, remedy};
  }

  private static String[] account(String value) {
    if (value.indexOf('/') != value.lastIndexOf('/')
        || value.startsWith("/")
        || value.endsWith("/")
        || value.length() > 320) {
      return new String[] {
        "is no service account", "NAMESPACE/NAME, or NAME for one of the policy's namespace"
      };
    }
    if (value.contains("*")) {
      return new String[] {
        "has a wildcard, which service accounts cannot have", "use principals or namespaces"
      };
    }
    return FINE;
  }

  /** A path, or a template of whole segments, of which {@code {**}} can only be the last. */
  private static String[] path(String value) {
    boolean template = value.contains("{*}") || value.contains("{**}");
    boolean ended = false;
    int begin = 0;
    int end = value.length();
    while (begin < end && value.charAt(begin) == '/') {
      begin++;
    }
    while (end > begin && value.charAt(end - 1) == '/') {
      end--;
    }
    String trimmed = value.substring(begin, end);
    for (String segment : trimmed.split("/", -1)) {
      boolean any = segment.equals("{**}");
      if (any || segment.equals("{*}")) {
        if (ended) {
          return new String[] {"has an operator after {**}", "{**} must be the last one"};
        }
        ended = any;
      } else if (segment.contains("{") || segment.contains("}")) {
        return new String[] {
          "has braces that are no operator", "{*} for one segment, {**} for any number of them"
        };
      } else if (template && !SEGMENT.matcher(segment).matches()) {
        return new String[] {
          "has the segment \"" + segment + "\", which a template cannot have",
          "whole segments only: text, {*} or {**}"
        };
      }
    }
    return FINE;
  }

  private static Patterns patterns(Fields fields, String key) {
    return patterns(fields, key, ANY);
  }

  private static Patterns patterns(Fields fields, String key, Check check) {
    String not = "not" + key.substring(0, 1).toUpperCase(Locale.ROOT) + key.substring(1);
    return patterns(fields, key, not, check);
  }

  private static Patterns patterns(Fields fields, String key, String not, Check check) {
    return new Patterns(values(fields, key, check), values(fields, not, check));
  }

  private static List<String> values(Fields fields, String key, Check check) {
    List<String> values = new ArrayList<>();
    for (Located<String> value : fields.strings(key)) {
      if (value.value().isEmpty()) {
        fields.error(value, "is an empty string", "remove it");
        continue;
      }
      String[] problem = check.problem(value.value());
      if (problem.length > 0) {
        fields.error(value, "\"" + value.value() + "\" " + problem[0], problem[1]);
      }
      values.add(value.value());
    }
    return values;
  }

  /** Which workloads, Services or Gateways a policy of Istio is about. */
  static final class TargetReader {

    /** {@code group/kind} that can be a target. */
    private static final Set<String> KINDS =
        Set.of(
            "/Service",
            "core/Service",
            "networking.istio.io/ServiceEntry",
            "gateway.networking.k8s.io/Gateway",
            "gateway.networking.k8s.io/GatewayClass");

    private TargetReader() {}

    /** {@code type.v1beta1.WorkloadSelector}: labels only, and no wildcards. */
    static LabelSelector selector(Fields fields) {
      Map<String, String> labels = fields.map("matchLabels");
      labels.forEach(
          (key, value) -> {
            if (key.isEmpty()) {
              fields.error("matchLabels", "has an empty key", "name the label");
            } else if (key.contains("*") || value.contains("*")) {
              fields.error(
                  "matchLabels",
                  "\"" + key + ": " + value + "\" has a wildcard, which selectors cannot have",
                  "write the label's whole name and value");
            } else if (value.length() > 63 || key.length() > 317) {
              fields.error("matchLabels", "\"" + key + "\" is longer than a label can be", "");
            }
          });
      if (labels.isEmpty()) {
        fields.warning(
            "has no labels, so it selects every workload of the namespace",
            "leave it out to say so, or name labels");
      }
      if (fields.has("matchExpressions")) {
        fields.error("matchExpressions", "is no field of this selector", "use matchLabels");
      }
      fields.finish();
      return new LabelSelector(labels, List.of(), fields.at());
    }

    /** {@code targetRefs}, or the one {@code targetRef} of older files. */
    static List<Reference> targets(Fields spec) {
      List<Fields> items = new ArrayList<>(spec.mappings("targetRefs"));
      Optional<Fields> single = spec.mapping("targetRef");
      int said = (items.isEmpty() ? 0 : 1) + (single.isPresent() ? 1 : 0);
      if (said + (spec.has("selector") ? 1 : 0) > 1) {
        spec.error(
            single.isPresent() ? "targetRef" : "targetRefs",
            "only one of selector, targetRef and targetRefs can say what the policy is about",
            "write two policies");
      }
      if (items.size() > 16) {
        spec.error("targetRefs", "has more than 16 entries", "write several policies");
      }
      single.ifPresent(items::add);
      List<Reference> targets = new ArrayList<>();
      for (Fields item : items) {
        String group = item.text("group", "");
        String kind = item.required("kind").value();
        String name = item.required("name").value();
        if (name.isEmpty() && item.has("name")) {
          item.error("name", "is empty", "name what the policy is about");
        }
        if (!item.text("namespace", "").isEmpty()) {
          item.error(
              "namespace", "a policy is only about its own namespace", "remove it, or move it");
        }
        if (item.has("kind") && !KINDS.contains(group + "/" + kind)) {
          item.error(
              "kind",
              (group.isEmpty() ? "" : group + "/") + kind + " cannot be a target",
              "a Service, or a Gateway or GatewayClass of gateway.networking.k8s.io");
        }
        if (kind.equals("ServiceEntry")) {
          item.unserved("kind", "there are no ServiceEntries here, so it is about nothing");
        }
        item.finish();
        targets.add(
            new Reference(
                group.equals("core") ? "" : group,
                kind,
                Optional.empty(),
                name,
                Optional.empty(),
                OptionalInt.empty(),
                item.at(),
                item.path()));
      }
      return targets;
    }
  }
}
