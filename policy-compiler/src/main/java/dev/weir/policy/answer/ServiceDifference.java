// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.answer;

import dev.weir.policy.cluster.Cluster;
import dev.weir.policy.model.Workload;
import dev.weir.policy.steer.Led;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.SortedMap;
import java.util.SortedSet;
import java.util.TreeSet;
import java.util.function.Consumer;
import java.util.stream.Collectors;

/**
 * Which services lead to others than before. Only services of both sides count, and of whom they
 * lead to only those whom both sides have: that a workload is new or gone is said otherwise.
 */
public final class ServiceDifference {

  private static final String NOBODY = "Nobody";

  /**
   * A port of a service that leads to others.
   *
   * @param service {@code namespace/name[Service] TCP 80}
   * @param older who got its connections
   * @param newer who gets them
   */
  public record Row(String service, SortedSet<Led> older, SortedSet<Led> newer) {
    /** {@code added} when nobody got any, {@code removed} when nobody does, else changed. */
    public String change() {
      return older.isEmpty() ? "added" : newer.isEmpty() ? "removed" : "changed";
    }

    /** Those who got them, in a line. */
    public String before() {
      return text(older);
    }

    /** Those who get them, in a line. */
    public String after() {
      return text(newer);
    }

    private static String text(Set<Led> led) {
      return led.isEmpty()
          ? NOBODY
          : led.stream().map(Led::toString).collect(Collectors.joining(", "));
    }
  }

  private ServiceDifference() {}

  /** Gives the ports of services that differ; whether there are any. */
  public static boolean between(Cluster older, Cluster newer, Consumer<Row> rows) {
    SortedMap<String, SortedSet<Led>> before = Led.by(older);
    SortedMap<String, SortedSet<Led>> after = Led.by(newer);
    Set<String> old = names(older);
    Set<String> late = names(newer);
    boolean any = false;
    for (Map.Entry<String, SortedSet<Led>> service : before.entrySet()) {
      SortedSet<Led> now = after.get(service.getKey());
      if (now == null) {
        continue;
      }
      SortedSet<Led> lost = new TreeSet<>(service.getValue());
      lost.removeAll(now);
      lost.removeIf(led -> old.contains(led.name()) && !late.contains(led.name()));
      SortedSet<Led> won = new TreeSet<>(now);
      won.removeAll(service.getValue());
      won.removeIf(led -> late.contains(led.name()) && !old.contains(led.name()));
      if (!lost.isEmpty() || !won.isEmpty()) {
        any = true;
        rows.accept(new Row(service.getKey(), service.getValue(), now));
      }
    }
    return any;
  }

  private static Set<String> names(Cluster cluster) {
    Set<String> names = new HashSet<>();
    for (Workload workload : cluster.workloads()) {
      names.add(workload.meta().qualifiedName() + "[" + workload.kind() + "]");
    }
    return names;
  }
}
