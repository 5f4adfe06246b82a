// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import dev.weir.node.bpf.BpfException;
import dev.weir.node.bpf.BpfProgram;
import dev.weir.node.bpf.SocketDiagnosis;
import dev.weir.policy.plan.Address;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Optional;
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

  private static final int ACCEPTED = 1;
  private static final int PORT = 4;
  private static final int IPPROTO_TCP = 6;
  private static final int IPPROTO_UDP = 17;

  /** What a connect() that was judged by the old generation needs to be found on its socket. */
  private static final Duration STRAGGLERS = Duration.ofMillis(20);

  private final Mesh mesh;
  private final Layouts layouts;
  private final Pins pins;
  private final List<String> failures = Collections.synchronizedList(new ArrayList<>());
  private final Namespaces namespaces;
  private Map<Long, Integer> homes = Map.of();

  private Revocation(Mesh mesh, Layouts layouts, Pins pins, Optional<Path> ownPorts) {
    this.mesh = mesh;
    this.layouts = layouts;
    this.pins = pins;
    this.namespaces = new Namespaces(ownPorts, failures::add);
  }

  /**
   * Gets ready: tells the walk the addresses of this node in all its network namespaces, since who
   * is called from one of these was judged where the call was made.
   *
   * @param ownPorts the namespace of the ports; empty for the caller's own
   * @param declared whose the others are
   */
  static Revocation prepare(
      Mesh mesh, Layouts layouts, Pins pins, Optional<Path> ownPorts, Homes declared) {
    Revocation revocation = new Revocation(mesh, layouts, pins, ownPorts);
    revocation.homes =
        revocation.namespaces.tell(
            mesh.map(Mesh.ADDRESSES), mesh.map(Mesh.HOMES), declared, layouts);
    return revocation;
  }

  /** Whose the network namespaces are, by cookie, that are a workload's own. */
  Map<Long, Integer> homes() {
    return homes;
  }

  /**
   * What was done.
   *
   * @param revoked what was ended
   * @param failures what could not be looked at or ended, one sentence each
   * @param unread whether no program reads the slot any more that was in force
   */
  record Outcome(List<Revoked> revoked, List<String> failures, boolean unread) {}

  /**
   * Walks twice: at once, and once more when no program can read the generation before any more and
   * what it had just let pass is a socket that can be found.
   *
   * @param before the slot that was in force
   */
  Outcome run(int before) {
    List<Revoked> revoked = Collections.synchronizedList(new ArrayList<>());
    boolean unread = false;
    try (Walk walk = open()) {
      namespaces.everywhere(() -> walk.here(revoked));
      mesh.barrier(before);
      unread = true;
      LockSupport.parkNanos(STRAGGLERS.toNanos());
      namespaces.everywhere(() -> walk.here(revoked));
    } catch (BpfException e) {
      failures.add("open connections were not looked at: " + e.getMessage());
    }
    return new Outcome(List.copyOf(revoked), failures.stream().distinct().toList(), unread);
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
        (from.flags().getInt(record, 0) & PORT) != 0,
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
}
