// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

/**
 * A {@code v1 ConfigMap} with certificates of authorities, which is all that other kinds refer to
 * one for. ConfigMaps without are passed over.
 *
 * @param meta name and place
 * @param certificatesPem {@code ca.crt}, one or several certificates
 */
public record ConfigMap(Meta meta, String certificatesPem) implements Resource {
  @Override
  public String kind() {
    return "ConfigMap";
  }
}
