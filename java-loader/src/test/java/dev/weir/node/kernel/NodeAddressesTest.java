// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.Address;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;

/** What the kernel's own lists say of a namespace's addresses. */
final class NodeAddressesTest {

  @Test
  void addressesOfInterfacesAreFoundAndThoseOfNetworksAndOfLoAreNot() {
    Set<Address> found = new HashSet<>();
    NodeAddresses.four(
        List.of(
            "Main:",
            "  +-- 10.99.0.0/24 2 0 2",
            "     |-- 10.99.0.0",
            "        /24 link UNICAST",
            "     |-- 10.99.0.1",
            "        /32 host LOCAL",
            "     |-- 10.99.0.255",
            "        /32 link BROADCAST",
            "  |-- 127.0.0.1",
            "     /32 host LOCAL"),
        found);
    assertThat(found).containsExactly(PlanBuilder.address("10.99.0.1"));
  }

  @Test
  void addressesOfIpv6AreFoundButLoopback() {
    Set<Address> found = new HashSet<>();
    NodeAddresses.six(
        List.of(
            "00000000000000000000000000000001 01 80 10 80       lo",
            "20010db8000000000000000000000007 02 40 00 80     eth0"),
        found);
    assertThat(found).containsExactly(PlanBuilder.address("2001:db8::7"));
  }
}
