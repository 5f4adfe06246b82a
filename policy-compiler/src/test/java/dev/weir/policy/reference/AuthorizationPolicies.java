// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.reference;

import dev.weir.policy.model.AuthorizationPolicy;
import dev.weir.policy.model.AuthorizationPolicy.Action;
import dev.weir.policy.model.AuthorizationPolicy.Condition;
import dev.weir.policy.model.AuthorizationPolicy.Operation;
import dev.weir.policy.model.AuthorizationPolicy.Patterns;
import dev.weir.policy.model.AuthorizationPolicy.Rule;
import dev.weir.policy.model.AuthorizationPolicy.Source;
import dev.weir.policy.model.Located;
import dev.weir.policy.model.Mesh;
import dev.weir.policy.model.PortReference;
import dev.weir.policy.model.Reference;
import dev.weir.policy.model.Resource;
import dev.weir.policy.model.Service;
import dev.weir.policy.model.Workload;
import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Protocol;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.function.BiPredicate;

/** Column (3) of the table. */
final class AuthorizationPolicies {

  private final List<Resource> resources;
  private final Mesh mesh;

  /** A connection, and what is known of what it carries. */
  private record Question(
      Optional<Principal> principal,
      Optional<Address> sourceIp,
      Optional<Address> destinationIp,
      int port,
      Attributes attributes) {}

  private record Principal(String trustDomain, String namespace, String account) {
    String name() {
      return trustDomain + "/ns/" + namespace + "/sa/" + account;
    }
  }

  AuthorizationPolicies(List<Resource> resources, Mesh mesh) {
    this.resources = resources;
    this.mesh = mesh;
  }

  Outcome ask(Party from, Party to, Protocol protocol, int port, Attributes attributes) {
    Optional<Workload> destination = NetworkPolicies.workload(to);
    if (destination.isEmpty()) {
      return Outcome.ALLOW;
    }
    Question question =
        new Question(
            principal(from),
            address(from),
            address(to),
            port,
            protocol == Protocol.TCP ? attributes : new Attributes.Never());
    Outcome enforced = table(destination.get(), protocol, question, false);
    if (enforced == Outcome.ALLOW
        && table(destination.get(), protocol, question, true) == Outcome.REFUSE) {
      return Outcome.AUDIT;
    }
    return enforced;
  }

  private Outcome table(
      Workload destination, Protocol protocol, Question question, boolean withAudited) {
    List<Answer> deny = new ArrayList<>();
    List<Answer> allow = new ArrayList<>();
    boolean allowPolicies = false;
    for (Resource resource : resources) {
      if (!(resource instanceof AuthorizationPolicy policy)
          || policy.audit() && !withAudited
          || !isAbout(policy, destination, protocol, question.port())) {
        continue;
      }
      for (Rule rule : policy.rules()) {
        if (policy.action() == Action.DENY) {
          deny.add(match(policy, rule, question));
        } else if (policy.action() == Action.ALLOW) {
          allow.add(match(policy, rule, question));
        }
      }
      allowPolicies |= policy.action() == Action.ALLOW;
    }
    if (Answer.any(deny) == Answer.YES) {
      return Outcome.REFUSE;
    }
    if (allowPolicies && Answer.any(allow) == Answer.NO) {
      return Outcome.REFUSE;
    }
    if (Answer.any(deny) == Answer.DEPENDS) {
      return Outcome.INSPECT;
    }
    if (allowPolicies && Answer.any(allow) != Answer.YES) {
      return Outcome.INSPECT;
    }
    return Outcome.ALLOW;
  }

  // Whom a policy is about.

  private boolean isAbout(
      AuthorizationPolicy policy, Workload destination, Protocol protocol, int port) {
    String namespace = destination.meta().namespace();
    if (!policy.targets().isEmpty()) {
      return policy.targets().stream()
          .anyMatch(target -> leads(policy, target, destination, protocol, port));
    }
    boolean inNamespace =
        policy.meta().namespace().equals(mesh.rootNamespace())
            || policy.meta().namespace().equals(namespace);
    return inNamespace
        && (policy.selector().isEmpty()
            || Labels.match(policy.selector().get(), destination.meta().labels()));
  }

  private boolean leads(
      AuthorizationPolicy policy,
      Reference target,
      Workload destination,
      Protocol protocol,
      int port) {
    if (!target.kind().equals("Service")) {
      return false;
    }
    for (Resource resource : resources) {
      if (resource instanceof Service service
          && service.meta().namespace().equals(policy.meta().namespace())
          && service.meta().name().equals(target.name())
          && leads(service, destination, protocol, port)) {
        return true;
      }
    }
    return false;
  }

  static boolean leads(Service service, Workload destination, Protocol protocol, int port) {
    if (service.externalName()
        || service.selector().isEmpty()
        || !service.meta().namespace().equals(destination.meta().namespace())
        || !destination.meta().labels().entrySet().containsAll(service.selector().entrySet())) {
      return false;
    }
    for (Service.Port virtual : service.ports()) {
      if (virtual.protocol() != protocol) {
        continue;
      }
      boolean leads =
          switch (virtual.target()) {
            case PortReference.Numbers(int first, int last) -> first == port;
            case PortReference.Named(String name) ->
                destination.ports().stream()
                    .anyMatch(
                        own ->
                            own.name().equals(name)
                                && own.protocol() == protocol
                                && own.port() == port);
          };
      if (leads) {
        return true;
      }
    }
    return false;
  }

  // Who is who.

  private Optional<Principal> principal(Party party) {
    return party instanceof Party.Declared(Workload workload)
        ? Optional.of(
            new Principal(
                mesh.trustDomain(),
                workload.meta().namespace(),
                workload.serviceAccount().isEmpty() ? "default" : workload.serviceAccount()))
        : Optional.empty();
  }

  String principalName(Party party) {
    return principal(party).map(Principal::name).orElse("");
  }

  static Optional<Address> address(Party party) {
    return switch (party) {
      case Party.Declared(Workload workload) -> {
        if (!workload.addresses().isEmpty()) {
          yield workload.addresses().stream().map(Located::value).findFirst();
        }
        yield workload.cgroup().isPresent() ? Optional.of(Address.LOOPBACK4) : Optional.empty();
      }
      case Party.TrustedAddress(Workload workload, Address address) -> Optional.of(address);
      case Party.Outside(Address address) -> Optional.of(address);
      case Party.Unknown unknown -> Optional.of(Address.LOOPBACK4);
      case Party.Host host -> Optional.of(Address.LOOPBACK4);
    };
  }

  // Rules.

  private static Answer match(AuthorizationPolicy policy, Rule rule, Question question) {
    List<Answer> parts = new ArrayList<>();
    if (!rule.from().isEmpty()) {
      parts.add(Answer.any(rule.from().stream().map(s -> source(policy, s, question)).toList()));
    }
    if (!rule.to().isEmpty()) {
      parts.add(Answer.any(rule.to().stream().map(o -> operation(policy, o, question)).toList()));
    }
    for (Condition condition : rule.when()) {
      parts.add(condition(policy, condition, question));
    }
    return Answer.all(parts);
  }

  private static Answer source(AuthorizationPolicy policy, Source source, Question question) {
    Optional<Principal> who = question.principal();
    return Answer.all(
        List.of(
            known(source.principals(), who.map(Principal::name), AuthorizationPolicies::text),
            known(source.namespaces(), who.map(Principal::namespace), AuthorizationPolicies::text),
            known(source.serviceAccounts(), who, (p, w) -> account(policy, p, w)),
            known(
                source.trustDomains(),
                who.map(Principal::trustDomain),
                AuthorizationPolicies::text),
            known(source.ipBlocks(), question.sourceIp(), Blocks::holds),
            request(policy, source.requestPrincipals(), question, r -> list(r.requestPrincipal())),
            remote(policy, source.remoteIpBlocks(), question)));
  }

  private static Answer operation(
      AuthorizationPolicy policy, Operation operation, Question question) {
    return Answer.all(
        List.of(
            known(operation.ports(), Optional.of(question.port()), AuthorizationPolicies::port),
            requestAny(
                policy,
                operation.hosts(),
                question,
                r -> List.of(r.host().toLowerCase(Locale.ROOT)),
                (pattern, host) -> text(pattern.toLowerCase(Locale.ROOT), host)),
            request(policy, operation.methods(), question, r -> List.of(r.method())),
            requestAny(
                policy,
                operation.paths(),
                question,
                r -> List.of(r.path()),
                AuthorizationPolicies::path)));
  }

  private static Answer condition(
      AuthorizationPolicy policy, Condition condition, Question question) {
    Optional<Principal> who = question.principal();
    Patterns values = condition.values();
    String key = condition.key();
    if (key.startsWith("request.headers[")) {
      String name = key.substring("request.headers[".length(), key.length() - 1);
      return request(
          policy,
          values,
          question,
          r -> list(Optional.ofNullable(r.headers().get(name.toLowerCase(Locale.ROOT)))));
    }
    if (key.startsWith("request.auth.claims[")) {
      String name = key.substring("request.auth.claims[".length(), key.length() - 1);
      return request(policy, values, question, r -> r.claims().getOrDefault(name, List.of()));
    }
    return switch (key) {
      case "source.ip" -> known(values, question.sourceIp(), Blocks::holds);
      case "destination.ip" -> known(values, question.destinationIp(), Blocks::holds);
      case "destination.port" ->
          known(values, Optional.of(question.port()), AuthorizationPolicies::port);
      case "source.principal" ->
          known(values, who.map(Principal::name), AuthorizationPolicies::text);
      case "source.namespace" ->
          known(values, who.map(Principal::namespace), AuthorizationPolicies::text);
      case "source.serviceAccount" -> known(values, who, (p, w) -> account(policy, p, w));
      case "source.trustDomain" ->
          known(values, who.map(Principal::trustDomain), AuthorizationPolicies::text);
      case "remote.ip" -> remote(policy, values, question);
      case "request.auth.principal" ->
          request(policy, values, question, r -> list(r.requestPrincipal()));
      case "connection.sni" -> request(policy, values, question, r -> list(r.serverName()));
      default -> throw new IllegalStateException("the reference does not know " + key);
    };
  }

  /** The original client is whoever asks: nobody in front is trusted to tell another. */
  private static Answer remote(AuthorizationPolicy policy, Patterns patterns, Question question) {
    return requestAny(policy, patterns, question, r -> list(question.sourceIp()), Blocks::holds);
  }

  private static <T> List<T> list(Optional<T> value) {
    return value.stream().toList();
  }

  // Fields.

  /** An attribute of the connection, which may be absent. */
  private static <T> Answer known(
      Patterns patterns, Optional<T> attribute, BiPredicate<String, T> is) {
    return Answer.of(holds(patterns, list(attribute), is));
  }

  /** Attributes of a request, as text. */
  private static Answer request(
      AuthorizationPolicy policy,
      Patterns patterns,
      Question question,
      java.util.function.Function<Attributes.Request, List<String>> attribute) {
    return requestAny(policy, patterns, question, attribute, AuthorizationPolicies::text);
  }

  private static <T> Answer requestAny(
      AuthorizationPolicy policy,
      Patterns patterns,
      Question question,
      java.util.function.Function<Attributes.Request, List<T>> attribute,
      BiPredicate<String, T> is) {
    if (patterns.values().isEmpty() && patterns.notValues().isEmpty()) {
      return Answer.YES;
    }
    return switch (question.attributes()) {
      case Attributes.NotYet notYet -> Answer.DEPENDS;
      case Attributes.Never never -> Answer.of(policy.action() == Action.DENY);
      case Attributes.Request request -> Answer.of(holds(patterns, attribute.apply(request), is));
    };
  }

  private static <T> boolean holds(
      Patterns patterns, List<T> attributes, BiPredicate<String, T> is) {
    boolean one = patterns.values().isEmpty();
    for (String value : patterns.values()) {
      one |= attributes.stream().anyMatch(a -> is.test(value, a));
    }
    for (String value : patterns.notValues()) {
      one &= attributes.stream().noneMatch(a -> is.test(value, a));
    }
    return one;
  }

  private static boolean text(String pattern, String value) {
    if (pattern.equals("*")) {
      return !value.isEmpty();
    }
    if (pattern.startsWith("*")) {
      return value.endsWith(pattern.substring(1));
    }
    if (pattern.endsWith("*")) {
      return value.startsWith(pattern.substring(0, pattern.length() - 1));
    }
    return value.equals(pattern);
  }

  /**
   * {@code {*}} is one segment, {@code {**}} any text after a slash, be it none: {@code /a/{**}} is
   * not {@code /a} (Istio, Authorization Policy, "Operation").
   */
  private static boolean path(String pattern, String path) {
    if (!pattern.contains("{*}") && !pattern.contains("{**}")) {
      return text(pattern, path);
    }
    List<String> wanted = List.of(pattern.split("/", -1));
    List<String> segments = List.of(path.split("/", -1));
    return segments(wanted, segments);
  }

  private static boolean segments(List<String> wanted, List<String> segments) {
    if (wanted.isEmpty()) {
      return segments.isEmpty();
    }
    String first = wanted.getFirst();
    List<String> rest = wanted.subList(1, wanted.size());
    if (first.equals("{**}")) {
      for (int taken = 1; taken <= segments.size(); taken++) {
        if (segments(rest, segments.subList(taken, segments.size()))) {
          return true;
        }
      }
      return false;
    }
    return !segments.isEmpty()
        && (first.equals("{*}")
            ? !segments.getFirst().isEmpty()
            : first.equals(segments.getFirst()))
        && segments(rest, segments.subList(1, segments.size()));
  }

  private static boolean port(String pattern, int port) {
    return Integer.parseInt(pattern) == port;
  }

  private static boolean account(AuthorizationPolicy policy, String pattern, Principal who) {
    String wanted = pattern.contains("/") ? pattern : policy.meta().namespace() + "/" + pattern;
    return wanted.equals(who.namespace() + "/" + who.account());
  }
}
