// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import com.google.re2j.PatternSyntaxException;
import dev.weir.policy.plan.ProxyPlan.Filter;
import dev.weir.policy.plan.ProxyPlan.Header;
import dev.weir.policy.plan.ProxyPlan.HeaderEdit;
import dev.weir.policy.plan.ProxyPlan.Match;
import dev.weir.policy.plan.ProxyPlan.PathEdit;
import dev.weir.policy.plan.ProxyPlan.PathMatch;
import dev.weir.policy.plan.ProxyPlan.ValueMatch;
import dev.weir.policy.route.RegularExpression;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Reads {@code gateway.networking.k8s.io HTTPRoute}. */
final class HttpRouteReader {

  private static final int MAX_WEIGHT = 1_000_000;

  private static final Pattern TOKEN = Pattern.compile("[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}");

  /** GEP-2257. */
  private static final Pattern DURATION = Pattern.compile("([0-9]{1,5}(h|m|s|ms)){1,4}");

  private static final Pattern DURATION_PART = Pattern.compile("([0-9]{1,5})(ms|h|m|s)");

  private static final Set<String> METHODS =
      Set.of("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH");

  /** Filters that the API allows once in a list. */
  private static final Set<String> MODIFIERS =
      Set.of("RequestHeaderModifier", "ResponseHeaderModifier", "RequestRedirect", "URLRewrite");

  private HttpRouteReader() {}

  static Resource read(Meta meta, Fields object) {
    object.ignore("apiVersion", "kind", "metadata", "status");
    Fields spec = object.mapping("spec").orElseGet(() -> object.empty("spec"));
    object.finish();
    List<Reference> parents = new ArrayList<>();
    for (Fields item : spec.mappings("parentRefs")) {
      Reference parent = GatewayReader.reference(item, GatewayReader.GROUP, "Gateway");
      item.finish();
      parents.add(parent);
    }
    if (parents.isEmpty()) {
      spec.warning(
          "parentRefs", "is missing: the route serves nothing", "name a Gateway or Service");
    }
    List<String> hostnames = new ArrayList<>();
    for (Located<String> hostname : spec.strings("hostnames")) {
      hostnames.add(GatewayReader.hostname(spec, "hostnames", hostname));
    }
    spec.ignore("useDefaultGateways");
    List<HttpRoute.Rule> rules = new ArrayList<>();
    Set<String> names = new HashSet<>();
    for (Fields item : spec.mappings("rules")) {
      rules.add(rule(item, names));
    }
    if (!spec.has("rules")) {
      // The API's default: one rule that matches everything, without backends.
      rules.add(new HttpRoute.Rule(List.of(any()), List.of(), List.of(), 0, 0, spec.at()));
    }
    spec.finish();
    return new HttpRoute(meta, parents, hostnames, rules);
  }

  private static Match any() {
    return new Match(new PathMatch.Prefix("/"), List.of(), List.of(), Optional.empty());
  }

  private static HttpRoute.Rule rule(Fields item, Set<String> names) {
    Optional<Located<String>> name = item.string("name");
    if (name.isPresent() && !names.add(name.get().value())) {
      item.error("name", "\"" + name.get().value() + "\" occurs twice", "rename one of the two");
    }
    List<Match> matches = new ArrayList<>();
    for (Fields match : item.mappings("matches")) {
      matches.add(match(match));
    }
    if (matches.isEmpty()) {
      matches.add(any());
    }
    List<Filter> filters = filters(item);
    List<HttpRoute.Backend> backends = new ArrayList<>();
    for (Fields backend : item.mappings("backendRefs")) {
      backends.add(backend(backend));
    }
    boolean redirects = filters.stream().anyMatch(Filter.Redirect.class::isInstance);
    if (redirects && !backends.isEmpty()) {
      item.error("backendRefs", "a rule that redirects has no backends", "remove one of the two");
    }
    if (redirects && filters.stream().anyMatch(Filter.Rewrite.class::isInstance)) {
      item.error("filters", "RequestRedirect and URLRewrite exclude each other", "remove one");
    }
    boolean prefixEdit = filters.stream().anyMatch(HttpRouteReader::replacesPrefix);
    if (prefixEdit && !matches.stream().allMatch(m -> m.path() instanceof PathMatch.Prefix)) {
      item.error(
          "filters",
          "ReplacePrefixMatch needs every match of the rule to be of type PathPrefix",
          "use ReplaceFullPath, or split the rule");
    }
    long request = 0;
    long backend = 0;
    Optional<Fields> timeouts = item.mapping("timeouts");
    if (timeouts.isPresent()) {
      request = duration(timeouts.get(), "request");
      backend = duration(timeouts.get(), "backendRequest");
      if (request > 0 && backend > request) {
        timeouts.get().error("backendRequest", "is longer than request", "make it shorter");
      }
      timeouts.get().finish();
    }
    item.unsupported("retry", "leave it out until it is");
    item.unsupported("sessionPersistence", "leave it out until it is");
    item.finish();
    return new HttpRoute.Rule(matches, filters, backends, request, backend, item.at());
  }

  private static boolean replacesPrefix(Filter filter) {
    return switch (filter) {
      case Filter.Redirect redirect ->
          redirect.path().filter(PathEdit.Prefix.class::isInstance).isPresent();
      case Filter.Rewrite rewrite ->
          rewrite.path().filter(PathEdit.Prefix.class::isInstance).isPresent();
      default -> false;
    };
  }

  private static long duration(Fields fields, String key) {
    Optional<Located<String>> text = fields.string(key);
    if (text.isEmpty()) {
      return 0;
    }
    if (!DURATION.matcher(text.get().value()).matches()) {
      fields.error(key, "\"" + text.get().value() + "\" is no duration", "as 500ms, 10s or 1m30s");
      return 0;
    }
    long millis = 0;
    Matcher part = DURATION_PART.matcher(text.get().value());
    while (part.find()) {
      long unit =
          switch (part.group(2)) {
            case "h" -> 3_600_000;
            case "m" -> 60_000;
            case "s" -> 1000;
            default -> 1;
          };
      millis += Long.parseLong(part.group(1)) * unit;
    }
    return millis;
  }

  private static HttpRoute.Backend backend(Fields item) {
    Reference reference = GatewayReader.reference(item, "", "Service");
    int weight = item.integer("weight", 0, MAX_WEIGHT).map(Located::value).orElse(1);
    List<Filter> filters = filters(item);
    for (Filter filter : filters) {
      if (!(filter instanceof Filter.RequestHeaders || filter instanceof Filter.ResponseHeaders)) {
        item.error(
            "filters", "on one backend only header modifiers are honoured", "put it on the rule");
      }
    }
    item.finish();
    return new HttpRoute.Backend(reference, weight, filters);
  }

  private static Match match(Fields fields) {
    PathMatch path =
        fields.mapping("path").map(HttpRouteReader::path).orElse(new PathMatch.Prefix("/"));
    List<ValueMatch> headers = values(fields, "headers", true);
    List<ValueMatch> query = values(fields, "queryParams", false);
    Optional<Located<String>> method = fields.string("method");
    if (method.isPresent() && !METHODS.contains(method.get().value())) {
      fields.error(
          "method",
          "\"" + method.get().value() + "\" is no method of HTTP",
          "one of: " + String.join(", ", METHODS.stream().sorted().toList()));
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
      case "RegularExpression" -> new PathMatch.Regex(regex(fields, "value", value));
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
    return path;
  }

  private static String regex(Fields fields, String key, String pattern) {
    try {
      return RegularExpression.compile(pattern).pattern();
    } catch (PatternSyntaxException e) {
      fields.error(
          key,
          "is no regular expression: " + e.getDescription() + ": " + e.getPattern(),
          "RE2 syntax: no back-references, no look-around, at most "
              + RegularExpression.MAX_LENGTH
              + " characters");
      return "";
    }
  }

  private static List<ValueMatch> values(Fields fields, String key, boolean header) {
    List<ValueMatch> values = new ArrayList<>();
    Set<String> names = new HashSet<>();
    for (Fields item : fields.mappings(key)) {
      String type = item.text("type", "Exact");
      Located<String> name = item.required("name");
      Located<String> value = item.required("value");
      if (!TOKEN.matcher(name.value()).matches()) {
        item.error("name", "\"" + name.value() + "\" is no name", "a token of RFC 9110");
      }
      boolean regex = type.equals("RegularExpression");
      if (!regex && !type.equals("Exact")) {
        item.error("type", "is \"" + type + "\"", "one of: Exact, RegularExpression");
      }
      String text = regex ? regex(item, "value", value.value()) : value.value();
      String canonical = header ? name.value().toLowerCase(Locale.ROOT) : name.value();
      // Of several entries with one name, the API lets only the first count.
      if (names.add(canonical)) {
        values.add(new ValueMatch(canonical, text, regex));
      } else {
        item.warning("name", "\"" + name.value() + "\" occurs twice; only the first counts", "");
      }
      item.finish();
    }
    return values;
  }

  private static List<Filter> filters(Fields owner) {
    List<Filter> filters = new ArrayList<>();
    Set<String> types = new HashSet<>();
    for (Fields item : owner.mappings("filters")) {
      String type = item.required("type").value();
      if (!types.add(type) && MODIFIERS.contains(type)) {
        item.error("type", type + " occurs twice", "join the two");
      }
      switch (type) {
        case "RequestHeaderModifier" ->
            edit(item, "requestHeaderModifier")
                .ifPresent(e -> filters.add(new Filter.RequestHeaders(e)));
        case "ResponseHeaderModifier" ->
            edit(item, "responseHeaderModifier")
                .ifPresent(e -> filters.add(new Filter.ResponseHeaders(e)));
        case "RequestRedirect" ->
            body(item, "requestRedirect").ifPresent(f -> filters.add(redirect(f)));
        case "URLRewrite" -> body(item, "urlRewrite").ifPresent(f -> filters.add(rewrite(f)));
        case "" -> {}
        default -> {
          item.error(
              "type", "the filter " + type + " is not honoured yet", "leave it out until it is");
          item.ignore("requestMirror", "extensionRef", "cors", "externalAuth");
        }
      }
      item.finish();
    }
    return filters;
  }

  private static Optional<Fields> body(Fields item, String key) {
    Optional<Fields> body = item.mapping(key);
    if (body.isEmpty()) {
      item.error(key, "is missing", "the filter's type asks for it");
    }
    return body;
  }

  private static Optional<HeaderEdit> edit(Fields item, String key) {
    return body(item, key)
        .map(
            fields -> {
              List<Header> set = headers(fields, "set");
              List<Header> add = headers(fields, "add");
              List<String> remove = new ArrayList<>();
              for (Located<String> name : fields.strings("remove")) {
                if (!TOKEN.matcher(name.value()).matches()) {
                  fields.error("remove", "\"" + name.value() + "\" is no header name", "");
                }
                remove.add(name.value());
              }
              fields.finish();
              return new HeaderEdit(set, add, remove);
            });
  }

  private static List<Header> headers(Fields fields, String key) {
    List<Header> headers = new ArrayList<>();
    for (Fields item : fields.mappings(key)) {
      String name = item.required("name").value();
      String value = item.required("value").value();
      if (!TOKEN.matcher(name).matches()) {
        item.error("name", "\"" + name + "\" is no header name", "");
      }
      if (value.chars().anyMatch(c -> c < ' ' && c != '\t' || c == 0x7f)) {
        item.error("value", "contains a control character", "remove it");
      }
      item.finish();
      headers.add(new Header(name, value));
    }
    return headers;
  }

  private static Filter redirect(Fields fields) {
    Optional<String> scheme = fields.choice("scheme", Map.of("http", "http", "https", "https"));
    Optional<String> hostname =
        fields.string("hostname").map(h -> GatewayReader.hostname(fields, "hostname", h));
    Optional<PathEdit> path = fields.mapping("path").flatMap(HttpRouteReader::pathEdit);
    Optional<Integer> port = fields.integer("port", 1, 65535).map(Located::value);
    int status = fields.integer("statusCode", 301, 308).map(Located::value).orElse(302);
    if (!Set.of(301, 302, 303, 307, 308).contains(status)) {
      fields.error("statusCode", "is " + status, "one of: 301, 302, 303, 307, 308");
    }
    fields.finish();
    return new Filter.Redirect(scheme, hostname, path, port, status);
  }

  private static Filter rewrite(Fields fields) {
    Optional<String> hostname =
        fields.string("hostname").map(h -> GatewayReader.hostname(fields, "hostname", h));
    Optional<PathEdit> path = fields.mapping("path").flatMap(HttpRouteReader::pathEdit);
    fields.finish();
    return new Filter.Rewrite(hostname, path);
  }

  private static Optional<PathEdit> pathEdit(Fields fields) {
    String type = fields.required("type").value();
    Optional<Located<String>> full = fields.string("replaceFullPath");
    Optional<Located<String>> prefix = fields.string("replacePrefixMatch");
    fields.finish();
    if (type.equals("ReplaceFullPath") && full.isPresent() && prefix.isEmpty()) {
      return Optional.of(new PathEdit.Full(full.get().value()));
    }
    if (type.equals("ReplacePrefixMatch") && prefix.isPresent() && full.isEmpty()) {
      return Optional.of(new PathEdit.Prefix(prefix.get().value()));
    }
    if (!type.isEmpty()) {
      fields.error(
          "type",
          "is \"" + type + "\", which does not go with the fields beside it",
          "ReplaceFullPath with replaceFullPath, or ReplacePrefixMatch with replacePrefixMatch");
    }
    return Optional.empty();
  }
}
