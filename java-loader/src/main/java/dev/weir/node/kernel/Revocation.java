// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import dev.weir.node.bpf.BpfException;
import dev.weir.node.bpf.BpfMap;
import dev.weir.node.bpf.BpfProgram;
import dev.weir.node.bpf.SocketDiagnosis;
import dev.weir.node.bpf.SystemCalls;
import dev.weir.policy.plan.Address;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.locks.LockSupport;

/**
 * Ends the open connections that the generation in force does not allow, in every network namespace
 * of the node. A walk over all sockets asks for each one again, in the kernel ({@code
 * iterate.bpf.c}); no connection is asked for anything between two walks.
 */
final class Revocation {

  static final String DESTROY_TCP = "weir_revoke_tcp";
  static final String DESTROY_UDP = "weir_revoke_udp";
  static final String LIST_TCP = "weir_list_tcp";
  static final String LIST_UDP = "weir_list_udp";

  private static final Path PROC = Path.of("/proc");
  private static final Path NAMED = Path.of("/run/netns");
  private static final int MOST_WALKERS = 4;
  private static final int ACCEPTED = 1;
  private static final int IPPROTO_TCP = 6;
  private static final int IPPROTO_UDP = 17;

  /** What a connect() that was judged by the old generation needs to be found on its socket. */
  private static final Duration STRAGGLERS = Duration.ofMillis(20);

  private final Mesh mesh;
  private final Layouts layouts;
  private final Pins pins;
  private final Optional<Path> ownPorts;
  private final List<String> failures = Collections.synchronizedList(new ArrayList<>());

  private Revocation(Mesh mesh, Layouts layouts, Pins pins, Optional<Path> ownPorts) {
    this.mesh = mesh;
    this.layouts = layouts;
    this.pins = pins;
    this.ownPorts = ownPorts;
  }

  /**
   * Gets ready: tells the walk the addresses of this node in all its network namespaces, since who
   * is called from one of these was judged where the call was made.
   *
   * @param ownPorts the namespace of the ports; empty for the caller's own
   */
  static Revocation prepare(Mesh mesh, Layouts layouts, Pins pins, Optional<Path> ownPorts) {
    Revocation revocation = new Revocation(mesh, layouts, pins, ownPorts);
    revocation.tellAddresses();
    return revocation;
  }

  private void tellAddresses() {
    Set<Address> found = ConcurrentHashMap.newKeySet();
    everywhere(() -> found.addAll(NodeAddresses.here()));
    BpfMap map = mesh.map(Mesh.ADDRESSES);
    ByteBuffer value = map.newValue().putInt(0, 1);
    Set<Address> before = new HashSet<>();
    map.forEach(
        (key, ignored) -> {
          byte[] bytes = new byte[Layouts.ADDRESS];
          key.get(0, bytes);
          before.add(Address.of(bytes));
        });
    ByteBuffer key = map.newKey();
    for (Address gone : before) {
      if (!found.contains(gone)) {
        map.delete(key.put(0, gone.bytes()));
      }
    }
    for (Address address : found) {
      if (!before.contains(address)) {
        try {
          map.update(key.put(0, address.bytes()), value);
        } catch (BpfException e) {
          failures.add(
              "this node has more addresses than fit; connections between its network namespaces"
                  + " may be taken for ones from outside: "
                  + e.getMessage());
        }
      }
    }
  }

  /**
   * What was done.
   *
   * @param revoked what was ended
   * @param failures what could not be looked at or ended, one sentence each
   */
  record Outcome(List<Revoked> revoked, List<String> failures) {}

  /**
   * Walks twice: at once, and once more when no program can read the generation before any more and
   * what it had just let pass is a socket that can be found.
   *
   * @param before the slot that was in force
   */
  Outcome run(int before) {
    List<Revoked> revoked = Collections.synchronizedList(new ArrayList<>());
    try (Walk walk = open()) {
      everywhere(() -> walk.here(revoked));
      mesh.barrier(before);
      LockSupport.parkNanos(STRAGGLERS.toNanos());
      everywhere(() -> walk.here(revoked));
    } catch (BpfException e) {
      failures.add("open connections were not looked at: " + e.getMessage());
    }
    return new Outcome(List.copyOf(revoked), failures.stream().distinct().toList());
  }

  /** Does something in our own namespace on this thread, in others on some that end with it. */
  private void everywhere(Runnable task) {
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
        failures.add("open connections of " + netns + " were not looked at: " + e.getMessage());
      }
    }
  }

  private Walk open() {
    boolean destroys =
        Files.exists(pins.program(DESTROY_TCP)) && Files.exists(pins.program(DESTROY_UDP));
    BpfProgram tcp = BpfProgram.open(pins.program(destroys ? DESTROY_TCP : LIST_TCP));
    try {
      return new Walk(
          tcp, BpfProgram.open(pins.program(destroys ? DESTROY_UDP : LIST_UDP)), destroys);
    } catch (BpfException e) {
      tcp.close();
      throw e;
    }
  }

  private final class Walk implements AutoCloseable {
    private final BpfProgram tcp;
    private final BpfProgram udp;
    private final boolean destroys;

    Walk(BpfProgram tcp, BpfProgram udp, boolean destroys) {
      this.tcp = tcp;
      this.udp = udp;
      this.destroys = destroys;
    }

    /** The namespace of this thread. */
    void here(List<Revoked> revoked) {
      if (destroys) {
        int size = layouts.revoked.layout().size();
        tcp.iterate(size, record -> revoked.add(revoked(record)));
        udp.iterate(size, record -> revoked.add(revoked(record)));
        return;
      }
      List<Listed> listed = new ArrayList<>();
      int size = layouts.revoked.layout().size();
      tcp.iterate(size, record -> listed.add(new Listed(revoked(record), target(record))));
      udp.iterate(size, record -> listed.add(new Listed(revoked(record), target(record))));
      if (listed.isEmpty()) {
        return;
      }
      try (SocketDiagnosis diagnosis = SocketDiagnosis.open()) {
        for (Listed one : listed) {
          if (diagnosis.destroy(one.target())) {
            revoked.add(one.revoked());
          }
        }
      } catch (BpfException e) {
        failures.add(
            listed.size()
                + " open connections are not allowed any more and go on, because this kernel cannot"
                + " end them: "
                + e.getMessage());
      }
    }

    @Override
    public void close() {
      tcp.close();
      udp.close();
    }
  }

  private record Listed(Revoked revoked, SocketDiagnosis.Target target) {}

  private Revoked revoked(ByteBuffer record) {
    Layouts.Revoked from = layouts.revoked;
    return new Revoked(
        from.source().getInt(record, 0),
        from.destination().getInt(record, 0),
        from.port().getInt(record, 0),
        Counters.protocol(from.protocol().getInt(record, 0)),
        Address.of(from.local().bytes(record, 0)),
        from.localPort().getInt(record, 0),
        Address.of(from.remote().bytes(record, 0)),
        from.remotePort().getInt(record, 0),
        (from.flags().getInt(record, 0) & ACCEPTED) != 0,
        from.rule().getInt(record, 0),
        Counters.reason(from.reason().getInt(record, 0)));
  }

  private SocketDiagnosis.Target target(ByteBuffer record) {
    Layouts.Revoked from = layouts.revoked;
    return new SocketDiagnosis.Target(
        from.family().getInt(record, 0),
        Counters.protocol(from.protocol().getInt(record, 0)) == dev.weir.policy.plan.Protocol.TCP
            ? IPPROTO_TCP
            : IPPROTO_UDP,
        ByteBuffer.wrap(from.local().bytes(record, 0)),
        from.localPort().getInt(record, 0),
        ByteBuffer.wrap(from.remote().bytes(record, 0)),
        from.remotePort().getInt(record, 0),
        from.networkInterface().getInt(record, 0),
        from.cookie().get(record, 0));
  }

  /**
   * Every network namespace but this thread's that a process lives in, or that has a name. One is
   * left out in which nothing but sockets without a process is (passed on, or still sending).
   */
  private List<Path> others() {
    Map<String, Path> found = new LinkedHashMap<>();
    ownPorts.ifPresent(path -> add(found, path));
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

  private static Optional<String> inode(Path netns) {
    try {
      return Optional.of(Files.getAttribute(netns, "unix:ino").toString());
    } catch (IOException e) {
      return Optional.empty(); // gone
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
