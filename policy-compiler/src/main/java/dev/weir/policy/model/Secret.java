// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import java.util.Optional;

/**
 * A {@code v1 Secret} with certificates; others are passed over.
 *
 * @param meta name and place
 * @param keyPair of type {@code kubernetes.io/tls}: what is shown
 * @param authoritiesPem {@code ca.crt}: whom to believe
 */
public record Secret(Meta meta, Optional<KeyPair> keyPair, Optional<String> authoritiesPem)
    implements Resource {

  /**
   * A certificate with its key.
   *
   * @param certificatePem {@code tls.crt}
   * @param keyPem {@code tls.key}
   */
  public record KeyPair(String certificatePem, String keyPem) {
    /** Without the key. */
    @Override
    public String toString() {
      return "KeyPair";
    }
  }

  @Override
  public String kind() {
    return "Secret";
  }

  /** Without the key. */
  @Override
  public String toString() {
    return "Secret[" + meta.qualifiedName() + "]";
  }
}
