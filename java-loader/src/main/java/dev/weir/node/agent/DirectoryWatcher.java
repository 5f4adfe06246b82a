// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.agent;

import static java.nio.file.StandardWatchEventKinds.ENTRY_CREATE;
import static java.nio.file.StandardWatchEventKinds.ENTRY_DELETE;
import static java.nio.file.StandardWatchEventKinds.ENTRY_MODIFY;

import java.io.IOException;
import java.nio.file.ClosedWatchServiceException;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.WatchEvent;
import java.nio.file.WatchKey;
import java.nio.file.WatchService;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.FileTime;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.TimeUnit;

/**
 * Tells when something below a directory has changed, once the changes have come to rest.
 *
 * <p>An editor or a copy writes a file in several steps, and a deployment writes several files; a
 * half-written set should not be read. So nothing is told until no change has come for a while, but
 * no later than a while after the first one: a file that is written without pause must not hold up
 * the others for ever.
 *
 * <p>inotify(7) can miss: its queue overflows, or the directory itself is replaced. So names, times
 * and sizes are compared as well, every few seconds.
 */
final class DirectoryWatcher implements AutoCloseable {

  private static final Duration LONGEST = Duration.ofMillis(500);

  /** How late a change that inotify has missed is noticed. */
  static final Duration RECHECK = Duration.ofSeconds(5);

  private final Path directory;
  private final Duration quiet;
  private final Duration recheck;
  private final Listener listener;
  private final WatchService service;
  private final Log log;

  /** Where the files are that a key tells of: the key itself may know an earlier name. */
  private final Map<WatchKey, Path> watched = new HashMap<>();

  private Map<Path, Look> seen = Map.of();

  /** What has changed since it was told last; of no use when some of it is not known. */
  private final Set<Path> paths = new HashSet<>();

  private boolean incomplete;

  /** Is told of changes, on the watcher's thread. */
  @FunctionalInterface
  interface Listener {
    /**
     * Changes have come to rest.
     *
     * @param paths what may have changed; empty for anything
     */
    void changed(Optional<Set<Path>> paths);

    /** A change has been seen; more may follow. */
    default void begun(Set<Path> sofar) {}
  }

  private record Look(FileTime modified, long size) {}

  /**
   * Begins to watch.
   *
   * @param directory to watch with everything below it
   * @param quiet after the last change
   * @param recheck between comparisons of names, times and sizes
   * @param listener is told
   */
  DirectoryWatcher(Path directory, Duration quiet, Duration recheck, Listener listener, Log log)
      throws IOException {
    this.directory = directory;
    this.quiet = quiet;
    this.recheck = recheck;
    this.listener = listener;
    this.log = log;
    service = directory.getFileSystem().newWatchService();
    try {
      var _ = watchAll();
    } catch (IOException e) {
      service.close();
      throw e;
    }
    Thread.ofPlatform().name("weir-watch").daemon().start(this::run);
  }

  /**
   * Watches every directory, and looks at every file.
   *
   * @return whether there were directories that had not been watched
   */
  private boolean watchAll() throws IOException {
    Map<Path, Look> files = new HashMap<>();
    List<Path> directories = new ArrayList<>();
    Files.walkFileTree(
        directory,
        new SimpleFileVisitor<>() {
          @Override
          public FileVisitResult preVisitDirectory(Path each, BasicFileAttributes of) {
            directories.add(each);
            files.put(each, look(of));
            return FileVisitResult.CONTINUE;
          }

          @Override
          public FileVisitResult visitFile(Path file, BasicFileAttributes of) throws IOException {
            BasicFileAttributes what = of.isSymbolicLink() ? target(file, of) : of;
            files.put(file, look(what));
            if (what.isDirectory()) {
              directories.add(file);
            }
            return FileVisitResult.CONTINUE;
          }

          @Override
          public FileVisitResult visitFileFailed(Path file, IOException e) throws IOException {
            if (e instanceof NoSuchFileException && !file.equals(directory)) {
              return FileVisitResult.CONTINUE; // gone meanwhile, and an event tells of it
            }
            throw e;
          }
        });
    boolean added = false;
    for (Path each : directories) {
      // Registering a directory twice only gives back the same key.
      WatchKey key = each.register(service, ENTRY_CREATE, ENTRY_MODIFY, ENTRY_DELETE);
      added |= watched.put(key, each) == null;
    }
    watched.keySet().removeIf(key -> !key.isValid());
    seen = files;
    return added;
  }

  /** What a link leads to; the link itself when that is nowhere. */
  private static BasicFileAttributes target(Path link, BasicFileAttributes of) throws IOException {
    try {
      return Files.readAttributes(link, BasicFileAttributes.class);
    } catch (NoSuchFileException e) {
      return of;
    }
  }

  private void run() {
    try {
      while (true) {
        WatchKey event = service.poll(recheck.toMillis(), TimeUnit.MILLISECONDS);
        if (event == null) {
          if (!missed()) {
            continue;
          }
          incomplete = true;
        } else {
          drain(event);
          if (!incomplete) {
            listener.begun(Set.copyOf(paths));
          }
        }
        long first = System.nanoTime();
        while (System.nanoTime() - first < LONGEST.toNanos()) {
          WatchKey key = service.poll(quiet.toMillis(), TimeUnit.MILLISECONDS);
          if (key == null) {
            break;
          }
          drain(key);
        }
        boolean onlyFiles = !incomplete && lookAgain();
        listener.changed(onlyFiles ? Optional.of(Set.copyOf(paths)) : Optional.empty());
        paths.clear();
        incomplete = false;
        if (onlyFiles) {
          continue;
        }
        // While that goes on. What was written into a directory before it was watched is told once
        // more; what it was compiled from is compared, so that costs little.
        try {
          if (watchAll()) {
            listener.changed(Optional.empty());
          }
        } catch (IOException e) {
          log.error("cannot watch " + directory + ": " + e.getMessage());
        }
      }
    } catch (ClosedWatchServiceException e) {
      log.debug("no longer watching " + directory);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  /** Whether something has changed that no event told of. */
  private boolean missed() {
    Map<Path, Look> before = seen;
    try {
      return watchAll() || !seen.equals(before);
    } catch (IOException e) {
      log.debug("cannot look at " + directory + ": " + e.getMessage());
      seen = Map.of();
      return !before.isEmpty();
    }
  }

  /** Looks at what has changed; false when there may be a directory to be watched. */
  private boolean lookAgain() {
    Map<Path, Look> now = new HashMap<>(seen);
    try {
      for (Path path : paths) {
        if (!look(path, now)) {
          return false;
        }
        Path parent = path.getParent();
        if (parent == null || look(parent, now)) {
          return false; // what was watched is gone, or no directory any more
        }
      }
    } catch (IOException e) {
      return false;
    }
    seen = now;
    return true;
  }

  /** Notes what a path looks like; false for a directory. */
  private static boolean look(Path path, Map<Path, Look> into) throws IOException {
    try {
      BasicFileAttributes of = Files.readAttributes(path, BasicFileAttributes.class);
      into.put(path, look(of));
      return !of.isDirectory();
    } catch (NoSuchFileException e) {
      into.remove(path);
      return true;
    }
  }

  private static Look look(BasicFileAttributes of) {
    return new Look(of.lastModifiedTime(), of.size());
  }

  private void drain(WatchKey key) {
    Path where = watched.get(key);
    for (WatchEvent<?> event : key.pollEvents()) {
      if (where != null && event.context() instanceof Path name) {
        paths.add(where.resolve(name));
      } else {
        incomplete = true; // some were lost
      }
    }
    key.reset();
  }

  @Override
  public void close() throws IOException {
    service.close();
  }
}
