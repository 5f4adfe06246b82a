// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.rbac;

/**
 * An authenticated peer, by its SPIFFE identity without {@code spiffe://}.
 *
 * @param text {@code trust-domain/ns/NAMESPACE/sa/ACCOUNT}; empty for nobody
 * @param trustDomain first part
 * @param namespace after {@code /ns/}; empty when there is none
 * @param account {@code NAMESPACE/ACCOUNT}; empty when there is none
 */
public record Principal(String text, String trustDomain, String namespace, String account) {

  /** Nobody: came in plain text. */
  public static final Principal NONE = new Principal("", "", "", "");

  /** The principal of a workload. */
  public static Principal of(String trustDomain, String namespace, String account) {
    return new Principal(
        trustDomain + "/ns/" + namespace + "/sa/" + account,
        trustDomain,
        namespace,
        namespace + "/" + account);
  }

  /** Reads an identity; with pairs before, between and after those of namespace and account. */
  public static Principal parse(String identity) {
    String text = identity.startsWith("spiffe://") ? identity.substring(9) : identity;
    if (text.isEmpty()) {
      return NONE;
    }
    String[] parts = text.split("/", -1);
    String namespace = "";
    String account = "";
    for (int i = 1; i + 1 < parts.length; i++) {
      if (namespace.isEmpty() && parts[i].equals("ns")) {
        namespace = parts[++i];
      } else if (!namespace.isEmpty() && account.isEmpty() && parts[i].equals("sa")) {
        account = namespace + "/" + parts[++i];
      }
    }
    return new Principal(text, parts[0], namespace, account);
  }
}
