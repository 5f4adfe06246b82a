// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import dev.weir.policy.model.PolicyTest.Case;
import dev.weir.policy.model.PolicyTest.Expectation;
import dev.weir.policy.model.PolicyTest.Request;
import dev.weir.policy.model.PolicyTest.Verdict;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.source.Node;
import dev.weir.policy.source.Node.Scalar;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Pattern;

/** Reads {@code PolicyTest}. */
final class PolicyTestReader {

  private static final Pattern PERCENT = Pattern.compile("[0-9]{1,3}(\\.[0-9]{1,3})?%");

  private static final Map<String, Protocol> PROTOCOLS =
      Map.of("TCP", Protocol.TCP, "UDP", Protocol.UDP, "SCTP", Protocol.SCTP);

  private static final Map<String, Verdict> VERDICTS =
      Map.of(
          "allow", Verdict.ALLOW,
          "deny", Verdict.DENY,
          "inspect", Verdict.INSPECT,
          "audit", Verdict.AUDIT);

  private PolicyTestReader() {}

  static PolicyTest read(Meta meta, Fields object) {
    object.ignore("apiVersion", "kind", "metadata");
    List<Case> cases = new ArrayList<>();
    Optional<Fields> spec = object.mapping("spec");
    object.finish();
    if (spec.isEmpty() || spec.get().mappings("cases").isEmpty()) {
      object.error("has no cases", "add spec.cases: what cannot fail tests nothing");
      return new PolicyTest(meta, List.of());
    }
    for (Fields fields : spec.get().mappings("cases")) {
      readCase(fields).ifPresent(cases::add);
    }
    spec.get().finish();
    return new PolicyTest(meta, cases);
  }

  private static Optional<Case> readCase(Fields fields) {
    Located<String> name = fields.required("name");
    Located<String> from = fields.required("from");
    Located<String> to = fields.required("to");
    if (!fields.has("port")) {
      fields.error("port", "is missing", "");
    }
    Optional<Located<Integer>> port = fields.integer("port", 1, 65535);
    Protocol protocol = fields.choice("protocol", PROTOCOLS).orElse(Protocol.TCP);
    Optional<Request> request = fields.mapping("request").map(PolicyTestReader::request);
    Optional<Expectation> expect = expectation(fields, request.isPresent());
    if (request.isPresent() && protocol != Protocol.TCP) {
      fields.error("request", "goes over TCP only", "remove protocol or request");
    }
    if (to.value().startsWith("gateway/") && request.isEmpty()) {
      fields.error("request", "is missing: a Gateway is asked by requests", "add it");
    }
    fields.finish();
    return port.isEmpty() || expect.isEmpty()
        ? Optional.empty()
        : Optional.of(
            new Case(
                name.value(),
                from,
                to,
                protocol,
                port.get().value(),
                request,
                expect.get(),
                fields.at()));
  }

  private static Request request(Fields fields) {
    Request request =
        new Request(
            fields.text("method", "GET"),
            fields.text("host", ""),
            fields.text("path", "/"),
            fields.map("headers"));
    fields.finish();
    return request;
  }

  private static Optional<Expectation> expectation(Fields fields, boolean requested) {
    Optional<Node> node = fields.node("expect");
    if (node.isEmpty()) {
      fields.error("expect", "is missing", "one of: allow, audit, deny, inspect, or a mapping");
      return Optional.empty();
    }
    if (node.get() instanceof Scalar) {
      return fields
          .choice("expect", VERDICTS)
          .map(v -> new Expectation(Optional.of(v), Optional.empty(), Optional.empty(), Map.of()));
    }
    Optional<Fields> mapping = fields.mapping("expect");
    if (mapping.isEmpty()) {
      return Optional.empty();
    }
    Fields expect = mapping.get();
    Optional<Verdict> verdict = expect.choice("verdict", VERDICTS);
    Optional<String> route = expect.string("route").map(Located::value);
    Optional<Integer> status = expect.integer("status", 100, 599).map(Located::value);
    Map<String, Double> shares = shares(expect);
    boolean ofRequest = route.isPresent() || status.isPresent() || !shares.isEmpty();
    if (!ofRequest && verdict.isEmpty()) {
      expect.error("expects nothing", "verdict, route, status or shares");
    } else if (ofRequest && !requested) {
      expect.error("speaks of a request, but there is none", "add request to the case");
    }
    expect.finish();
    return Optional.of(new Expectation(verdict, route, status, shares));
  }

  private static Map<String, Double> shares(Fields expect) {
    Map<String, Double> shares = new LinkedHashMap<>();
    expect
        .map("shares")
        .forEach(
            (service, share) -> {
              if (PERCENT.matcher(share).matches()) {
                shares.put(
                    service, Double.parseDouble(share.substring(0, share.length() - 1)) / 100);
              } else {
                expect.error("shares", "\"" + share + "\" is no share", "as 90% or 0.5%");
              }
            });
    return shares;
  }
}
