// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import dev.weir.policy.plan.ProxyPlan.Match;
import dev.weir.policy.plan.ProxyPlan.PathMatch;
import dev.weir.policy.plan.ProxyPlan.RouteKind;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Pattern;

/** Reads {@code gateway.networking.k8s.io GRPCRoute}. */
final class GrpcRouteReader {

  /** As long as the API lets a service or a method be. */
  private static final int MAX_NAME = 1024;

  private static final Pattern SERVICE =
      Pattern.compile("(?i)\\.?[a-z_][a-z_0-9]*(\\.[a-z_][a-z_0-9]*)*");

  private static final Pattern METHOD = Pattern.compile("[A-Za-z_][A-Za-z_0-9]*");

  private static final Set<String> FILTERS =
      Set.of("RequestHeaderModifier", "ResponseHeaderModifier", "RequestMirror", "ExtensionRef");

  private final RouteReader route = new RouteReader();
  private final FilterReader filters = new FilterReader(route, FILTERS);

  private GrpcRouteReader() {}

  static Resource read(Meta meta, Fields object) {
    return new GrpcRouteReader().route(meta, object);
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
    spec.finish();
    return new HttpRoute(RouteKind.GRPC, meta, parents, hostnames, rules, route.limits());
  }

  private HttpRoute.Rule rule(Fields item) {
    String name = route.ruleName(item);
    List<Match> matches = new ArrayList<>();
    for (Fields match : item.mappings("matches")) {
      PathMatch path =
          match
              .mapping("method")
              .map(GrpcRouteReader::method)
              .orElseGet(() -> HttpRouteReader.any().path());
      var headers = HttpNames.matches(match, "headers", true);
      match.finish();
      matches.add(new Match(path, headers, List.of(), Optional.empty()));
    }
    if (matches.isEmpty()) {
      matches.add(HttpRouteReader.any());
    }
    List<HttpRoute.Filter> ruleFilters = filters.ofRule(item);
    List<HttpRoute.Backend> backends = new ArrayList<>();
    for (Fields backend : item.mappings("backendRefs")) {
      Reference reference = RouteReader.backend(backend);
      int weight = RouteReader.weight(backend);
      backends.add(new HttpRoute.Backend(reference, weight, filters.ofBackend(backend)));
      backend.finish();
    }
    var session = RouteReader.session(item);
    item.finish();
    return new HttpRoute.Rule(
        name, matches, ruleFilters, backends, 0, 0, Optional.empty(), session, item.at());
  }

  private static PathMatch method(Fields fields) {
    String type = fields.text("type", "Exact");
    String service = fields.text("service", "");
    String method = fields.text("method", "");
    boolean regex = type.equals("RegularExpression");
    fields.finish();
    if (!regex && !type.equals("Exact")) {
      fields.error("type", "is \"" + type + "\"", "one of: Exact, RegularExpression");
    }
    if (service.isEmpty() && method.isEmpty()) {
      fields.error("names neither service nor method", "name one, or leave the match out");
      return HttpRouteReader.any().path();
    }
    if (service.length() > MAX_NAME || method.length() > MAX_NAME) {
      fields.error("is longer than a name can be", "at most " + MAX_NAME + " characters each");
    }
    if (regex) {
      return new PathMatch.Grpc(
          service.isEmpty() ? "" : HttpNames.regex(fields, "service", service),
          method.isEmpty() ? "" : HttpNames.regex(fields, "method", method),
          true);
    }
    if (!service.isEmpty() && !SERVICE.matcher(service).matches()) {
      fields.error("service", "\"" + service + "\" is no service of gRPC", "as shop.v1.Cart");
    }
    if (!method.isEmpty() && !METHOD.matcher(method).matches()) {
      fields.error("method", "\"" + method + "\" is no method of gRPC", "as GetCart");
    }
    return new PathMatch.Grpc(service, method, false);
  }
}
