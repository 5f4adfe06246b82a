// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import dev.weir.policy.plan.ProxyPlan;
import dev.weir.policy.plan.ProxyPlan.Match;
import dev.weir.policy.plan.ProxyPlan.PathEdit;
import dev.weir.policy.plan.ProxyPlan.PathMatch;
import dev.weir.policy.plan.ProxyPlan.Retry;
import dev.weir.policy.plan.ProxyPlan.RouteKind;
import dev.weir.policy.route.RequestTarget;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Pattern;

/** Reads {@code gateway.networking.k8s.io HTTPRoute}. */
final class HttpRouteReader {

  private static final int MAX_PATH = 1024;

  /** The API's pattern for paths: pchar of RFC 3986 and slashes. */
  static final Pattern PATH = Pattern.compile("(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2})+");

  private static final Set<String> FILTERS =
      Set.of(
          "RequestHeaderModifier",
          "ResponseHeaderModifier",
          "RequestRedirect",
          "URLRewrite",
          "RequestMirror",
          "CORS",
          "ExternalAuth",
          "ExtensionRef");

  private final RouteReader route = new RouteReader();
  private final FilterReader filters = new FilterReader(route, FILTERS);

  private HttpRouteReader() {}

  static Resource read(Meta meta, Fields object) {
    return new HttpRouteReader().route(meta, object);
  }

  private Resource route(Meta meta, Fields object) {
    object.ignore("apiVersion", "kind", "metadata", "status");
    Fields spec = object.mapping("spec").orElseGet(() -> object.empty("spec"));
    object.finish();
    List<Reference> parents = route.parents(spec, meta);
    List<String> hostnames = RouteReader.hostnames(spec);
    RouteReader.count(spec);
    List<HttpRoute.Rule> rules = new ArrayList<>();
    for (Fields item : spec.mappings("rules")) {
      rules.add(rule(item));
    }
    if (!spec.has("rules")) {
      // The API's default: one rule that matches everything, without backends.
      rules.add(
          new HttpRoute.Rule(
              "",
              List.of(any()),
              List.of(),
              List.of(),
              0,
              0,
              Optional.empty(),
              Optional.empty(),
              spec.at()));
    }
    spec.finish();
    return new HttpRoute(RouteKind.HTTP, meta, parents, hostnames, rules, route.limits());
  }

  static Match any() {
    return new Match(new PathMatch.Prefix("/"), List.of(), List.of(), Optional.empty());
  }

  private HttpRoute.Rule rule(Fields item) {
    String name = route.ruleName(item);
    List<Match> matches = new ArrayList<>();
    for (Fields match : item.mappings("matches")) {
      matches.add(match(match));
    }
    if (matches.isEmpty()) {
      matches.add(any());
    }
    List<HttpRoute.Filter> ruleFilters = filters.ofRule(item);
    List<HttpRoute.Backend> backends = new ArrayList<>();
    for (Fields backend : item.mappings("backendRefs")) {
      backends.add(backend(backend));
    }
    together(item, matches, plain(ruleFilters), backends);
    long request = 0;
    long backend = 0;
    Optional<Fields> timeouts = item.mapping("timeouts");
    if (timeouts.isPresent()) {
      request = Durations.read(timeouts.get(), "request");
      backend = Durations.read(timeouts.get(), "backendRequest");
      if (request > 0 && backend > request) {
        timeouts.get().error("backendRequest", "is longer than request", "make it shorter");
      }
      timeouts.get().finish();
    }
    Optional<Retry> retry = item.mapping("retry").map(HttpRouteReader::retry);
    var session = RouteReader.session(item);
    item.finish();
    return new HttpRoute.Rule(
        name, matches, ruleFilters, backends, request, backend, retry, session, item.at());
  }

  static List<ProxyPlan.Filter> plain(List<HttpRoute.Filter> filters) {
    return filters.stream()
        .filter(HttpRoute.Filter.Plain.class::isInstance)
        .map(f -> ((HttpRoute.Filter.Plain) f).filter())
        .toList();
  }

  /** What cannot be in one rule together. */
  private static void together(
      Fields item,
      List<Match> matches,
      List<ProxyPlan.Filter> filters,
      List<HttpRoute.Backend> backends) {
    boolean redirects = filters.stream().anyMatch(ProxyPlan.Filter.Redirect.class::isInstance);
    if (redirects && !backends.isEmpty()) {
      item.error("backendRefs", "a rule that redirects has no backends", "remove one of the two");
    }
    if (redirects && filters.stream().anyMatch(ProxyPlan.Filter.Rewrite.class::isInstance)) {
      item.error("filters", "RequestRedirect and URLRewrite exclude each other", "remove one");
    }
    if (filters.stream().anyMatch(HttpRouteReader::replacesPrefix)) {
      if (!matches.stream().allMatch(m -> m.path() instanceof PathMatch.Prefix)) {
        item.error(
            "filters",
            "ReplacePrefixMatch needs every match of the rule to be of type PathPrefix",
            "use ReplaceFullPath, or split the rule");
      } else if (matches.size() > 1) {
        item.warning(
            "filters",
            "an API server refuses ReplacePrefixMatch in a rule with several matches",
            "split the rule");
      }
    }
  }

  private static boolean replacesPrefix(ProxyPlan.Filter filter) {
    return switch (filter) {
      case ProxyPlan.Filter.Redirect redirect ->
          redirect.path().filter(PathEdit.Prefix.class::isInstance).isPresent();
      case ProxyPlan.Filter.Rewrite rewrite ->
          rewrite.path().filter(PathEdit.Prefix.class::isInstance).isPresent();
      default -> false;
    };
  }

  private static Retry retry(Fields fields) {
    List<Integer> codes = new ArrayList<>();
    for (Located<Integer> code : fields.integers("codes", 400, 599)) {
      if (!codes.contains(code.value())) {
        codes.add(code.value());
      }
    }
    // The API leaves the number open; one more try is what does least harm.
    int attempts = fields.integer("attempts", 0, Integer.MAX_VALUE).map(Located::value).orElse(1);
    long backoff = Durations.read(fields, "backoff");
    fields.finish();
    return new Retry(codes, attempts, backoff);
  }

  private HttpRoute.Backend backend(Fields item) {
    Reference reference = RouteReader.backend(item);
    int weight = RouteReader.weight(item);
    List<HttpRoute.Filter> own = filters.ofBackend(item);
    item.finish();
    return new HttpRoute.Backend(reference, weight, own);
  }

  private static Match match(Fields fields) {
    PathMatch path =
        fields.mapping("path").map(HttpRouteReader::path).orElse(new PathMatch.Prefix("/"));
    var headers = HttpNames.matches(fields, "headers", true);
    var query = HttpNames.matches(fields, "queryParams", false);
    Optional<Located<String>> method = fields.string("method");
    if (method.isPresent() && !HttpNames.METHODS.contains(method.get().value())) {
      fields.error(
          "method",
          "\"" + method.get().value() + "\" is no method of HTTP",
          "one of: " + String.join(", ", HttpNames.METHODS.stream().sorted().toList()));
    }
    fields.finish();
    return new Match(path, headers, query, method.map(Located::value));
  }

  private static PathMatch path(Fields fields) {
    String type = fields.text("type", "PathPrefix");
    String value = fields.text("value", "/");
    fields.finish();
    return switch (type) {
      case "Exact" -> new PathMatch.Exact(absolute(fields, value));
      case "PathPrefix" -> {
        String prefix = absolute(fields, value);
        // A trailing slash makes no difference to a match by elements.
        yield new PathMatch.Prefix(
            prefix.length() > 1 && prefix.endsWith("/")
                ? prefix.substring(0, prefix.length() - 1)
                : prefix);
      }
      case "RegularExpression" -> new PathMatch.Regex(HttpNames.regex(fields, "value", value));
      default -> {
        fields.error("type", "is \"" + type + "\"", "one of: Exact, PathPrefix, RegularExpression");
        yield new PathMatch.Prefix("/");
      }
    };
  }

  private static String absolute(Fields fields, String path) {
    if (!path.startsWith("/")) {
      fields.error("value", "\"" + path + "\" does not begin with a slash", "");
    }
    for (String bad : List.of("//", "/./", "/../", "%2f", "%2F", "#")) {
      if (path.contains(bad)) {
        fields.error("value", "\"" + path + "\" contains " + bad, "write it without");
      }
    }
    if (path.endsWith("/..") || path.endsWith("/.")) {
      fields.error("value", "\"" + path + "\" ends with a dot segment", "write it without");
    }
    if (path.length() > MAX_PATH) {
      fields.error("value", "has " + path.length() + " characters", "at most " + MAX_PATH);
    } else if (!path.isEmpty() && !path.contains("#") && !PATH.matcher(path).matches()) {
      fields.error(
          "value",
          "\"" + path + "\" has a character that no path can have",
          "percent-encode it: a request with it would never be matched");
    }
    // Requests are compared in this form, so that /%7ecart and /~cart are one path.
    return RequestTarget.parse(path).map(RequestTarget::path).orElse(path);
  }
}
