// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

/**
 * A {@code v1 Secret} of type {@code kubernetes.io/tls}.
 *
 * @param meta name and place
 * @param certificatePem {@code tls.crt}
 * @param keyPem {@code tls.key}
 */
public record Secret(Meta meta, String certificatePem, String keyPem) implements Resource {
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
