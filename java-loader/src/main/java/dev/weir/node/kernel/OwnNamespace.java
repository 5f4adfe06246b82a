// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import dev.weir.node.bpf.SystemCalls;
import dev.weir.policy.plan.Address;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.StandardProtocolFamily;
import java.nio.channels.DatagramChannel;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.Optional;
import java.util.Set;

/**
 * The node's own network namespace: that of whoever has no other. What a workload declares to have
 * on loopback is there, and workloads in namespaces of their own reach it by one of its addresses.
 *
 * @param cookie by which the kernel's programs know it
 * @param four IPv4 address by which others reach it; empty when it has none but loopback
 * @param six IPv6 address by which others reach it
 */
record OwnNamespace(long cookie, Optional<Address> four, Optional<Address> six) {

  /**
   * Addresses of which no packet ever comes back (RFC 5737, RFC 3849): only a route is asked for.
   */
  private static final String FAR4 = "192.0.2.1";

  private static final String FAR6 = "2001:db8::1";
  private static final int DISCARD = 9;

  /**
   * That of a mesh.
   *
   * @param netns such as {@code /run/netns/NAME}; empty for the caller's own
   */
  static OwnNamespace of(Optional<Path> netns) {
    return netns
        .map(path -> SystemCalls.in(path, OwnNamespace::here))
        .orElseGet(OwnNamespace::here);
  }

  /** The IPv4 address as the kernel's programs know it; zeros for none. */
  byte[] fourBytes() {
    return bytes(four);
  }

  /** The IPv6 address as the kernel's programs know it; zeros for none. */
  byte[] sixBytes() {
    return bytes(six);
  }

  private static byte[] bytes(Optional<Address> address) {
    return address.map(Address::bytes).orElseGet(() -> new byte[Layouts.ADDRESS]);
  }

  private static OwnNamespace here() {
    Set<Address> addresses = NodeAddresses.here();
    return new OwnNamespace(
        SystemCalls.netnsCookie(Optional.empty()),
        best(addresses, true, FAR4),
        best(addresses, false, FAR6));
  }

  /** The one that the node itself would call from; without a default route the lowest. */
  private static Optional<Address> best(Set<Address> addresses, boolean v4, String far) {
    return source(v4, far)
        .filter(addresses::contains)
        .or(
            () ->
                addresses.stream()
                    .filter(address -> address.isV4() == v4 && !isLinkLocal(address))
                    .min(Comparator.naturalOrder()));
  }

  private static boolean isLinkLocal(Address address) {
    byte[] bytes = address.bytes();
    return address.isV4()
        ? (bytes[12] & 0xff) == 169 && (bytes[13] & 0xff) == 254
        : (bytes[0] & 0xff) == 0xfe && (bytes[1] & 0xc0) == 0x80;
  }

  /** Connecting a datagram socket sends nothing; it asks the routes. */
  private static Optional<Address> source(boolean v4, String far) {
    try (DatagramChannel channel =
        DatagramChannel.open(v4 ? StandardProtocolFamily.INET : StandardProtocolFamily.INET6)) {
      channel.connect(new InetSocketAddress(InetAddress.getByName(far), DISCARD));
      return channel.getLocalAddress() instanceof InetSocketAddress local
          ? Optional.of(Address.of(local.getAddress().getAddress()))
          : Optional.empty();
    } catch (IOException | UnsupportedOperationException e) {
      return Optional.empty(); // no route, or no such family
    }
  }
}
