// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.answer;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Puts changes together that were found one by one for the same files, so that one does not undo
 * another: {@code add} to a member that is there replaces it (RFC 6902 4.1).
 */
final class Changes {

  private final List<Change> changes = new ArrayList<>();

  private Changes() {}

  /** All of them as one set; empty when they cannot all be made. */
  static Optional<List<Change>> together(List<Change> found) {
    Changes all = new Changes();
    for (Change change : found) {
      if (!all.add(change)) {
        return Optional.empty();
      }
    }
    return Optional.of(List.copyOf(all.changes));
  }

  private boolean add(Change change) {
    for (int i = 0; i < changes.size(); i++) {
      Change other = changes.get(i);
      if (other.equals(change)) {
        return true;
      }
      if (change.creates() && other.creates() && change.kind().equals("PeerAuthentication")) {
        // Of several about one workload only one counts.
        Optional<Change> both = exceptions(other, change);
        both.ifPresent(b -> changes.set(changes.indexOf(other), b));
        return both.isPresent();
      }
      if (sameObject(other, change) && other.path().equals(change.path())) {
        if (change.creates()) {
          return add(renamed(change));
        }
        if (!change.path().endsWith("/-")) {
          changes.set(i, with(other, union(other.value(), change.value())));
          return true;
        }
      }
    }
    changes.add(change);
    return true;
  }

  private static boolean sameObject(Change a, Change b) {
    return a.kind().equals(b.kind())
        && a.namespace().equals(b.namespace())
        && a.name().equals(b.name());
  }

  private static Change with(Change change, Object value) {
    return new Change(
        change.kind(),
        change.namespace(),
        change.name(),
        change.file(),
        change.line(),
        change.path(),
        value);
  }

  private static Object union(Object a, Object b) {
    if (a instanceof List<?> first && b instanceof List<?> second) {
      Set<Object> all = new LinkedHashSet<>(first);
      all.addAll(second);
      return List.copyOf(all);
    }
    if (a instanceof Map<?, ?> first && b instanceof Map<?, ?> second) {
      Map<Object, Object> all = new LinkedHashMap<>(first);
      all.putAll(second);
      return all;
    }
    return b;
  }

  private static Map<String, Object> members(@Nullable Object value) {
    Map<String, Object> copy = new LinkedHashMap<>();
    if (value instanceof Map<?, ?> map) {
      map.forEach((k, v) -> copy.put(String.valueOf(k), v));
    }
    return copy;
  }

  /** Ports of workloads with one selector; workloads of several cannot be told apart for sure. */
  private static Optional<Change> exceptions(Change a, Change b) {
    Map<String, Object> object = members(a.value());
    Map<String, Object> spec = members(object.get("spec"));
    Map<String, Object> other = members(members(b.value()).get("spec"));
    if (!a.namespace().equals(b.namespace())
        || !members(spec.get("selector")).equals(members(other.get("selector")))) {
      return Optional.empty();
    }
    spec.put(
        "portLevelMtls",
        union(members(spec.get("portLevelMtls")), members(other.get("portLevelMtls"))));
    object.put("spec", spec);
    return Optional.of(with(a, object));
  }

  private static Change renamed(Change change) {
    String name = change.name() + "-2";
    Map<String, Object> object = members(change.value());
    Map<String, Object> metadata = members(object.get("metadata"));
    metadata.put("name", name);
    object.put("metadata", metadata);
    return new Change(
        change.kind(), change.namespace(), name, change.file(), change.line(), "", object);
  }
}
