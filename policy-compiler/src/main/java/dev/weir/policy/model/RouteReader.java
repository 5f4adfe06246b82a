// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import dev.weir.policy.plan.ProxyPlan.SessionPersistence;
import dev.weir.policy.source.Lint;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/** Reads what all kinds of route share. Collects what is not done yet while it reads. */
final class RouteReader {

  private static final int MAX_WEIGHT = 1_000_000;
  private static final int MAX_PARENTS = 32;
  private static final int MAX_HOSTNAMES = 16;
  private static final int MAX_RULES = 16;
  private static final int MAX_MATCHES = 64;
  private static final int MAX_ALL_MATCHES = 128;
  private static final int MAX_ITEMS = 16;

  private final List<Limit> limits = new ArrayList<>();
  private final Set<String> ruleNames = new HashSet<>();

  List<Limit> limits() {
    return limits;
  }

  /** Notes that a field is not served yet. */
  void unserved(Fields fields, String key, String message) {
    limits.add(new Limit(false, message, "", fields.at(key), fields.path(key)));
  }

  /** Notes that a field is never going to be honoured. */
  void never(Fields fields, String key, String message, String remedy) {
    limits.add(new Limit(true, message, remedy, fields.at(key), fields.path(key)));
  }

  List<Reference> parents(Fields spec, Meta meta) {
    spec.atMost("parentRefs", MAX_PARENTS);
    List<Reference> parents = new ArrayList<>();
    Map<List<String>, Boolean> parts = new HashMap<>();
    Set<List<Object>> distinct = new HashSet<>();
    for (Fields item : spec.mappings("parentRefs")) {
      Reference parent = GatewayReader.reference(item, GatewayReader.GROUP, "Gateway");
      item.finish();
      List<String> whole =
          List.of(
              parent.group(),
              parent.kind(),
              parent.namespace().orElse(meta.namespace()),
              parent.name());
      boolean part = parent.sectionName().isPresent() || parent.port().isPresent();
      if (parts.getOrDefault(whole, part) != part) {
        item.warning(
            "an API server refuses a parent with and without sectionName or port",
            "name what is meant each time");
      }
      parts.put(whole, part);
      if (distinct.add(List.of(whole, parent.sectionName(), parent.port()))) {
        parents.add(parent);
      } else {
        item.error(
            "the same parent occurs twice, which an API server refuses", "remove one of the two");
      }
    }
    String useDefault = spec.text("useDefaultGateways", "None");
    if (!useDefault.equals("None")) {
      spec.warning(
          "useDefaultGateways",
          "there are no default Gateways here",
          "name Gateways in parentRefs");
    }
    if (parents.isEmpty()) {
      spec.lint(
          Lint.NOT_ATTACHED,
          meta,
          "parentRefs",
          "is missing: the route serves nothing",
          "name a Gateway or Service");
    }
    return parents;
  }

  static List<String> hostnames(Fields spec) {
    spec.atMost("hostnames", MAX_HOSTNAMES);
    List<String> hostnames = new ArrayList<>();
    for (Located<String> hostname : spec.strings("hostnames")) {
      String name = GatewayReader.hostname(spec, "hostnames", hostname);
      if (!hostnames.contains(name)) {
        hostnames.add(name);
      }
    }
    return hostnames;
  }

  /** The name of a rule; empty when it has none. */
  String ruleName(Fields rule) {
    Optional<Located<String>> name = rule.string("name");
    if (name.isEmpty()) {
      return "";
    }
    String text = name.get().value();
    if (!Labels.isSubdomain(text)) {
      rule.error("name", "\"" + text + "\" is no name", "lower-case letters, digits, '-' and '.'");
    }
    if (!ruleNames.add(text)) {
      rule.error("name", "\"" + text + "\" occurs twice", "rename one of the two");
    }
    return text;
  }

  /** Warns of more rules, matches, filters and backends than the API's schema has place for. */
  static void count(Fields spec) {
    spec.atMost("rules", MAX_RULES);
    int matches = 0;
    for (Fields rule : spec.mappings("rules")) {
      rule.atMost("matches", MAX_MATCHES);
      rule.atMost("filters", MAX_ITEMS);
      rule.atMost("backendRefs", MAX_ITEMS);
      matches += rule.mappings("matches").size();
    }
    if (matches > MAX_ALL_MATCHES) {
      spec.warning(
          "rules",
          "has " + matches + " matches, and an API server refuses more than " + MAX_ALL_MATCHES,
          "split the route");
    }
  }

  /** A backend: a Service needs a port. */
  static Reference backend(Fields item) {
    Reference reference = GatewayReader.reference(item, "", "Service");
    if (reference.group().isEmpty()
        && reference.kind().equals("Service")
        && !item.has("port")
        && !reference.name().isEmpty()) {
      item.error("port", "is missing", "a backend that is a Service needs one");
    }
    return reference;
  }

  static int weight(Fields backend) {
    return backend.integer("weight", 0, MAX_WEIGHT).map(Located::value).orElse(1);
  }

  static Optional<SessionPersistence> session(Fields rule) {
    return rule.mapping("sessionPersistence").map(RouteReader::persistence);
  }

  private static SessionPersistence persistence(Fields fields) {
    SessionPersistence.Type type =
        fields
            .choice(
                "type",
                Map.of(
                    "Cookie",
                    SessionPersistence.Type.COOKIE,
                    "Header",
                    SessionPersistence.Type.HEADER))
            .orElse(SessionPersistence.Type.COOKIE);
    String name = fields.text("sessionName", "");
    if (!name.isEmpty() && (name.length() > 128 || !HttpNames.token(name))) {
      fields.error(
          "sessionName",
          "\"" + name + "\" names no cookie or header",
          "a token of RFC 9110, at most 128 characters");
    }
    long absolute = Durations.read(fields, "absoluteTimeout");
    long idle = Durations.read(fields, "idleTimeout");
    boolean permanent = false;
    Optional<Fields> cookie = fields.mapping("cookieConfig");
    if (cookie.isPresent()) {
      if (type != SessionPersistence.Type.COOKIE) {
        fields.error("cookieConfig", "goes with type Cookie only", "remove it");
      }
      permanent =
          cookie
              .get()
              .choice("lifetimeType", Map.of("Permanent", true, "Session", false))
              .orElse(false);
      cookie.get().finish();
    }
    if (permanent && !fields.has("absoluteTimeout")) {
      fields.error(
          "absoluteTimeout", "is missing", "a cookie of lifetimeType Permanent needs an end");
    }
    fields.finish();
    return new SessionPersistence(type, name, absolute, idle, permanent);
  }
}
