// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.rbac;

import dev.weir.policy.plan.AccessPlan.Condition;
import dev.weir.policy.plan.Address;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/**
 * One value of a condition, ready to be compared.
 *
 * <p>What is absent matches nothing. So "none of the not-values" holds for it: Istio writes
 * not-values as the negation of a match, and Envoy's match of a missing header, principal or claim
 * is false (envoy.config.rbac.v3 {@code not_rule}, {@code not_id}; HeaderMatcher, "if the header is
 * missing, the match is false").
 */
interface Matcher {

  /** Whether the value matches. */
  boolean matches(Attributes attributes);

  /** The matcher of a condition's value. */
  static Matcher of(Condition condition, String value) {
    return switch (condition.attribute()) {
      case SOURCE_IP -> address(value, Attributes::sourceAddress);
      case REMOTE_IP -> address(value, Attributes::remoteAddress);
      case DESTINATION_IP -> address(value, Attributes::destinationAddress);
      case SOURCE_PRINCIPAL -> text(value, a -> a.principal().text());
      case SOURCE_NAMESPACE -> text(value, a -> a.principal().namespace());
      case SOURCE_TRUST_DOMAIN -> text(value, a -> a.principal().trustDomain());
      case SOURCE_SERVICE_ACCOUNT -> a -> a.principal().account().equals(value);
      case DESTINATION_PORT -> {
        int port = Integer.parseInt(value);
        yield a -> a.destinationPort() == port;
      }
      case CONNECTION_SNI -> text(value, Attributes::serverName);
      case FILTER_METADATA -> a -> false;
      case HOST -> host(value);
      case METHOD -> text(value, Attributes::method);
      case PATH -> path(value);
      case HEADER -> header(condition.names().getFirst(), value);
      case REQUEST_PRINCIPAL -> requestPrincipal(value);
      case REQUEST_AUDIENCES -> claim(List.of("aud"), value);
      case REQUEST_PRESENTER -> claim(List.of("azp"), value);
      case REQUEST_CLAIM -> claim(condition.names(), value);
    };
  }

  /** How a matcher gets at a text. */
  interface Text {
    String of(Attributes attributes);
  }

  /** How a matcher gets at an address. */
  interface Place {
    Address of(Attributes attributes);
  }

  private static Matcher text(String pattern, Text text) {
    StringMatch match = StringMatch.of(pattern);
    return a -> {
      String value = text.of(a);
      return !value.isEmpty() && match.matches(value);
    };
  }

  private static Matcher address(String pattern, Place place) {
    IpRange range = IpRange.of(pattern);
    return a -> range.contains(place.of(a));
  }

  private static Matcher path(String pattern) {
    if (PathTemplate.isTemplate(pattern)) {
      PathTemplate template = PathTemplate.of(pattern);
      return a -> template.matches(a.path());
    }
    return text(pattern, Attributes::path);
  }

  /** Hosts are compared without regard to case (RFC 3986 3.2.2). */
  private static Matcher host(String pattern) {
    StringMatch match = StringMatch.of(pattern);
    String text = match.text();
    int length = text.length();
    return switch (match.kind()) {
      case EXACT -> a -> a.host().equalsIgnoreCase(text);
      case PREFIX -> a -> a.host().regionMatches(true, 0, text, 0, length);
      case SUFFIX -> a -> a.host().regionMatches(true, a.host().length() - length, text, 0, length);
      case PRESENCE -> a -> !a.host().isEmpty();
    };
  }

  /** A header; {@code *} asks whether it is there, if only empty (Envoy, {@code present_match}). */
  private static Matcher header(String written, String pattern) {
    String name = written.toLowerCase(Locale.ROOT);
    return switch (name) {
      case ":authority", "host" -> text(pattern, Attributes::host);
      case ":method" -> text(pattern, Attributes::method);
      case ":path" -> text(pattern, Attributes::target);
      default -> {
        StringMatch match = StringMatch.of(pattern);
        yield match.kind() == StringMatch.Kind.PRESENCE
            ? a -> a.header(name).isPresent()
            : a -> {
              Optional<String> value = a.header(name);
              return value.isPresent() && match.matches(value.get());
            };
      }
    };
  }

  /** The last slash parts issuer and subject, since an issuer may be a URL. */
  private static Matcher requestPrincipal(String pattern) {
    int slash = pattern.lastIndexOf('/');
    String issuer = slash < 0 ? pattern : pattern.substring(0, slash);
    String subject = pattern.substring(slash + 1);
    StringMatch any = StringMatch.of("*");
    if (pattern.equals("*")) {
      return requestPrincipal(any, any);
    }
    if (pattern.startsWith("*")) {
      return slash < 0
          ? requestPrincipal(any, StringMatch.of(pattern))
          : requestPrincipal(
              StringMatch.of(issuer), new StringMatch(StringMatch.Kind.EXACT, subject));
    }
    if (pattern.endsWith("*")) {
      return slash < 0
          ? requestPrincipal(StringMatch.of(pattern), any)
          : requestPrincipal(
              new StringMatch(StringMatch.Kind.EXACT, issuer), StringMatch.of(subject));
    }
    return requestPrincipal(
        new StringMatch(StringMatch.Kind.EXACT, issuer),
        new StringMatch(StringMatch.Kind.EXACT, slash < 0 ? "" : subject));
  }

  private static Matcher requestPrincipal(StringMatch issuer, StringMatch subject) {
    return a -> {
      Token token = a.token();
      return !token.issuer().isEmpty()
          && issuer.matches(token.issuer())
          && subject.matches(token.subject());
    };
  }

  private static Matcher claim(List<String> names, String pattern) {
    StringMatch match = StringMatch.of(pattern);
    String[] path = names.toArray(String[]::new);
    return a -> a.token().matches(path, match);
  }
}
