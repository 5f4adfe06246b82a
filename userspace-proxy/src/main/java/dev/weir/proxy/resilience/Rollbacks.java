// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.resilience;

import dev.weir.proxy.observe.Log;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;

/**
 * Which canaries were rolled back and not released yet. Kept in a file, so that a proxy that is
 * started anew does not begin to send requests to a backend that was found bad: one line each, its
 * parts separated by tabs: policy, route, rule, backend, when (ISO 8601), why.
 */
public final class Rollbacks {

  private static final int PARTS = 6;

  private final Optional<Path> file;
  private final Log log;
  private final Journal journal;
  private final Map<Key, Rollback> known = new TreeMap<>();

  /**
   * What is rolled back.
   *
   * @param policy {@code namespace/name}
   * @param route kind and {@code namespace/name}
   * @param rule name of the only one it is about; empty for all
   * @param backend {@code namespace/service}
   */
  public record Key(String policy, String route, String rule, String backend)
      implements Comparable<Key> {
    @Override
    public int compareTo(Key other) {
      return toString().compareTo(other.toString());
    }
  }

  /**
   * One that happened.
   *
   * @param at ISO 8601
   * @param reason what was measured
   */
  public record Rollback(String at, String reason) {}

  /**
   * Those of a file.
   *
   * @param file empty to keep them in memory only
   */
  public Rollbacks(Optional<Path> file, Log log, Journal journal) {
    this.file = file;
    this.log = log;
    this.journal = journal;
    file.ifPresent(this::read);
  }

  private void read(Path path) {
    List<String> lines;
    try {
      lines = Files.readAllLines(path);
    } catch (NoSuchFileException none) {
      return;
    } catch (IOException e) {
      log.warn(path + ": " + e + ": what was rolled back before is not known");
      return;
    }
    for (int i = 0; i < lines.size(); i++) {
      String[] parts = lines.get(i).split("\t", -1);
      if (parts.length == PARTS) {
        known.put(
            new Key(parts[0], parts[1], parts[2], parts[3]), new Rollback(parts[4], parts[5]));
      } else {
        log.warn(path + ":" + (i + 1) + ": is no rollback; passed over");
      }
    }
  }

  synchronized boolean contains(Key key) {
    return known.containsKey(key);
  }

  synchronized void add(Key key, String reason, String description) {
    known.put(key, new Rollback(Instant.now().toString(), reason));
    journal.count(Journal.Event.ROLLED_BACK);
    log.warn(
        "rolled back "
            + key.backend()
            + " of "
            + key.route()
            + ": "
            + reason
            + ": by "
            + description
            + "; `weir canary release "
            + name(key.route())
            + "` gives it its weight again");
    write();
  }

  private static String name(String route) {
    return route.substring(route.indexOf(' ') + 1);
  }

  synchronized void remove(Key key) {
    if (known.remove(key) != null) {
      log.info("released " + key.backend() + " of " + key.route());
      write();
    }
  }

  /** Nobody says the others any more: should somebody say them again, they begin anew. */
  public synchronized void retain(Set<Key> said) {
    if (known.keySet().retainAll(said)) {
      write();
    }
  }

  /** All of them. */
  public synchronized Map<Key, Rollback> all() {
    return new TreeMap<>(known);
  }

  /** Whole or not at all. What cannot be written holds all the same, while the process lives. */
  private void write() {
    if (file.isEmpty()) {
      return;
    }
    List<String> lines = new ArrayList<>();
    known.forEach(
        (key, rollback) ->
            lines.add(
                String.join(
                    "\t",
                    key.policy(),
                    key.route(),
                    key.rule(),
                    key.backend(),
                    rollback.at(),
                    rollback.reason())));
    Path path = file.get();
    try {
      Path made =
          Files.createTempFile(
              path.toAbsolutePath().getParent(),
              "rollbacks",
              ".tmp",
              PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")));
      Files.write(made, lines, StandardCharsets.UTF_8);
      Files.move(made, path, StandardCopyOption.ATOMIC_MOVE);
    } catch (IOException e) {
      log.warn(path + ": " + e + ": rollbacks are forgotten when the proxy ends");
    }
  }
}
