// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.plan;

/**
 * A certificate chain with its key. Travels beside the plan, never inside it, so that a plan can be
 * shown and kept without secrets.
 *
 * @param name {@code namespace/secret}
 * @param chainPem certificates, leaf first
 * @param keyPem PKCS#8 private key
 */
public record TlsKeyPair(String name, String chainPem, String keyPem) {
  /** Without the key. */
  @Override
  public String toString() {
    return "TlsKeyPair[" + name + "]";
  }
}
