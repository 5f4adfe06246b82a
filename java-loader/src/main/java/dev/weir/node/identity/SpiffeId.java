// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.identity;

import dev.weir.node.kernel.NodeException;
import dev.weir.policy.identity.SvidRules;
import java.util.Comparator;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The SPIFFE ID of a service account, {@code spiffe://TRUSTDOMAIN/ns/NAMESPACE/sa/ACCOUNT}, as
 * Istio has it. Each part is a path segment as the SPIFFE-ID standard (2.2) has them, so it is also
 * the name of a directory, and none that leads elsewhere.
 *
 * @param trustDomain lower-case letters, digits, hyphens, underscores and dots; at most 253
 * @param namespace letters, digits, hyphens, underscores and dots; at most 253
 * @param account the same
 */
public record SpiffeId(String trustDomain, String namespace, String account)
    implements Comparable<SpiffeId> {

  /** What an ID begins with. */
  static final String SCHEME = SvidRules.SCHEME;

  private static final Pattern TRUST_DOMAIN = Pattern.compile("[a-z0-9._-]{1,253}");
  private static final Pattern SEGMENT = Pattern.compile("[A-Za-z0-9._-]{1,253}");
  private static final Pattern ID = Pattern.compile("spiffe://([^/]+)/ns/([^/]+)/sa/([^/]+)");
  private static final Comparator<SpiffeId> ORDER = Comparator.comparing(SpiffeId::uri);

  /**
   * Checks the parts.
   *
   * @throws NodeException when one of them cannot be part of an ID
   */
  public SpiffeId {
    requireTrustDomain(trustDomain);
    requireSegment("namespace", namespace);
    requireSegment("service account", account);
  }

  /**
   * Refuses what is no trust domain.
   *
   * @throws NodeException with what is wrong
   */
  static void requireTrustDomain(String name) {
    if (!TRUST_DOMAIN.matcher(name).matches()) {
      throw new NodeException(
          "\""
              + name
              + "\" is no trust domain; expected: lower-case letters, digits, '-', '_' and '.', at"
              + " most 253");
    }
  }

  /** Whether a name can be a namespace or an account. */
  static boolean isSegment(String name) {
    return SEGMENT.matcher(name).matches() && !name.equals(".") && !name.equals("..");
  }

  private static void requireSegment(String what, String name) {
    if (!isSegment(name)) {
      throw new NodeException(
          "\""
              + name
              + "\" is no "
              + what
              + "; expected: letters, digits, '-', '_' and '.', at most 253");
    }
  }

  /**
   * Reads {@code NAMESPACE/ACCOUNT} or a whole ID.
   *
   * @param trustDomain which one it must be in
   * @throws NodeException when it is neither, or of another trust domain
   */
  public static SpiffeId parse(String text, String trustDomain) {
    Matcher whole = ID.matcher(text);
    if (whole.matches()) {
      if (!whole.group(1).equals(trustDomain)) {
        throw new NodeException(text + " is not of this authority's trust domain, " + trustDomain);
      }
      return new SpiffeId(whole.group(1), whole.group(2), whole.group(3));
    }
    int slash = text.indexOf('/');
    if (slash < 0 || slash != text.lastIndexOf('/')) {
      throw new NodeException(
          "\"" + text + "\" names no service account; expected: NAMESPACE/ACCOUNT");
    }
    return new SpiffeId(trustDomain, text.substring(0, slash), text.substring(slash + 1));
  }

  /** As it stands in the certificate. */
  public String uri() {
    return SCHEME + trustDomain + "/ns/" + namespace + "/sa/" + account;
  }

  @Override
  public int compareTo(SpiffeId other) {
    return ORDER.compare(this, other);
  }

  @Override
  public String toString() {
    return uri();
  }
}
