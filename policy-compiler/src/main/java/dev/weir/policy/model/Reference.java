// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import dev.weir.policy.source.Position;
import java.util.Optional;
import java.util.OptionalInt;

/**
 * A reference to another object.
 *
 * @param group API group, empty for core
 * @param kind its kind
 * @param namespace absent means the namespace of whoever refers
 * @param name its name
 * @param sectionName listener of a Gateway, port of a Service; absent means all
 * @param port absent means all, or none where one is needed
 * @param at where
 * @param field path, for messages
 */
public record Reference(
    String group,
    String kind,
    Optional<String> namespace,
    String name,
    Optional<String> sectionName,
    OptionalInt port,
    Position at,
    String field) {}
