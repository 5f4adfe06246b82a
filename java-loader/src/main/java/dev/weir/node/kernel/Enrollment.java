// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import dev.weir.node.bpf.BpfMap;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.Reserved;
import dev.weir.policy.plan.Settings;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;

/**
 * Which cgroups are whose, in the kernel's two maps: {@code paths}, from which the kernel enrols a
 * cgroup when it is made, and {@code cgroups}, for those that were there before. Both hold a number
 * for each slot of generations, so a cgroup changes hands when the generation does, and changes
 * back with it.
 *
 * <p>Ids of cgroups are inode numbers and never used twice, so an id that is read from the kernel
 * and then not found on disk is gone for good.
 */
final class Enrollment {

  /** Longer than mkdir takes from the kernel's notice of a cgroup to its directory. */
  private static final Duration MAKING = Duration.ofMillis(5);

  private static final String CANARY = "the agent's canary";

  private final Layouts layouts;
  private final Hierarchy hierarchy;

  Enrollment(Layouts layouts, Hierarchy hierarchy) {
    this.layouts = layouts;
    this.hierarchy = hierarchy;
  }

  /**
   * The path of every declared cgroup with the number of who lives there.
   *
   * @throws NodeException when a path cannot be governed
   */
  Map<String, Integer> declared(Plan plan, List<Integer> numbers) {
    Map<String, Integer> paths = new TreeMap<>();
    Settings settings = plan.settings();
    for (int i = 0; i < plan.workloads().size(); i++) {
      for (String path : plan.workloads().get(i).cgroups()) {
        for (String place : PodCgroups.places(path)) {
          put(paths, place, numbers.get(i), plan.workloads().get(i).key());
        }
      }
    }
    if (plan.proxy().needed()) {
      put(paths, settings.proxyCgroup(), Reserved.PROXY.index(), "the proxy");
    }
    if (!plan.settings().mesh().equals(Generation.NOBODY)) {
      put(paths, Canary.allowedCgroup(settings), Canary.ALLOWED, CANARY);
      put(paths, Canary.refusedCgroup(settings), Canary.REFUSED, CANARY);
    }
    // A workload may live right where the governed part begins; it is not unknown for that.
    for (String path : settings.governedCgroups()) {
      paths.putIfAbsent(
          hierarchy.checked(path, "governedCgroups of Mesh"), Reserved.UNKNOWN.index());
    }
    return paths;
  }

  private void put(Map<String, Integer> paths, String path, int number, String whose) {
    Integer other = paths.put(hierarchy.checked(path, whose), number);
    if (other != null && other != number) {
      throw new NodeException(
          "cgroup " + path + " of " + whose + " is declared twice: one cgroup is one workload");
    }
  }

  /**
   * Writes who lives where into one slot of {@code paths}: 0 for what is not declared any more.
   * What neither slot declares goes; the numbers of the other slot stay as they are. Nothing
   * changes for anybody until the slot is in force.
   */
  void declare(BpfMap paths, int slot, Map<String, Integer> declared) {
    Map<String, Dwellers> present = paths(paths);
    Map<String, Dwellers> next = new TreeMap<>();
    present.forEach((path, dwellers) -> next.put(path, dwellers.with(slot, 0)));
    declared.forEach(
        (path, number) ->
            next.merge(
                path,
                Dwellers.NOBODY.with(slot, number),
                (kept, added) -> kept.with(slot, number)));
    next.values().removeIf(Dwellers::nobody);
    if (next.size() > paths.maxEntries()) {
      throw new NodeException(
          next.size()
              + " declared cgroups, with those of the generation before, are more than the "
              + paths.maxEntries()
              + " that the kernel's table was made for by the first apply; weir down and weir apply"
              + " make it anew");
    }
    present.keySet().stream()
        .filter(path -> !next.containsKey(path))
        .forEach(path -> paths.delete(key(path)));
    ByteBuffer value = paths.newValue();
    next.forEach(
        (path, dwellers) -> {
          if (!dwellers.equals(present.get(path))) {
            paths.update(key(path), write(dwellers, value));
          }
        });
  }

  /**
   * The numbers of who lives at a path, in each slot of generations; 0 for nobody.
   *
   * @param first slot 0
   * @param second slot 1
   */
  record Dwellers(int first, int second) {
    static final Dwellers NOBODY = new Dwellers(0, 0);

    int in(int slot) {
      return slot == 0 ? first : second;
    }

    Dwellers with(int slot, int number) {
      return slot == 0 ? new Dwellers(number, second) : new Dwellers(first, number);
    }

    boolean nobody() {
      return first == 0 && second == 0;
    }
  }

  private Dwellers read(ByteBuffer value) {
    return new Dwellers(
        layouts.cgroup.workload(0).getInt(value, 0), layouts.cgroup.workload(1).getInt(value, 0));
  }

  private ByteBuffer write(Dwellers dwellers, ByteBuffer value) {
    layouts.cgroup.workload(0).put(value, 0, dwellers.first());
    layouts.cgroup.workload(1).put(value, 0, dwellers.second());
    return value;
  }

  /** How many declared cgroups of workloads are not there yet. */
  long waiting(Plan plan) {
    return plan.workloads().stream()
        .filter(workload -> !workload.kind().equals("Reserved"))
        .flatMap(workload -> workload.cgroups().stream())
        .filter(
            path ->
                PodCgroups.places(path).stream()
                    .noneMatch(place -> hierarchy.id(place).isPresent()))
        .count();
  }

  /**
   * Where somebody with one cgroup lives, as the kernel knows it: in one slot or, failing that, in
   * the other.
   */
  Optional<Path> home(BpfMap paths, int slot, int number) {
    Map<String, Dwellers> present = paths(paths);
    return home(present, slot, number).or(() -> home(present, slot ^ 1, number));
  }

  private Optional<Path> home(Map<String, Dwellers> present, int slot, int number) {
    return present.entrySet().stream()
        .filter(entry -> entry.getValue().in(slot) == number)
        .map(entry -> hierarchy.directory(entry.getKey()))
        .findFirst();
  }

  ByteBuffer key(String path) {
    return layouts.path.allocate(1).put(0, path.getBytes(StandardCharsets.UTF_8));
  }

  /** What the kernel holds. */
  Map<String, Dwellers> paths(BpfMap paths) {
    Map<String, Dwellers> found = new HashMap<>();
    paths.forEach(
        (key, value) -> {
          byte[] bytes = new byte[layouts.path.size()];
          key.get(0, bytes);
          int end = 0;
          while (end < bytes.length && bytes[end] != 0) {
            end++;
          }
          found.put(new String(bytes, 0, end, StandardCharsets.UTF_8), read(value));
        });
    return found;
  }

  /**
   * Makes {@code cgroups} what {@code paths} says of the cgroups that exist, in both slots. The
   * kernel has done so for every cgroup that was made since {@code paths} was written.
   *
   * @return how many were missing or somebody else's
   */
  int enrol(BpfMap paths, BpfMap cgroups) {
    Set<Long> before = ids(cgroups);
    Map<String, Dwellers> declared = paths(paths);
    int added = 0;
    ByteBuffer key = cgroups.newKey();
    ByteBuffer value = cgroups.newValue();
    for (Map.Entry<String, Dwellers> entry : declared.entrySet()) {
      OptionalLong id = hierarchy.id(entry.getKey());
      if (id.isEmpty()) {
        continue;
      }
      before.remove(id.getAsLong());
      key.putLong(0, id.getAsLong());
      if (cgroups.lookup(key, value) && read(value).equals(entry.getValue())) {
        continue;
      }
      cgroups.update(key, write(entry.getValue(), value));
      added++;
      // Removed between the look and the update: the kernel's own removal came before our entry.
      if (!hierarchy.id(entry.getKey()).equals(id)) {
        cgroups.delete(key);
        added--;
      }
    }
    if (!before.isEmpty()) {
      removeGone(cgroups, declared.keySet(), before);
    }
    return added;
  }

  /**
   * Removes entries of cgroups that are gone, or that no path declares any more. One that the
   * kernel is just making has an entry before it has a directory, so it is looked for a second
   * time.
   */
  private void removeGone(BpfMap cgroups, Set<String> declared, Set<Long> missed) {
    LockSupport.parkNanos(MAKING.toNanos());
    for (String path : declared) {
      hierarchy.id(path).ifPresent(missed::remove);
    }
    ByteBuffer key = cgroups.newKey();
    for (long gone : missed) {
      cgroups.delete(key.putLong(0, gone));
    }
  }

  private static Set<Long> ids(BpfMap cgroups) {
    Set<Long> ids = new HashSet<>();
    cgroups.forEach((key, value) -> ids.add(key.getLong(0)));
    return ids;
  }

  /**
   * The cgroup2 hierarchy as the kernel counts paths, and as it is mounted here.
   *
   * @param mount where a part of it is mounted
   * @param mounted path of that part from the hierarchy's root, without a trailing slash
   * @param root path of the mesh's cgroup root from the hierarchy's root, without a trailing slash
   */
  record Hierarchy(Path mount, String mounted, String root) {

    /**
     * The first cgroup namespace, in which paths begin at the true root ({@code
     * PROC_CGROUP_INIT_INO}).
     */
    private static final String INITIAL_NAMESPACE = "cgroup:[4026531835]";

    /**
     * That of a mesh.
     *
     * @throws NodeException when its root is not a cgroup2 directory
     */
    static Hierarchy of(Path cgroupRoot) {
      Path real;
      try {
        real = cgroupRoot.toRealPath();
      } catch (NoSuchFileException e) {
        throw new NodeException("cgroup root " + cgroupRoot + " does not exist", e);
      } catch (IOException e) {
        throw DurableFile.failed("open", cgroupRoot, e);
      }
      Places.Mount mount =
          Places.cgroup2Mounts().stream()
              .filter(candidate -> real.startsWith(candidate.point()))
              .max(java.util.Comparator.comparingInt(m -> m.point().getNameCount()))
              .orElseThrow(
                  () ->
                      new NodeException(
                          "cgroup root "
                              + cgroupRoot
                              + " is not on a cgroup2 file system; see: grep cgroup2"
                              + " /proc/self/mountinfo"));
      String mounted = mount.root().equals("/") ? "" : mount.root();
      String below = mount.point().relativize(real).toString();
      return new Hierarchy(
          mount.point(), mounted, below.isEmpty() ? mounted : mounted + "/" + below);
    }

    /** Whether paths here are not those of the kernel. */
    static boolean namespaced() {
      try {
        return !Files.readSymbolicLink(Path.of("/proc/self/ns/cgroup"))
            .toString()
            .equals(INITIAL_NAMESPACE);
      } catch (IOException e) {
        throw DurableFile.failed("read", Path.of("/proc/self/ns/cgroup"), e);
      }
    }

    /** A declared path, if it can be governed. */
    String checked(String path, String whose) {
      String wrong = "";
      if (!path.startsWith("/")
          || (path.length() > 1 && path.endsWith("/"))
          || path.contains("//")
          || List.of(path.split("/", -1)).contains("..")) {
        wrong = "is not a path from the cgroup2 root (expected: /a/b)";
      } else if (path.equals("/")) {
        wrong = "is the whole node, which is not one workload; to govern it, set hostGoverned";
      } else if (path.getBytes(StandardCharsets.UTF_8).length >= Layouts.PATH_MAX) {
        wrong = "is longer than " + (Layouts.PATH_MAX - 1) + " bytes";
      } else if (!root.isEmpty() && !path.equals(root) && !path.startsWith(root + "/")) {
        wrong = "is outside the mesh's cgroup root " + root + ": nothing would govern it";
      }
      if (!wrong.isEmpty()) {
        throw new NodeException("cgroup " + path + " of " + whose + " " + wrong);
      }
      return path;
    }

    /** The directory of a path. */
    Path directory(String path) {
      String below = path.startsWith(mounted) ? path.substring(mounted.length()) : path;
      return mount.resolve(below.substring(below.startsWith("/") ? 1 : 0));
    }

    /** The id of the cgroup with a path; empty when there is none. */
    OptionalLong id(String path) {
      return Hierarchy.id(directory(path));
    }

    /**
     * The path of the cgroup with an id; empty when there is none any more. Looks at all of them.
     */
    Optional<String> path(long id) {
      List<Path> found = new ArrayList<>();
      try {
        Files.walkFileTree(
            mount,
            new SimpleFileVisitor<>() {
              @Override
              public FileVisitResult preVisitDirectory(Path each, BasicFileAttributes attributes) {
                if (!id(each).equals(OptionalLong.of(id))) {
                  return FileVisitResult.CONTINUE;
                }
                found.add(each);
                return FileVisitResult.TERMINATE;
              }

              @Override
              public FileVisitResult visitFileFailed(Path each, IOException e) {
                return FileVisitResult.CONTINUE; // gone meanwhile
              }

              @Override
              public FileVisitResult postVisitDirectory(Path each, @Nullable IOException e) {
                return FileVisitResult.CONTINUE;
              }
            });
      } catch (IOException e) {
        return Optional.empty();
      }
      return found.stream().findFirst().map(each -> mounted + "/" + mount.relativize(each));
    }

    static OptionalLong id(Path directory) {
      try {
        return Files.getAttribute(directory, "unix:ino") instanceof Long inode
            ? OptionalLong.of(inode)
            : OptionalLong.empty();
      } catch (NoSuchFileException e) {
        return OptionalLong.empty();
      } catch (IOException e) {
        throw DurableFile.failed("look at", directory, e);
      }
    }
  }
}
