// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import dev.weir.policy.source.Node.Mapping;
import dev.weir.policy.source.Node.Scalar;
import java.util.Optional;

/** Reads the one entry of a {@code v1 ConfigMap} that means something here. */
final class ConfigMapReader {

  /** Gateway API, BackendTLSPolicy: where a ConfigMap holds the authorities' certificates. */
  private static final String KEY = "ca.crt";

  private ConfigMapReader() {}

  /**
   * Looks at nothing but {@code data["ca.crt"]}: what else a ConfigMap holds, well-formed or not,
   * is between its author and whoever mounts it.
   */
  static Optional<String> certificates(Fields object) {
    return object
        .node("data")
        .filter(Mapping.class::isInstance)
        .flatMap(data -> ((Mapping) data).get(KEY))
        .filter(Scalar.class::isInstance)
        .map(value -> ((Scalar) value).text());
  }

  static Optional<Resource> read(Meta meta, Fields object) {
    return certificates(object).map(pem -> new ConfigMap(meta, pem));
  }
}
