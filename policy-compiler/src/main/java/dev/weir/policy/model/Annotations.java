// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import java.util.Optional;
import java.util.Set;

/** Annotations that change what an object means. */
final class Annotations {

  /** Puts a policy into audit mode: it refuses nothing, what it would refuse is reported. */
  static final String AUDIT = "weir.dev/audit";

  private static final Set<String> POLICIES = Set.of("NetworkPolicy", "AuthorizationPolicy");

  private Annotations() {}

  /** Whether {@link #AUDIT} is set. */
  static boolean audit(Fields object) {
    return flag(object, AUDIT);
  }

  /** An annotation that is {@code "true"} or {@code "false"}; anything else is an error. */
  static boolean flag(Fields object, String name) {
    Optional<Fields> annotations =
        object.mapping("metadata").flatMap(metadata -> metadata.mapping("annotations"));
    Optional<Located<String>> value = annotations.flatMap(a -> a.string(name));
    if (value.isEmpty()) {
      // What is no string has been noted with the other annotations.
      return false;
    }
    return switch (value.get().value()) {
      case "true" -> true;
      case "false" -> false;
      default -> {
        annotations.ifPresent(
            a ->
                a.error(
                    name,
                    "is \"" + value.get().value() + "\"",
                    "\"true\" or \"false\", in quotes"));
        yield false;
      }
    };
  }

  /** Notes annotations that their author means something with and that mean nothing there. */
  static void check(Fields object, String kind) {
    if (POLICIES.contains(kind)) {
      return;
    }
    object
        .mapping("metadata")
        .flatMap(metadata -> metadata.mapping("annotations"))
        .filter(annotations -> annotations.has(AUDIT))
        .ifPresent(
            annotations ->
                annotations.error(
                    AUDIT,
                    "a " + kind + " has no audit mode",
                    "set it on a NetworkPolicy or AuthorizationPolicy, or spec.audit of Mesh"));
  }
}
