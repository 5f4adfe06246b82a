// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.hbone;

import java.util.Locale;
import org.jspecify.annotations.Nullable;

/**
 * The server name (RFC 6066 3) by which a tunnel says whose certificate it expects, where a node
 * shows none of its own: {@code ACCOUNT.NAMESPACE}. Namespaces have no dots, accounts may.
 */
final class ServerName {

  private ServerName() {}

  /**
   * Of an account.
   *
   * @param account {@code NAMESPACE/ACCOUNT}
   */
  static String of(String account) {
    int slash = account.indexOf('/');
    return account.substring(slash + 1) + "." + account.substring(0, slash);
  }

  /** {@code NAMESPACE/ACCOUNT}; empty when it names none. */
  static String account(@Nullable String name) {
    if (name == null) {
      return "";
    }
    int dot = name.lastIndexOf('.');
    return dot < 1 || dot == name.length() - 1
        ? ""
        : name.substring(dot + 1).toLowerCase(Locale.ROOT)
            + "/"
            + name.substring(0, dot).toLowerCase(Locale.ROOT);
  }
}
