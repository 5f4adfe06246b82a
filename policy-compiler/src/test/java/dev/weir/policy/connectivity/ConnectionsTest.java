// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.connectivity;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.Protocol;
import java.util.BitSet;
import java.util.List;
import java.util.Random;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import org.junit.jupiter.api.Test;

class ConnectionsTest {

  private static final List<Protocol> PROTOCOLS =
      List.of(Protocol.SCTP, Protocol.TCP, Protocol.UDP);

  /** A set and what it is to be, one bit a port. */
  private record Sample(Connections set, BitSet bits) {}

  private static Sample sample(Random random) {
    Connections set = Connections.NONE;
    BitSet bits = new BitSet();
    for (int i = random.nextInt(5); i > 0; i--) {
      int protocol = random.nextInt(3);
      // Near both ends, where intervals meet those of the next protocol.
      int first = random.nextBoolean() ? 1 + random.nextInt(12) : 65520 + random.nextInt(16);
      int last = random.nextInt(5) == 0 ? 65535 : Math.min(65535, first + random.nextInt(4));
      set = set.or(Connections.of(PROTOCOLS.get(protocol), first, last));
      bits.set((protocol << 16) + first, (protocol << 16) + last + 1);
    }
    return new Sample(set, bits);
  }

  private static Connections of(BitSet bits) {
    Connections set = Connections.NONE;
    for (int first = bits.nextSetBit(0); first >= 0; ) {
      int behind = bits.nextClearBit(first);
      Protocol protocol = PROTOCOLS.get(first >>> 16);
      set = set.or(Connections.of(protocol, first & 0xffff, behind - 1 & 0xffff));
      first = bits.nextSetBit(behind);
    }
    return set;
  }

  @Property
  void operationsAreThoseOfSets(@ForAll long seed) {
    Random random = new Random(seed);
    Sample a = sample(random);
    Sample b = sample(random);
    BitSet or = (BitSet) a.bits().clone();
    or.or(b.bits());
    BitSet and = (BitSet) a.bits().clone();
    and.and(b.bits());
    BitSet minus = (BitSet) a.bits().clone();
    minus.andNot(b.bits());
    assertThat(a.set()).isEqualTo(of(a.bits()));
    assertThat(a.set().or(b.set())).isEqualTo(of(or));
    assertThat(a.set().and(b.set())).isEqualTo(of(and));
    assertThat(a.set().minus(b.set())).isEqualTo(of(minus));
    assertThat(a.set().isEmpty()).isEqualTo(a.bits().isEmpty());
  }

  @Test
  void neighbouringPortsAreWrittenAsOneRange() {
    Connections set =
        Connections.of(Protocol.UDP, 53, 53)
            .or(Connections.of(Protocol.TCP, 8081, 8090))
            .or(Connections.of(Protocol.TCP, 80, 80))
            .or(Connections.of(Protocol.TCP, 8080, 8080));
    assertThat(set).hasToString("TCP 80,8080-8090,UDP 53");
  }

  @Test
  void everyPortOfEveryProtocolIsAllConnections() {
    Connections set =
        Connections.of(Protocol.UDP)
            .or(Connections.of(Protocol.TCP))
            .or(Connections.of(Protocol.SCTP));
    assertThat(set).isEqualTo(Connections.ALL).hasToString("All Connections");
  }
}
