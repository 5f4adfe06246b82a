// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.connectivity;

import dev.weir.policy.cluster.Cluster;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.SortedSet;
import java.util.TreeSet;
import java.util.function.Consumer;

/** How what two sets of files allow differs, by meaning and not by text. */
public final class Difference {

  private final Connectivity older;
  private final Connectivity newer;
  private final Set<String> before;
  private final Set<String> after;
  private boolean widened;
  private boolean narrowed;

  /**
   * A pair of peers between which other connections are allowed than before.
   *
   * @param source as in {@link Connectivity.Row}
   * @param destination as in {@link Connectivity.Row}
   * @param older what was allowed
   * @param newer what is allowed
   * @param note which of the two are workloads that were added or removed; empty when none is
   */
  public record Row(
      String source, String destination, Connections older, Connections newer, String note) {

    /**
     * {@code added} when nothing was allowed, {@code removed} when nothing is, else {@code
     * changed}.
     */
    public String change() {
      return older.isEmpty() ? "added" : newer.isEmpty() ? "removed" : "changed";
    }
  }

  private record Both(Connections older, Connections newer) {}

  private Difference(List<Connectivity> both) {
    this.older = both.getFirst();
    this.newer = both.getLast();
    this.before = older.names();
    this.after = newer.names();
  }

  /** Gives the pairs that differ, and says afterwards how they do as a whole. */
  public static Direction between(Cluster older, Cluster newer, Consumer<Row> rows) {
    Difference difference = new Difference(Connectivity.comparable(older, newer));
    difference.run(rows);
    if (difference.widened) {
      return difference.narrowed ? Direction.BOTH : Direction.WIDENED;
    }
    return difference.narrowed ? Direction.NARROWED : Direction.EQUAL;
  }

  /** What the newer files do compared with the older ones. */
  public enum Direction {
    /** They allow the same. */
    EQUAL,
    /** They allow more, and all of what was allowed. */
    WIDENED,
    /** They allow less, and nothing else. */
    NARROWED,
    /** They allow something that was not, and not all of what was. */
    BOTH
  }

  private void run(Consumer<Row> rows) {
    SortedSet<String> names = new TreeSet<>(before);
    names.addAll(after);
    for (String name : names) {
      Connectivity.joined(
          older.ranges(),
          zip(older.inwards(name), newer.inwards(name)),
          (range, both) -> give(rows, range, name, both));
    }
    for (String source : names) {
      Connectivity.joined(
          older.ranges(),
          zip(older.outwards(source), newer.outwards(source)),
          (range, both) -> give(rows, source, range, both));
      for (String destination : names) {
        if (!source.equals(destination)) {
          Connections old = older.between(source, destination);
          give(rows, source, destination, new Both(old, newer.between(source, destination)));
        }
      }
    }
    for (String name : names) {
      Both both = new Both(older.fromController(name), newer.fromController(name));
      give(rows, Connectivity.INGRESS_CONTROLLER, name, both);
    }
  }

  private static List<Both> zip(List<Connections> older, List<Connections> newer) {
    List<Both> result = new ArrayList<>();
    for (int i = 0; i < older.size(); i++) {
      result.add(new Both(older.get(i), newer.get(i)));
    }
    return result;
  }

  private void give(Consumer<Row> rows, String source, String destination, Both both) {
    if (both.older().equals(both.newer())) {
      return;
    }
    widened |= !both.newer().minus(both.older()).isEmpty();
    narrowed |= !both.older().minus(both.newer()).isEmpty();
    rows.accept(
        new Row(source, destination, both.older(), both.newer(), note(source, destination)));
  }

  private String note(String source, String destination) {
    List<String> added = new ArrayList<>();
    List<String> removed = new ArrayList<>();
    for (String name : List.of(source, destination)) {
      if (after.contains(name) && !before.contains(name)) {
        added.add(name);
      } else if (before.contains(name) && !after.contains(name)) {
        removed.add(name);
      }
    }
    List<String> notes = new ArrayList<>();
    if (!added.isEmpty()) {
      notes.add("workload " + String.join(" and ", added) + " added");
    }
    if (!removed.isEmpty()) {
      notes.add("workload " + String.join(" and ", removed) + " removed");
    }
    return String.join(", ", notes);
  }
}
