// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.steer;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** Host names of listeners and routes, which may begin with {@code *.}. */
final class Hostnames {

  private Hostnames() {}

  /**
   * What a route serves on a listener (Gateway API, HTTPRouteSpec.hostnames): the more specific of
   * each pair that meets.
   *
   * @param listener empty for all
   * @param route empty for all
   * @return empty when they do not meet; an empty list for all names
   */
  static Optional<List<String>> cut(String listener, List<String> route) {
    if (listener.isEmpty()) {
      return Optional.of(route);
    }
    if (route.isEmpty()) {
      return Optional.of(List.of(listener));
    }
    List<String> both = new ArrayList<>();
    for (String name : route) {
      if (covers(listener, name)) {
        both.add(name);
      } else if (covers(name, listener)) {
        both.add(listener);
      }
    }
    List<String> distinct = both.stream().distinct().toList();
    return distinct.isEmpty() ? Optional.empty() : Optional.of(distinct);
  }

  /** Whether some host is served by both; an empty list stands for all names. */
  static boolean meet(List<String> one, List<String> other) {
    return one.isEmpty()
        || other.isEmpty()
        || one.stream().anyMatch(a -> other.stream().anyMatch(b -> covers(a, b) || covers(b, a)));
  }

  /** Whether every host of {@code name} is one of {@code pattern}. */
  private static boolean covers(String pattern, String name) {
    // A wildcard stands for one or more labels, so "*.a" covers "b.a" and "*.b.a", not "a".
    return pattern.equals(name)
        || pattern.startsWith("*.")
            && name.endsWith(pattern.substring(1))
            && name.length() > pattern.length() - 1;
  }
}
