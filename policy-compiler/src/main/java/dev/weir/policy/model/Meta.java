// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import dev.weir.policy.source.Position;
import java.util.Map;

/**
 * What every object has.
 *
 * @param namespace its namespace, {@code default} when the file names none; empty for kinds that
 *     live in none
 * @param name its name
 * @param labels its labels
 * @param annotations its annotations
 * @param created {@code creationTimestamp}, empty when the file has none
 * @param at where the object begins
 */
public record Meta(
    String namespace,
    String name,
    Map<String, String> labels,
    Map<String, String> annotations,
    String created,
    Position at) {
  /** Copies the maps. */
  public Meta {
    labels = Map.copyOf(labels);
    annotations = Map.copyOf(annotations);
  }

  /** {@code namespace/name}, or the name alone. */
  public String qualifiedName() {
    return namespace.isEmpty() ? name : namespace + "/" + name;
  }
}
