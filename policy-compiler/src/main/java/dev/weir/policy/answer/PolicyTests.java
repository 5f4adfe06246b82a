// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.answer;

import dev.weir.policy.Analysis;
import dev.weir.policy.Compilation.Compiled;
import dev.weir.policy.model.Located;
import dev.weir.policy.model.PolicyTest;
import dev.weir.policy.model.PolicyTest.Case;
import dev.weir.policy.model.PolicyTest.Expectation;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.Rule;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;

/** Asks what {@code PolicyTest} documents expect, and compares. */
public final class PolicyTests {

  /** Shares are exact by construction; this is for what people round. */
  private static final double TOLERANCE = 0.0005;

  private final Analysis analysis;
  private final Explainer explainer;

  /**
   * One case and how it went.
   *
   * @param test {@code namespace/name} of its document
   * @param question the case
   * @param failures what was expected and what was found instead; none when it holds
   * @param decidedBy the rule that the answer is due to
   */
  public record Outcome(
      String test, Case question, List<Mismatch> failures, Optional<Rule> decidedBy) {
    /** Copies the list. */
    public Outcome {
      failures = List.copyOf(failures);
    }

    /** Whether the answer is as expected. */
    public boolean passed() {
      return failures.isEmpty();
    }
  }

  /**
   * An answer that is not as expected.
   *
   * @param field of the expectation
   * @param expected by the test
   * @param found in the policies
   */
  public record Mismatch(String field, String expected, String found) {}

  /** Asks about compiled files. */
  public PolicyTests(Analysis analysis, Compiled compiled) {
    this.analysis = analysis;
    this.explainer = new Explainer(analysis, compiled);
  }

  /** All cases of all documents, by namespace, name and place. */
  public List<Outcome> run() {
    List<Outcome> outcomes = new ArrayList<>();
    for (PolicyTest test : analysis.cluster().all(PolicyTest.class)) {
      for (Case question : test.cases()) {
        outcomes.add(run(test, question));
      }
    }
    return outcomes;
  }

  private Outcome run(PolicyTest test, Case question) {
    String name = test.meta().qualifiedName();
    try {
      return answer(test, question);
    } catch (Explainer.UnclearException e) {
      return new Outcome(
          name,
          question,
          List.of(new Mismatch("", "an answer", String.valueOf(e.getMessage()))),
          Optional.empty());
    }
  }

  private Outcome answer(PolicyTest test, Case question) throws Explainer.UnclearException {
    String namespace = test.meta().namespace();
    Protocol protocol = question.protocol();
    Party from = party(namespace, question.from(), protocol, 0);
    Optional<Request> request = Optional.empty();
    if (question.request().isPresent()) {
      PolicyTest.Request asked = question.request().get();
      request = Request.of(asked.method(), asked.host(), asked.path(), asked.headers());
      if (request.isEmpty()) {
        throw new Explainer.UnclearException(
            "\"" + asked.path() + "\" is no path: the proxy answers 400");
      }
    }
    String to = question.to().value();
    Explanation explanation;
    if (to.startsWith("gateway/")) {
      String gateway = to.substring("gateway/".length());
      explanation =
          explainer.throughGateway(
              from,
              gateway.contains("/") ? gateway : namespace + "/" + gateway,
              question.port(),
              request.orElseThrow());
    } else {
      Party destination = party(namespace, question.to(), protocol, question.port());
      explanation =
          request.isPresent()
              ? explainer.explain(from, destination, question.port(), request.get())
              : explainer.explain(from, destination, protocol, question.port());
    }
    return new Outcome(
        test.meta().qualifiedName(),
        question,
        compare(question.expect(), explanation),
        Optional.of(explanation.decidedBy()));
  }

  /** A bare name is looked for in the test's namespace, then everywhere. */
  private Party party(String namespace, Located<String> name, Protocol protocol, int port)
      throws Explainer.UnclearException {
    String text = name.value();
    int slash = text.lastIndexOf('/');
    String prefix = slash < 0 ? "" : text.substring(0, slash + 1);
    boolean bare = slash < 0 || List.of("service/", "svc/", "workload/").contains(prefix);
    if (bare) {
      try {
        return explainer.party(
            prefix + namespace + "/" + text.substring(slash + 1), protocol, port);
      } catch (Explainer.UnclearException nobodyThere) {
        return explainer.party(text, protocol, port);
      }
    }
    return explainer.party(text, protocol, port);
  }

  private static List<Mismatch> compare(Expectation expect, Explanation found) {
    List<Mismatch> failures = new ArrayList<>();
    expect
        .verdict()
        .ifPresent(
            verdict -> {
              String expected = verdict.name().toLowerCase(Locale.ROOT);
              String word = found.word();
              if (!word.equals(expected)) {
                failures.add(new Mismatch("verdict", expected, word + ": " + found.why()));
              }
            });
    Optional<Explanation.Routed> routed = found.routed();
    expect
        .route()
        .ifPresent(
            route -> {
              String name = routed.map(Explanation.Routed::route).orElse("");
              if (!name.equals(route)) {
                failures.add(
                    new Mismatch("route", orNone(route, "no route"), orNone(name, "no route")));
              }
            });
    expect
        .status()
        .ifPresent(
            status -> {
              int answered = routed.map(Explanation.Routed::status).orElse(0);
              if (answered != status) {
                failures.add(
                    new Mismatch(
                        "status",
                        String.valueOf(status),
                        answered == 0 ? "the answer of a backend" : String.valueOf(answered)));
              }
            });
    if (!expect.shares().isEmpty()) {
      Map<String, Double> shares = new TreeMap<>();
      routed
          .map(Explanation.Routed::shares)
          .orElse(List.of())
          .forEach(s -> shares.merge(s.service(), s.fraction(), Double::sum));
      if (!same(expect.shares(), shares)) {
        failures.add(new Mismatch("shares", text(expect.shares()), text(shares)));
      }
    }
    return failures;
  }

  private static String orNone(String text, String none) {
    return text.isEmpty() ? none : text;
  }

  private static boolean same(Map<String, Double> expected, Map<String, Double> found) {
    Map<String, Double> all = new TreeMap<>(found);
    expected.keySet().forEach(service -> all.putIfAbsent(service, 0.0));
    return all.entrySet().stream()
        .allMatch(
            e -> Math.abs(e.getValue() - expected.getOrDefault(e.getKey(), 0.0)) <= TOLERANCE);
  }

  private static String text(Map<String, Double> shares) {
    List<String> parts = new ArrayList<>();
    new TreeMap<>(shares)
        .forEach(
            (service, fraction) ->
                parts.add(
                    (service.isEmpty() ? "status 500" : service)
                        + " "
                        + Routing.Share.percent(fraction)));
    return parts.isEmpty() ? "nobody" : String.join(", ", parts);
  }
}
