// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.answer;

import dev.weir.policy.Analysis;
import dev.weir.policy.access.AccessQuestions;
import dev.weir.policy.access.AccessQuestions.Answer;
import dev.weir.policy.access.AccessQuestions.Decisive;
import dev.weir.policy.access.AccessQuestions.Match;
import dev.weir.policy.access.AskedRequest;
import dev.weir.policy.access.Destination;
import dev.weir.policy.answer.Explanation.Effect;
import dev.weir.policy.answer.Explanation.Finding;
import dev.weir.policy.answer.Explanation.Side;
import dev.weir.policy.model.AuthorizationPolicy;
import dev.weir.policy.model.Located;
import dev.weir.policy.model.Mesh;
import dev.weir.policy.model.PeerAuthentication;
import dev.weir.policy.model.Workload;
import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.Rule;
import dev.weir.policy.rbac.AccessDecision.Verdict;
import dev.weir.policy.rbac.AccessRules.Before;
import dev.weir.policy.rbac.Attributes;
import dev.weir.policy.rbac.Principal;
import dev.weir.policy.rbac.Token;
import dev.weir.policy.route.RequestTarget;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** What AuthorizationPolicies and PeerAuthentications of a destination say. */
final class Authorizations {

  private final List<Workload> workloads;
  private final String trustDomain;
  private final AccessQuestions questions;

  /**
   * What is asked, beside who and whom.
   *
   * @param request over the connection; empty when only the connection is asked about
   * @param plaintext the source is taken to come from elsewhere and without mutual TLS
   * @param here the connection is made on this node, be it for somebody elsewhere
   * @param opaque nobody will look at requests: what is sent is led on as it is
   */
  record Asked(Optional<Request> request, boolean plaintext, boolean here, boolean opaque) {
    static final Asked CONNECTION = new Asked(Optional.empty(), false, false, false);

    /** A connection of a TCPRoute or of TLS that is passed through. */
    static final Asked OPAQUE = new Asked(Optional.empty(), false, false, true);

    static Asked of(Request request) {
      return new Asked(Optional.of(request), false, false, false);
    }

    Asked fromHere() {
      return new Asked(request, plaintext, true, opaque);
    }
  }

  /**
   * What they say.
   *
   * @param enforced whether those that are not in audit let it pass
   * @param whole whether all of them together do
   * @param depends whether the request decides
   * @param findings what each says
   * @param decisive the rules that refuse it, enforced ones first; else those that allow it
   */
  record Reading(
      boolean enforced,
      boolean whole,
      boolean depends,
      List<Finding> findings,
      List<Decisive> decisive) {
    static final Reading NONE = new Reading(true, true, false, List.of(), List.of());
  }

  Authorizations(Analysis analysis) {
    this.workloads = analysis.cluster().workloads();
    Optional<Mesh> mesh = analysis.cluster().mesh();
    this.trustDomain = mesh.map(Mesh::trustDomain).orElse(Mesh.TRUST_DOMAIN);
    this.questions =
        new AccessQuestions(
            analysis.cluster(), mesh.map(Mesh::rootNamespace).orElse(Mesh.ROOT_NAMESPACE));
  }

  Reading read(Party from, Party to, Protocol protocol, int port, Asked asked) {
    if (!(to instanceof Party.Declared)) {
      return Reading.NONE;
    }
    Destination destination = destination(to, protocol, port);
    Attributes attributes = attributes(from, to, port, asked);
    boolean overWire =
        protocol == Protocol.TCP
            && !asked.here()
            && (asked.plaintext() || from instanceof Party.Outside);
    Answer answer = questions.ask(destination, attributes, overWire);
    boolean strict = answer.rules().stream().anyMatch(d -> d.action().equals("MTLS"));
    boolean enforced = answer.verdict() != Verdict.REFUSE;
    boolean whole = answer.verdict() == Verdict.ALLOW;
    boolean depends = false;
    if (asked.request().isEmpty() && !asked.opaque()) {
      boolean requests = protocol == Protocol.TCP;
      Before before = questions.before(destination, attributes, requests, false);
      enforced = !strict && before != Before.REFUSE;
      depends = !strict && before == Before.DEPENDS;
      // Policies in audit are asked only where the enforced ones let everything pass.
      whole =
          enforced
              && (depends
                  || questions.before(destination, attributes, requests, true) != Before.REFUSE);
    }
    List<Finding> findings = new ArrayList<>();
    if (depends) {
      for (AuthorizationPolicy policy : questions.about(destination)) {
        findings.add(
            new Finding(
                rule(policy), Side.INGRESS, Effect.DEPENDS, "has rules that ask for the request"));
      }
    } else {
      for (Decisive decisive : answer.rules()) {
        findings.add(finding(decisive, enforced && whole));
      }
    }
    return new Reading(enforced, whole, depends, findings, answer.rules());
  }

  private Rule rule(AuthorizationPolicy policy) {
    return new Rule(
        policy.kind(),
        policy.meta().namespace(),
        policy.meta().name(),
        "",
        policy.meta().at().file(),
        policy.meta().at().line());
  }

  private static Finding finding(Decisive decisive, boolean passes) {
    String audit = decisive.audit() ? ", but only to report it" : "";
    return switch (decisive.action()) {
      case "DENY" ->
          new Finding(decisive.rule(), Side.INGRESS, Effect.REFUSES, "matches and denies" + audit);
      case "MTLS" ->
          new Finding(
              decisive.rule(),
              Side.INGRESS,
              Effect.REFUSES,
              "demands mutual TLS, and this peer comes in plain text");
      case "AUDIT" ->
          new Finding(decisive.rule(), Side.INGRESS, Effect.REPORTS, "matches and reports it");
      default ->
          passes
              ? new Finding(decisive.rule(), Side.INGRESS, Effect.ALLOWS, "matches and allows it")
              : new Finding(
                  decisive.rule(),
                  Side.INGRESS,
                  Effect.ISOLATES,
                  "demands that a rule allows it, and none of its rules does" + audit);
    };
  }

  /** The PeerAuthentications that count for a destination, from the narrowest. */
  List<PeerAuthentication> peers(Party to, int port) {
    return questions.counting(destination(to, Protocol.TCP, port));
  }

  /** The policies about a destination. */
  List<AuthorizationPolicy> about(Party to, Protocol protocol, int port) {
    return questions.about(destination(to, protocol, port));
  }

  /** The rules of policies that match, whatever comes of it. */
  List<Match> matching(Party from, Party to, Protocol protocol, int port, Asked asked) {
    return questions.matching(destination(to, protocol, port), attributes(from, to, port, asked));
  }

  private Destination destination(Party to, Protocol protocol, int port) {
    Workload workload = workload(to).orElseThrow();
    return new Destination(
        workload.meta().namespace(),
        workload.meta().labels(),
        "",
        port,
        Optional.of(new Destination.Listening(protocol, workload.ports())));
  }

  private Optional<Workload> workload(Party party) {
    return party instanceof Party.Declared declared
        ? Optional.of(workloads.get(declared.index()))
        : Optional.empty();
  }

  /** Who a party is authenticated as. */
  Principal principal(Party party, boolean plaintext) {
    return plaintext
        ? Principal.NONE
        : workload(party)
            .map(
                w ->
                    Principal.of(
                        trustDomain,
                        w.meta().namespace(),
                        w.serviceAccount().isEmpty() ? "default" : w.serviceAccount()))
            .orElse(Principal.NONE);
  }

  /** Its own, else loopback; of a workload elsewhere that names none, nowhere. */
  Address address(Party party) {
    return switch (party) {
      case Party.Outside outside -> outside.address();
      case Party.Declared declared -> {
        Workload workload = workloads.get(declared.index());
        yield workload
            .address()
            .map(Located::value)
            .orElse(workload.onThisNode() ? Address.LOOPBACK4 : Attributes.NOWHERE);
      }
      default -> Address.LOOPBACK4;
    };
  }

  private Attributes attributes(Party from, Party to, int port, Asked asked) {
    Optional<Request> request = asked.request();
    Address source = address(from);
    return new AskedRequest(
        request.isPresent(),
        principal(from, asked.plaintext()),
        source,
        source,
        address(to),
        port,
        "",
        request.map(Request::authority).orElse(""),
        request.map(Request::method).orElse(""),
        request.map(r -> new RequestTarget(r.path(), r.query(), !r.query().isEmpty())),
        request.map(Request::headers).orElse(Map.of()),
        Token.NONE);
  }
}
