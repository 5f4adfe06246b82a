// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import dev.weir.policy.plan.ProxyPlan;
import dev.weir.policy.plan.ProxyPlan.Header;
import dev.weir.policy.plan.ProxyPlan.HeaderEdit;
import dev.weir.policy.plan.ProxyPlan.PathEdit;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Pattern;

/** Reads the filters of HTTPRoute and GRPCRoute. */
final class FilterReader {

  private static final Pattern ORIGIN =
      Pattern.compile(
          "https?://(\\*|(\\*\\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)"
              + "(:[1-9][0-9]{0,4})?");

  /** Headers that one filter sets, adds or removes, by the API's schema. */
  private static final int MAX_EDITS = 16;

  /** Where each type keeps what it says. */
  private static final Map<String, String> BODIES =
      Map.of(
          "RequestHeaderModifier", "requestHeaderModifier",
          "ResponseHeaderModifier", "responseHeaderModifier",
          "RequestRedirect", "requestRedirect",
          "URLRewrite", "urlRewrite",
          "RequestMirror", "requestMirror",
          "CORS", "cors",
          "ExternalAuth", "externalAuth",
          "ExtensionRef", "extensionRef");

  private final RouteReader route;
  private final Set<String> types;

  /**
   * One for a kind of route.
   *
   * @param types of filter that the kind knows
   */
  FilterReader(RouteReader route, Set<String> types) {
    this.route = route;
    this.types = types;
  }

  /** Filters of a rule. */
  List<HttpRoute.Filter> ofRule(Fields owner) {
    return read(owner);
  }

  /** Filters of one backend of a rule, where only headers can be changed. */
  List<HttpRoute.Filter> ofBackend(Fields owner) {
    List<HttpRoute.Filter> filters = read(owner);
    for (HttpRoute.Filter filter : filters) {
      boolean headers =
          filter instanceof HttpRoute.Filter.Plain(ProxyPlan.Filter plain)
              && (plain instanceof ProxyPlan.Filter.RequestHeaders
                  || plain instanceof ProxyPlan.Filter.ResponseHeaders);
      if (!headers) {
        route.never(
            owner,
            "filters",
            "on one backend only header modifiers are honoured",
            "put the filter on the rule");
      }
    }
    return filters;
  }

  private List<HttpRoute.Filter> read(Fields owner) {
    List<HttpRoute.Filter> filters = new ArrayList<>();
    Set<String> seen = new HashSet<>();
    for (Fields item : owner.mappings("filters")) {
      String type = item.required("type").value();
      if (!type.isEmpty() && !types.contains(type)) {
        item.error(
            "type",
            "is \"" + type + "\"",
            "one of: " + String.join(", ", types.stream().sorted().toList()));
        BODIES.values().forEach(item::ignore);
        item.finish();
        continue;
      }
      boolean repeatable = type.equals("RequestMirror") || type.equals("ExtensionRef");
      if (!repeatable && !type.isEmpty() && !seen.add(type)) {
        item.error("type", type + " occurs twice", "join the two");
      }
      BODIES.forEach(
          (other, key) -> {
            if (!other.equals(type) && !type.isEmpty() && item.has(key)) {
              item.error(
                  key, "does not go with type " + type, "remove it, or make it another filter");
            }
          });
      if (!type.isEmpty()) {
        Optional<Fields> body = item.mapping(BODIES.getOrDefault(type, ""));
        if (body.isEmpty()) {
          item.error(BODIES.getOrDefault(type, ""), "is missing", "the filter's type asks for it");
        } else {
          filter(item, type, body.get()).ifPresent(filters::add);
        }
      }
      item.finish();
    }
    return filters;
  }

  private Optional<HttpRoute.Filter> filter(Fields item, String type, Fields body) {
    return switch (type) {
      case "RequestHeaderModifier" -> plain(new ProxyPlan.Filter.RequestHeaders(edit(body)));
      case "ResponseHeaderModifier" -> plain(new ProxyPlan.Filter.ResponseHeaders(edit(body)));
      case "RequestRedirect" -> plain(redirect(body));
      case "URLRewrite" -> plain(rewrite(body));
      case "RequestMirror" -> Optional.of(mirror(body));
      case "CORS" -> plain(cors(body));
      case "ExternalAuth" -> {
        route.never(
            item,
            "type",
            "ExternalAuth is not honoured, and leaving it out would let everybody in",
            "say who may ask for what as AuthorizationPolicy");
        yield Optional.empty();
      }
      default -> {
        route.never(
            item,
            "type",
            "ExtensionRef to " + body.text("kind", "something") + " is not known to Weir",
            "say it with the API's own filters, or leave it out");
        yield Optional.empty();
      }
    };
  }

  private static Optional<HttpRoute.Filter> plain(ProxyPlan.Filter filter) {
    return Optional.of(new HttpRoute.Filter.Plain(filter));
  }

  private static HeaderEdit edit(Fields fields) {
    List<Header> set = headers(fields, "set");
    List<Header> add = headers(fields, "add");
    List<String> remove = new ArrayList<>();
    for (Located<String> name : fields.strings("remove")) {
      if (!HttpNames.token(name.value())) {
        fields.error("remove", "\"" + name.value() + "\" is no header name", "");
      }
      if (remove.contains(name.value())) {
        fields.warning(
            "remove", "\"" + name.value() + "\" occurs twice, which an API server refuses", "");
      }
      remove.add(name.value());
    }
    fields.atMost("set", MAX_EDITS);
    fields.atMost("add", MAX_EDITS);
    fields.atMost("remove", MAX_EDITS);
    fields.finish();
    return new HeaderEdit(set, add, remove);
  }

  private static List<Header> headers(Fields fields, String key) {
    List<Header> headers = new ArrayList<>();
    Set<String> names = new HashSet<>();
    for (Fields item : fields.mappings(key)) {
      String name = item.required("name").value();
      String value = item.required("value").value();
      if (!HttpNames.token(name)) {
        item.error("name", "\"" + name + "\" is no header name", "");
      }
      // An API server refuses the same name twice; of names that differ in case only, it lets the
      // first count.
      boolean again = !names.add(name.toLowerCase(Locale.ROOT));
      if (again && headers.stream().anyMatch(h -> h.name().equals(name))) {
        item.error("name", "\"" + name + "\" occurs twice", "join the values with a comma");
      } else if (again) {
        item.warning("name", "\"" + name + "\" occurs twice; only the first counts", "");
      }
      if (value.isEmpty() || value.length() > 4096) {
        item.error("value", "has " + value.length() + " characters", "1 to 4096");
      }
      if (value.chars().anyMatch(c -> c < ' ' && c != '\t' || c == 0x7f)) {
        item.error("value", "contains a control character", "remove it");
      }
      item.finish();
      if (!again) {
        headers.add(new Header(name, value));
      }
    }
    return headers;
  }

  private static ProxyPlan.Filter redirect(Fields fields) {
    Optional<String> scheme = fields.choice("scheme", Map.of("http", "http", "https", "https"));
    Optional<String> hostname = precise(fields);
    Optional<PathEdit> path = fields.mapping("path").flatMap(FilterReader::pathEdit);
    Optional<Integer> port = fields.integer("port", 1, 65535).map(Located::value);
    int status = fields.integer("statusCode", 301, 308).map(Located::value).orElse(302);
    if (!Set.of(301, 302, 303, 307, 308).contains(status)) {
      fields.error("statusCode", "is " + status, "one of: 301, 302, 303, 307, 308");
    }
    fields.finish();
    return new ProxyPlan.Filter.Redirect(scheme, hostname, path, port, status);
  }

  private static ProxyPlan.Filter rewrite(Fields fields) {
    Optional<String> hostname = precise(fields);
    Optional<PathEdit> path = fields.mapping("path").flatMap(FilterReader::pathEdit);
    fields.finish();
    return new ProxyPlan.Filter.Rewrite(hostname, path);
  }

  /** A host name without a wildcard. */
  private static Optional<String> precise(Fields fields) {
    Optional<String> hostname =
        fields.string("hostname").map(h -> GatewayReader.hostname(fields, "hostname", h));
    if (hostname.isPresent() && hostname.get().startsWith("*")) {
      fields.error("hostname", "a wildcard is no host to send anybody to", "name one host");
    }
    return hostname;
  }

  private static Optional<PathEdit> pathEdit(Fields fields) {
    String type = fields.required("type").value();
    Optional<Located<String>> full = fields.string("replaceFullPath");
    Optional<Located<String>> prefix = fields.string("replacePrefixMatch");
    path(fields, "replaceFullPath", full);
    path(fields, "replacePrefixMatch", prefix);
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

  /** What it says goes into request lines and Location headers as it is. */
  private static void path(Fields fields, String key, Optional<Located<String>> path) {
    String text = path.map(Located::value).orElse("");
    if (text.length() > 1024) {
      fields.error(key, "has " + text.length() + " characters", "at most 1024");
    } else if (!text.isEmpty() && !HttpRouteReader.PATH.matcher(text).matches()) {
      fields.error(
          key, "\"" + text + "\" has a character that no path can have", "percent-encode it");
    }
  }

  private static HttpRoute.Filter mirror(Fields fields) {
    Fields target = fields.mapping("backendRef").orElseGet(() -> fields.empty("backendRef"));
    Reference reference = RouteReader.backend(target);
    target.finish();
    int numerator = 100;
    int denominator = 100;
    Optional<Located<Integer>> percent = fields.integer("percent", 0, 100);
    Optional<Fields> fraction = fields.mapping("fraction");
    if (percent.isPresent() && fraction.isPresent()) {
      fields.error("fraction", "stands beside percent", "remove one of the two");
    }
    if (percent.isPresent()) {
      numerator = percent.get().value();
    } else if (fraction.isPresent()) {
      Fields parts = fraction.get();
      if (!parts.has("numerator")) {
        parts.error("numerator", "is missing", "");
      }
      numerator = parts.integer("numerator", 0, Integer.MAX_VALUE).map(Located::value).orElse(0);
      denominator =
          parts.integer("denominator", 1, Integer.MAX_VALUE).map(Located::value).orElse(100);
      if (numerator > denominator) {
        parts.error("numerator", "is more than the denominator", "at most " + denominator);
      }
      parts.finish();
    }
    fields.finish();
    return new HttpRoute.Filter.Mirror(reference, numerator, denominator);
  }

  private static ProxyPlan.Filter cors(Fields fields) {
    List<String> origins = new ArrayList<>();
    for (Located<String> origin : fields.strings("allowOrigins")) {
      String text = origin.value().toLowerCase(Locale.ROOT);
      if (!text.equals("*") && !ORIGIN.matcher(text).matches()) {
        fields.error(
            "allowOrigins",
            "\"" + origin.value() + "\" is no origin",
            "as https://shop.example, https://*.shop.example:8443, or * alone");
      }
      origins.add(text);
    }
    List<String> methods = new ArrayList<>();
    for (Located<String> method : fields.strings("allowMethods")) {
      if (!method.value().equals("*") && !HttpNames.METHODS.contains(method.value())) {
        fields.error("allowMethods", "\"" + method.value() + "\" is no method of HTTP", "");
      }
      methods.add(method.value());
    }
    List<String> headers = names(fields, "allowHeaders");
    List<String> expose = names(fields, "exposeHeaders");
    alone(fields, "allowOrigins", origins);
    alone(fields, "allowMethods", methods);
    alone(fields, "allowHeaders", headers);
    boolean credentials = fields.bool("allowCredentials", false);
    int maxAge = fields.integer("maxAge", 1, Integer.MAX_VALUE).map(Located::value).orElse(5);
    fields.finish();
    return new ProxyPlan.Filter.Cors(origins, credentials, methods, headers, expose, maxAge);
  }

  private static List<String> names(Fields fields, String key) {
    List<String> names = new ArrayList<>();
    for (Located<String> name : fields.strings(key)) {
      if (!HttpNames.token(name.value())) {
        fields.error(key, "\"" + name.value() + "\" is no header name", "");
      }
      names.add(name.value());
    }
    return names;
  }

  private static void alone(Fields fields, String key, List<String> values) {
    if (values.size() > 1 && values.contains("*")) {
      fields.error(key, "has * beside others", "* stands alone");
    }
    if (values.stream().distinct().count() < values.size()) {
      fields.error(key, "names one twice", "remove one of the two");
    }
  }
}
