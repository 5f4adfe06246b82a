// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import dev.weir.node.bpf.BpfException;
import dev.weir.node.bpf.SystemCalls;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.PortOwner;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.BitSet;
import java.util.List;
import java.util.Optional;
import java.util.StringJoiner;
import java.util.function.Supplier;

/**
 * Keeps declared ports out of what the kernel gives to sockets that did not ask for one: connect()
 * and sendto() of an unbound socket, listen() without bind(), and bind() to port 0 pass no hook
 * that could refuse the port. The kernel leaves alone what is in {@code
 * net.ipv4.ip_local_reserved_ports} of the network namespace (ip-sysctl.rst), of both families and
 * all transports, and lets an explicit bind() have it.
 *
 * <p>What we added is written down before the kernel is told, so that {@link #restore} after a kill
 * at any instant takes back exactly that. A port that somebody else had reserved is never ours.
 */
final class ReservedPorts {

  private static final Path RESERVED = Path.of("/proc/sys/net/ipv4/ip_local_reserved_ports");
  private static final int PORTS = 65536;
  private static final int LONGEST_NUMBER = 6;

  private final Path file;
  private final Optional<Path> netns;

  /**
   * @param file where it is written down what we added
   * @param netns whose ports; empty for the caller's own
   */
  ReservedPorts(Path file, Optional<Path> netns) {
    this.file = file;
    this.netns = netns;
  }

  /** The ports that a plan declares in the node's own network namespace, of any protocol. */
  static BitSet declared(Plan plan) {
    BitSet ports = new BitSet(PORTS);
    plan.ports().stream()
        .filter(owner -> !owner.apart())
        .mapToInt(PortOwner::port)
        .filter(port -> port > 0)
        .forEach(ports::set);
    return ports;
  }

  /**
   * Reserves these ports beside those that others have reserved, and no others of ours any more.
   *
   * @return what could not be done; empty when they are reserved
   */
  Optional<String> reserve(BitSet declared) {
    try {
      BitSet before = ours();
      BitSet now = inNamespace(ReservedPorts::read);
      BitSet others = without(now, before);
      BitSet added = without(declared, others);
      BitSet wanted = or(others, added);
      if (!added.equals(before)) {
        writeDown(or(before, added));
      }
      if (!wanted.equals(now)) {
        inNamespace(() -> write(wanted));
      }
      if (!added.equals(before)) {
        writeDown(added);
      }
      return Optional.empty();
    } catch (NodeException | BpfException e) {
      return Optional.of(
          "declared ports are not kept out of the ports that the kernel gives away by itself, so an"
              + " outgoing connection may take one while its owner is down: "
              + e.getMessage());
    }
  }

  /** Takes back what we added; does nothing when that has been done. */
  void restore() {
    if (DurableFile.read(file).isEmpty()) {
      return;
    }
    try {
      BitSet before = ours();
      BitSet now = inNamespace(ReservedPorts::read);
      BitSet wanted = without(now, before);
      if (!wanted.equals(now)) {
        inNamespace(() -> write(wanted));
      }
    } catch (NodeException | BpfException e) {
      // The namespace is gone, and the reservation with it, or was not ours to make: "down" goes
      // on with the rest.
    }
    DurableFile.remove(file);
  }

  private <T> T inNamespace(Supplier<T> call) {
    return netns.isPresent() ? SystemCalls.in(netns.get(), call) : call.get();
  }

  /** First line: cookie of the namespace; second: ports as the kernel writes them. */
  private BitSet ours() {
    List<String> lines =
        DurableFile.read(file)
            .map(bytes -> new String(bytes, StandardCharsets.US_ASCII).lines().toList())
            .orElse(List.of());
    // Of another namespace: what was added there is not here.
    return lines.size() == 2 && lines.getFirst().equals(cookie())
        ? parse(lines.get(1))
        : new BitSet();
  }

  private String cookie() {
    return Long.toUnsignedString(SystemCalls.netnsCookie(netns));
  }

  private void writeDown(BitSet ports) {
    DurableFile.write(
        file, (cookie() + "\n" + format(ports) + "\n").getBytes(StandardCharsets.US_ASCII));
  }

  /** In one call: the kernel gives nothing to a second one. */
  private static BitSet read() {
    ByteBuffer buffer = ByteBuffer.allocate(PORTS * LONGEST_NUMBER);
    try (FileChannel channel = FileChannel.open(RESERVED, StandardOpenOption.READ)) {
      int length = Math.max(0, channel.read(buffer));
      return parse(new String(buffer.array(), 0, length, StandardCharsets.US_ASCII));
    } catch (IOException e) {
      throw DurableFile.failed("read", RESERVED, e);
    }
  }

  private static boolean write(BitSet ports) {
    ByteBuffer buffer = ByteBuffer.wrap((format(ports) + "\n").getBytes(StandardCharsets.US_ASCII));
    try (FileChannel channel = FileChannel.open(RESERVED, StandardOpenOption.WRITE)) {
      // The kernel takes a page at a time: the first replaces, the others add.
      while (buffer.hasRemaining()) {
        channel.write(buffer);
      }
      return true;
    } catch (IOException e) {
      throw DurableFile.failed("write", RESERVED, e);
    }
  }

  /** Such as {@code 1,10-12}. */
  static BitSet parse(String text) {
    BitSet ports = new BitSet(PORTS);
    for (String part : text.strip().split(",", -1)) {
      if (part.isEmpty()) {
        continue;
      }
      int dash = part.indexOf('-');
      try {
        int first = Integer.parseInt(dash < 0 ? part : part.substring(0, dash));
        int last = dash < 0 ? first : Integer.parseInt(part.substring(dash + 1));
        ports.set(first, last + 1);
      } catch (NumberFormatException | IndexOutOfBoundsException e) {
        throw new NodeException("not a list of ports: " + text, e);
      }
    }
    return ports;
  }

  /** The inverse of {@link #parse}. */
  static String format(BitSet ports) {
    StringJoiner text = new StringJoiner(",");
    for (int first = ports.nextSetBit(0); first >= 0; ) {
      int end = ports.nextClearBit(first);
      text.add(end == first + 1 ? Integer.toString(first) : first + "-" + (end - 1));
      first = ports.nextSetBit(end);
    }
    return text.toString();
  }

  static BitSet or(BitSet one, BitSet other) {
    BitSet both = (BitSet) one.clone();
    both.or(other);
    return both;
  }

  private static BitSet without(BitSet from, BitSet less) {
    BitSet rest = (BitSet) from.clone();
    rest.andNot(less);
    return rest;
  }
}
