// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import dev.weir.node.bpf.BpfException;
import dev.weir.node.bpf.BpfMap;
import dev.weir.node.bpf.SystemCalls;
import dev.weir.policy.plan.Address;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.function.Consumer;
import java.util.stream.Stream;

/** The network namespaces of this node: the node's own, and those of pods and others. */
final class Namespaces {

  private static final Path PROC = Path.of("/proc");
  private static final Path NAMED = Path.of("/run/netns");
  private static final int MOST_WALKERS = 4;

  /** {@code WEIR_SEVERAL_NAMESPACES}. */
  private static final long SEVERAL = -1;

  private final Optional<Path> own;
  private final Consumer<String> failures;

  /**
   * Those of this node.
   *
   * @param own the namespace whose ports are owned; empty for the caller's own
   * @param failures is told what could not be looked at, one sentence each
   */
  Namespaces(Optional<Path> own, Consumer<String> failures) {
    this.own = own;
    this.failures = failures;
  }

  /** Does something in our own namespace on this thread, in others on some that end with it. */
  void everywhere(Runnable task) {
    List<Path> others = others();
    int walkers =
        Math.clamp(
            others.size(), 1, Math.min(MOST_WALKERS, Runtime.getRuntime().availableProcessors()));
    try (ExecutorService threads =
        Executors.newFixedThreadPool(
            walkers, Thread.ofPlatform().name("weir-namespace-", 0).factory())) {
      others.forEach(netns -> threads.execute(() -> in(netns, task)));
      task.run();
    }
  }

  private void in(Path netns, Runnable task) {
    try {
      SystemCalls.enter(netns);
      task.run();
    } catch (BpfException e) {
      // One that was found by a process that has ended since is found by others that live there.
      if (Files.exists(netns)) {
        failures.accept("open connections of " + netns + " were not looked at: " + e.getMessage());
      }
    }
  }

  /**
   * Tells the kernel which address is of which namespace of this node, and whose a namespace is.
   *
   * @param map {@code addresses}
   * @param homes {@code homes}
   * @param declared whose each address is
   * @param layouts of the compiled programs
   * @return the workload of each namespace, by cookie, that is one's own
   */
  Map<Long, Integer> tell(BpfMap map, BpfMap homes, Homes declared, Layouts layouts) {
    Map<Address, Long> found = new ConcurrentHashMap<>();
    Map<Long, Set<Integer>> dwellers = new ConcurrentHashMap<>();
    // Looked up first: what is told of a namespace that is made meanwhile, stays.
    Map<Long, Integer> before = Homes.read(homes, layouts);
    long node = SystemCalls.netnsCookie(own);
    everywhere(
        () -> {
          long cookie = SystemCalls.netnsCookie(Optional.empty());
          Set<Integer> here = new HashSet<>();
          for (Address address : NodeAddresses.here()) {
            found.merge(
                address,
                cookie,
                (one, other) ->
                    one.equals(other) ? one : one == node || other == node ? node : SEVERAL);
            Optional.ofNullable(declared.addresses().get(address)).ifPresent(here::add);
          }
          if (cookie != node) {
            dwellers.put(cookie, Set.copyOf(here));
          }
        });
    tellAddresses(map, found);
    return Homes.tell(homes, layouts, before, dwellers, failures);
  }

  private void tellAddresses(BpfMap map, Map<Address, Long> found) {
    Map<Address, Long> before = new HashMap<>();
    map.forEach(
        (key, value) -> {
          byte[] bytes = new byte[Layouts.ADDRESS];
          key.get(0, bytes);
          before.put(Address.of(bytes), value.getLong(0));
        });
    ByteBuffer key = map.newKey();
    for (Address gone : before.keySet()) {
      if (!found.containsKey(gone)) {
        map.delete(key.put(0, gone.bytes()));
      }
    }
    ByteBuffer value = map.newValue();
    found.forEach(
        (address, cookie) -> {
          if (!cookie.equals(before.get(address))) {
            try {
              map.update(key.put(0, address.bytes()), value.putLong(0, cookie));
            } catch (BpfException e) {
              failures.accept(
                  "this node has more addresses than fit; connections between its network"
                      + " namespaces may be taken for ones from outside: "
                      + e.getMessage());
            }
          }
        });
  }

  /**
   * Every network namespace but this thread's that a process lives in, or that has a name. One is
   * left out in which nothing but sockets without a process is (passed on, or still sending).
   */
  private List<Path> others() {
    Map<String, Path> found = new LinkedHashMap<>();
    own.ifPresent(path -> add(found, path));
    list(NAMED).forEach(path -> add(found, path));
    for (Path process : list(PROC)) {
      String name = String.valueOf(process.getFileName());
      if (Character.isDigit(name.charAt(0))) {
        add(found, process.resolve("ns/net"));
      }
    }
    inode(PROC.resolve("thread-self/ns/net")).ifPresent(found::remove);
    return List.copyOf(found.values());
  }

  private static void add(Map<String, Path> found, Path netns) {
    inode(netns).ifPresent(inode -> found.putIfAbsent(inode, netns));
  }

  /**
   * Where the processes of cgroups, and of those below them, live.
   *
   * @param cgroups directories; one that is not there has nobody
   * @param own the node's own namespace, which is left out
   */
  static Map<Long, Path> of(List<Path> cgroups, Optional<Path> own) {
    Map<String, Path> found = new LinkedHashMap<>();
    for (Path cgroup : cgroups) {
      try (Stream<Path> tree = Files.walk(cgroup)) {
        tree.filter(Files::isDirectory)
            .flatMap(directory -> processes(directory).stream())
            .forEach(pid -> add(found, PROC.resolve(pid + "/ns/net")));
      } catch (IOException | UncheckedIOException e) {
        // It has gone meanwhile, or never was: nobody lives there.
      }
    }
    inode(own.orElse(PROC.resolve("self/ns/net"))).ifPresent(found::remove);
    Map<Long, Path> namespaces = new HashMap<>();
    for (Path netns : found.values()) {
      try {
        namespaces.put(SystemCalls.netnsCookie(Optional.of(netns)), netns);
      } catch (BpfException e) {
        // Its process has just ended; if others live there, the next look finds them.
      }
    }
    return namespaces;
  }

  private static List<String> processes(Path cgroup) {
    try {
      return Files.readAllLines(cgroup.resolve("cgroup.procs"));
    } catch (IOException e) {
      return List.of(); // gone, or threaded: then its domain names them
    }
  }

  /** The number of a namespace as long as it lives; empty when it has gone. */
  static Optional<String> inode(Path netns) {
    try {
      return Optional.of(Files.getAttribute(netns, "unix:ino").toString());
    } catch (IOException e) {
      return Optional.empty();
    }
  }

  private static List<Path> list(Path directory) {
    List<Path> entries = new ArrayList<>();
    try (DirectoryStream<Path> stream = Files.newDirectoryStream(directory)) {
      stream.forEach(entries::add);
    } catch (IOException | java.nio.file.DirectoryIteratorException e) {
      return entries;
    }
    return entries;
  }
}
