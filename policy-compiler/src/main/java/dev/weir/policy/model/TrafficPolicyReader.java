// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import dev.weir.policy.plan.TrafficPolicy.CanaryRollback;
import dev.weir.policy.plan.TrafficPolicy.CircuitLimits;
import dev.weir.policy.plan.TrafficPolicy.ConnectionRate;
import dev.weir.policy.plan.TrafficPolicy.HealthCheck;
import dev.weir.policy.plan.TrafficPolicy.HealthCheckType;
import dev.weir.policy.plan.TrafficPolicy.Level;
import dev.weir.policy.plan.TrafficPolicy.Locality;
import dev.weir.policy.plan.TrafficPolicy.OutlierEjection;
import dev.weir.policy.plan.TrafficPolicy.PacketRate;
import dev.weir.policy.plan.TrafficPolicy.ProxyUnavailable;
import dev.weir.policy.plan.TrafficPolicy.RequestKey;
import dev.weir.policy.plan.TrafficPolicy.RequestRate;
import dev.weir.policy.plan.TrafficPolicy.RequestRates;
import dev.weir.policy.plan.TrafficPolicy.Scope;
import dev.weir.policy.plan.TrafficPolicy.Setting;
import dev.weir.policy.plan.TrafficPolicy.SlowStart;
import dev.weir.policy.plan.TrafficPolicy.StickyKey;
import dev.weir.policy.plan.TrafficPolicy.StickySplit;
import dev.weir.policy.plan.TrafficPolicy.Unavailable;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import java.util.regex.Pattern;

/** Reads {@code weir.dev/v1alpha1 TrafficPolicy}. */
final class TrafficPolicyReader {

  private static final String GATEWAY_GROUP = "gateway.networking.k8s.io";

  /** Kinds a policy may be attached to, with their groups. */
  private static final Map<String, String> TARGETS =
      Map.of(
          "Service", "",
          "Workload", "weir.dev",
          "Gateway", GATEWAY_GROUP,
          "HTTPRoute", GATEWAY_GROUP,
          "GRPCRoute", GATEWAY_GROUP);

  private static final Set<String> SERVED = Set.of("Service");
  private static final Set<String> DIALLED = Set.of("Service", "Workload");
  private static final Set<String> REQUESTED =
      Set.of("Service", "Gateway", "HTTPRoute", "GRPCRoute");
  private static final Set<String> ROUTES = Set.of("HTTPRoute", "GRPCRoute");

  private static final int MAX_TARGETS = 16;
  private static final int MAX_RATE = 1_000_000_000;
  private static final int MAX_RATES = 16;
  private static final int MAX_COUNT = 1_000_000;

  /** 400 days; browsers keep none for longer (RFC 6265bis, 5.5). */
  private static final long LONGEST_COOKIE_MILLIS = 9600L * 3_600_000;

  private static final Map<String, Scope> SCOPES =
      Map.of("Total", Scope.TOTAL, "SourceIdentity", Scope.SOURCE_IDENTITY);

  /** RFC 9110, 5.1. */
  private static final Pattern HEADER = Pattern.compile("[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}");

  private static final Pattern HOST =
      Pattern.compile("[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*");

  private final Fields spec;
  private final List<Reference> targets = new ArrayList<>();
  private final List<Located<Setting>> settings = new ArrayList<>();

  private TrafficPolicyReader(Fields spec) {
    this.spec = spec;
  }

  static Optional<Resource> read(Meta meta, Fields object) {
    object.ignore("apiVersion", "kind", "metadata", "status");
    Optional<Fields> found = object.mapping("spec");
    object.finish();
    if (found.isEmpty()) {
      object.error("spec", "is missing", "say what it is about: targetRefs");
      return Optional.empty();
    }
    return Optional.of(new TrafficPolicyReader(found.get()).read(meta));
  }

  private Resource read(Meta meta) {
    List<Fields> items = spec.mappings("targetRefs");
    if (items.isEmpty() || items.size() > MAX_TARGETS) {
      spec.error(
          "targetRefs",
          items.isEmpty() ? "is missing or empty" : "has more than " + MAX_TARGETS + " targets",
          "name the Services, routes, Gateways or Workloads it is about");
    }
    items.forEach(this::target);
    spec.mapping("rateLimit").ifPresent(this::rateLimit);
    spec.mapping("outlierEjection").ifPresent(this::outlierEjection);
    spec.mapping("circuitLimits").ifPresent(this::circuitLimits);
    spec.mapping("healthCheck").ifPresent(this::healthCheck);
    spec.mapping("locality").ifPresent(this::locality);
    spec.mapping("canaryRollback").ifPresent(this::canaryRollback);
    spec.mapping("slowStart").ifPresent(this::slowStart);
    spec.mapping("stickySplit").ifPresent(this::stickySplit);
    spec.choice(
            "proxyUnavailable", Map.of("Refuse", Unavailable.REFUSE, "Bypass", Unavailable.BYPASS))
        .ifPresent(action -> add(spec, "proxyUnavailable", SERVED, new ProxyUnavailable(action)));
    spec.finish();
    if (settings.isEmpty()) {
      spec.warning("targetRefs", "the policy says nothing about its targets", "remove it");
    }
    return new TrafficPolicy(meta, targets, settings);
  }

  private void target(Fields item) {
    Located<String> kind = item.required("kind");
    String group = item.text("group", "");
    Located<String> name = item.required("name");
    Optional<String> section = item.string("sectionName").map(Located::value);
    item.finish();
    if (kind.value().isEmpty() || name.value().isEmpty()) {
      return;
    }
    String expected = TARGETS.get(kind.value());
    if (expected == null) {
      item.error(
          "kind",
          "\"" + kind.value() + "\" is nothing a TrafficPolicy can be about",
          "one of: " + String.join(", ", TARGETS.keySet().stream().sorted().toList()));
      return;
    }
    if (!group.equals(expected)) {
      item.error(
          item.has("group") ? "group" : "kind",
          kind.value() + " is not a kind of group \"" + group + "\"",
          "write group: " + (expected.isEmpty() ? "\"\"" : expected));
      return;
    }
    if (section.isPresent() && kind.value().equals("Workload")) {
      item.error("sectionName", "a Workload has no sections", "remove it");
      return;
    }
    targets.add(
        new Reference(
            group,
            kind.value(),
            Optional.empty(),
            name.value(),
            section,
            OptionalInt.empty(),
            item.at(),
            item.path()));
  }

  /** Adds a setting, unless it means nothing for one of the targets. */
  private void add(Fields fields, String key, Set<String> kinds, Setting setting) {
    for (Reference target : targets) {
      if (!kinds.contains(target.kind())) {
        fields.error(
            key,
            "means nothing for a " + target.kind() + ", as " + target.field() + " is one",
            "it is for: " + String.join(", ", kinds.stream().sorted().toList()));
        return;
      }
    }
    settings.add(new Located<>(setting, fields.at(key), fields.path(key)));
  }

  private void rateLimit(Fields fields) {
    fields
        .mapping("connections")
        .flatMap(TrafficPolicyReader::rate)
        .ifPresent(
            r ->
                add(
                    fields,
                    "connections",
                    DIALLED,
                    new ConnectionRate(r.perSecond(), r.burst(), r.scope())));
    fields
        .mapping("packets")
        .flatMap(TrafficPolicyReader::rate)
        .ifPresent(
            r ->
                add(
                    fields,
                    "packets",
                    DIALLED,
                    new PacketRate(r.perSecond(), r.burst(), r.scope())));
    List<RequestRate> rates = new ArrayList<>();
    List<Fields> items = fields.mappings("requests");
    for (Fields item : items) {
      requestRate(item).ifPresent(rates::add);
    }
    if (items.size() > MAX_RATES) {
      fields.error("requests", "has more than " + MAX_RATES + " rates", "");
    }
    if (!rates.isEmpty()) {
      add(fields, "requests", REQUESTED, new RequestRates(rates));
    }
    fields.finish();
  }

  private record Rate(int perSecond, int burst, Scope scope) {}

  private static Optional<Rate> rate(Fields fields) {
    Optional<Integer> perSecond = required(fields, "perSecond", 1, MAX_RATE);
    Optional<Integer> burst = optional(fields, "burst", 1, MAX_RATE);
    Scope scope = fields.choice("scope", SCOPES).orElse(Scope.TOTAL);
    fields.finish();
    return perSecond.map(n -> new Rate(n, burst.orElse(n), scope));
  }

  private static Optional<RequestRate> requestRate(Fields fields) {
    Optional<Integer> requests = required(fields, "requests", 1, MAX_RATE);
    int unit = fields.choice("unit", Map.of("Second", 1, "Minute", 60, "Hour", 3600)).orElse(1);
    Optional<Integer> burst = optional(fields, "burst", 1, MAX_RATE);
    Fields by = fields.mapping("by").orElseGet(() -> fields.empty("by"));
    if (fields.has("by") && !by.has("type")) {
      by.error("type", "is missing", "Total, SourceIdentity or Header");
    }
    RequestKey key =
        by.choice(
                "type",
                Map.of(
                    "Total", RequestKey.TOTAL,
                    "SourceIdentity", RequestKey.SOURCE_IDENTITY,
                    "Header", RequestKey.HEADER))
            .orElse(RequestKey.TOTAL);
    String header = by.text("header", "");
    if (key == RequestKey.HEADER && !HEADER.matcher(header).matches()) {
      by.error(
          "header",
          by.has("header") ? "\"" + header + "\" is no name of a header" : "is missing",
          "as x-tenant");
    } else if (key != RequestKey.HEADER && by.has("header")) {
      by.error("header", "means nothing without type: Header", "remove it");
    }
    by.finish();
    fields.finish();
    return requests.map(
        n -> new RequestRate(n, unit, burst.orElse(n), key, header.toLowerCase(Locale.ROOT)));
  }

  private void outlierEjection(Fields fields) {
    int errors = optional(fields, "consecutiveErrors", 1, MAX_COUNT).orElse(5);
    int interval = Durations.withinADay(fields, "interval", 10_000);
    int base = Durations.withinADay(fields, "baseEjectionTime", 30_000);
    int percent = optional(fields, "maxEjectedPercent", 1, 100).orElse(50);
    fields.finish();
    add(spec, "outlierEjection", SERVED, new OutlierEjection(errors, interval, base, percent));
  }

  private void circuitLimits(Fields fields) {
    Optional<Integer> connections = optional(fields, "maxConnections", 1, MAX_COUNT);
    Optional<Integer> pending = optional(fields, "maxPendingRequests", 1, MAX_COUNT);
    Optional<Integer> requests = optional(fields, "maxRequests", 1, MAX_COUNT);
    Optional<Integer> retries = optional(fields, "maxRetries", 1, MAX_COUNT);
    fields.finish();
    if (connections.isEmpty() && pending.isEmpty() && requests.isEmpty() && retries.isEmpty()) {
      fields.error(
          "limits nothing", "maxConnections, maxPendingRequests, maxRequests or maxRetries");
      return;
    }
    add(
        spec,
        "circuitLimits",
        SERVED,
        new CircuitLimits(
            connections.orElse(0), pending.orElse(0), requests.orElse(0), retries.orElse(0)));
  }

  private void healthCheck(Fields fields) {
    if (!fields.has("type")) {
      fields.error("type", "is missing", "HTTP, TCP or GRPC");
    }
    Optional<HealthCheckType> type =
        fields.choice(
            "type",
            Map.of(
                "HTTP", HealthCheckType.HTTP,
                "TCP", HealthCheckType.TCP,
                "GRPC", HealthCheckType.GRPC));
    int port = optional(fields, "port", 1, 65535).orElse(0);
    boolean http = type.filter(t -> t == HealthCheckType.HTTP).isPresent();
    String path = fields.text("path", http ? "/" : "");
    if (http && (!path.startsWith("/") || path.length() > 1024)) {
      fields.error("path", "\"" + path + "\" is no path", "as /healthz");
    }
    String host = fields.text("host", "");
    if (!host.isEmpty() && (host.length() > 253 || !HOST.matcher(host).matches())) {
      fields.error("host", "\"" + host + "\" is no host name", "as shop.example");
    }
    int interval = Durations.withinADay(fields, "interval", 10_000);
    int timeout = Durations.withinADay(fields, "timeout", Math.min(1000, interval));
    if (timeout > interval) {
      fields.error(
          "timeout", "is longer than interval", "an answer is due before the next question");
    }
    int healthy = optional(fields, "healthyThreshold", 1, 100).orElse(2);
    int unhealthy = optional(fields, "unhealthyThreshold", 1, 100).orElse(3);
    Fields status =
        fields.mapping("expectedStatus").orElseGet(() -> fields.empty("expectedStatus"));
    int first = optional(status, "first", 100, 599).orElse(200);
    int last = optional(status, "last", 100, 599).orElse(Math.max(first, 299));
    if (last < first) {
      status.error("last", "is smaller than first", "");
    }
    status.finish();
    fields.finish();
    if (type.isPresent() && !http) {
      for (String key : List.of("path", "host", "expectedStatus")) {
        if (fields.has(key)) {
          fields.error(key, "means nothing without type: HTTP", "remove it");
        }
      }
    }
    type.ifPresent(
        t ->
            add(
                spec,
                "healthCheck",
                SERVED,
                new HealthCheck(
                    t, port, path, host, interval, timeout, healthy, unhealthy, first, last)));
  }

  private void locality(Fields fields) {
    List<Level> levels = new ArrayList<>();
    for (Located<String> text : fields.strings("prefer")) {
      Optional<Level> level =
          switch (text.value()) {
            case "Node" -> Optional.of(Level.NODE);
            case "Zone" -> Optional.of(Level.ZONE);
            default -> Optional.empty();
          };
      if (level.isEmpty() || levels.contains(level.get())) {
        fields.error(
            "prefer",
            level.isEmpty()
                ? "\"" + text.value() + "\" is no locality"
                : text.value() + " occurs twice",
            "Node, Zone or both, the nearest first");
      } else {
        levels.add(level.get());
      }
    }
    fields.finish();
    if (levels.isEmpty()) {
      fields.error("prefer", "is missing or empty", "Node, Zone or both, the nearest first");
      return;
    }
    if (levels.indexOf(Level.ZONE) == 0 && levels.size() > 1) {
      fields.error("prefer", "has Zone before Node, which lies in it", "the nearest first");
      return;
    }
    add(spec, "locality", SERVED, new Locality(levels));
  }

  private void canaryRollback(Fields fields) {
    Fields backend = fields.mapping("backend").orElseGet(() -> fields.empty("backend"));
    if (!fields.has("backend")) {
      fields.error("backend", "is missing", "name the Service that is on trial");
    }
    String name = fields.has("backend") ? backend.required("name").value() : "";
    String namespace = backend.text("namespace", "");
    backend.finish();
    Optional<Integer> errors = optional(fields, "errorMarginPercent", 0, 100);
    Optional<Integer> p99 = optional(fields, "p99MarginPercent", 0, MAX_COUNT);
    int window = Durations.withinADay(fields, "window", 300_000);
    int minimum = optional(fields, "minimumRequests", 1, MAX_RATE).orElse(100);
    fields.finish();
    if (errors.isEmpty() && p99.isEmpty()) {
      fields.error("never rolls back", "errorMarginPercent, p99MarginPercent or both");
      return;
    }
    if (window < 1000) {
      fields.error("window", "is shorter than a second", "as 5m");
      return;
    }
    if (!name.isEmpty()) {
      add(
          spec,
          "canaryRollback",
          ROUTES,
          new CanaryRollback(
              namespace.isEmpty() ? name : namespace + "/" + name,
              errors.orElse(-1),
              p99.orElse(-1),
              window / 1000,
              minimum));
    }
  }

  private void slowStart(Fields fields) {
    if (!fields.has("window")) {
      fields.error("window", "is missing", "as 30s");
    }
    int window = Durations.withinADay(fields, "window", 30_000);
    fields.finish();
    add(spec, "slowStart", SERVED, new SlowStart(window));
  }

  private void stickySplit(Fields fields) {
    if (!fields.has("type")) {
      fields.error("type", "is missing", "Cookie, Header or SourceIdentity");
    }
    Optional<StickyKey> type =
        fields.choice(
            "type",
            Map.of(
                "Cookie", StickyKey.COOKIE,
                "Header", StickyKey.HEADER,
                "SourceIdentity", StickyKey.SOURCE_IDENTITY));
    String name = fields.text("name", "");
    boolean named = type.filter(t -> t != StickyKey.SOURCE_IDENTITY).isPresent();
    if (named && !HEADER.matcher(name).matches()) {
      fields.error(
          "name",
          fields.has("name") ? "\"" + name + "\" is no name of a cookie or header" : "is missing",
          "as x-user");
    } else if (type.isPresent() && !named && fields.has("name")) {
      fields.error("name", "means nothing with type: SourceIdentity", "remove it");
    }
    long lifetime = Durations.read(fields, "cookieLifetime");
    if (fields.has("cookieLifetime")) {
      if (lifetime < 1000 || lifetime > LONGEST_COOKIE_MILLIS) {
        fields.error("cookieLifetime", "is not from 1s to 9600h", "as 720h");
      }
      if (type.filter(t -> t != StickyKey.COOKIE).isPresent()) {
        fields.error("cookieLifetime", "means nothing without type: Cookie", "remove it");
      }
    }
    fields.finish();
    type.ifPresent(
        key ->
            add(
                spec,
                "stickySplit",
                ROUTES,
                new StickySplit(
                    key,
                    key == StickyKey.HEADER ? name.toLowerCase(Locale.ROOT) : name,
                    (int) (lifetime / 1000))));
  }

  private static Optional<Integer> required(Fields fields, String key, int min, int max) {
    if (!fields.has(key)) {
      fields.error(key, "is missing", "a number from " + min + " to " + max);
    }
    return optional(fields, key, min, max);
  }

  private static Optional<Integer> optional(Fields fields, String key, int min, int max) {
    return fields.integer(key, min, max).map(Located::value);
  }
}
