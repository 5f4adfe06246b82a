// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.plan;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import org.junit.jupiter.api.Test;

class PlanCodecTest {

  /** Magic word and version. */
  private static final int HEADER = 10;

  @Property(tries = 300)
  void everyPlanComesBackAsItWas(@ForAll long seed) throws PlanFormatException {
    Plan plan = RandomPlans.plan(seed);
    assertThat(PlanCodec.decode(PlanCodec.encode(plan))).isEqualTo(plan);
  }

  @Property(tries = 50)
  void equalPlansGiveEqualBytes(@ForAll long seed) {
    assertThat(PlanCodec.encode(RandomPlans.plan(seed)))
        .isEqualTo(PlanCodec.encode(RandomPlans.plan(seed)));
  }

  @Property(tries = 100)
  void everyProxyUpdateComesBackAsItWas(@ForAll long seed) throws PlanFormatException {
    Plan plan = PlanCodec.forProxy(RandomPlans.plan(seed));
    ProxyUpdate update =
        new ProxyUpdate(
            7,
            plan,
            Collections.nCopies(plan.workloads().size(), 16),
            List.of(new TlsKeyPair("shop/tls", "chain", "key")));
    assertThat(ProxyUpdateCodec.decode(ProxyUpdateCodec.encode(update))).isEqualTo(update);
  }

  @Property(tries = 100)
  void aPlanCutForTheProxyCanStillBeLookedUp(@ForAll long seed) throws PlanFormatException {
    Plan cut = PlanCodec.forProxy(RandomPlans.plan(seed));
    assertThat(PlanCodec.decode(PlanCodec.encode(cut))).isEqualTo(cut);
  }

  @Property(tries = 100)
  void aPlanCutForTheProxyNamesTheRuleOfEveryAnswerItCanGive(@ForAll long seed) {
    Plan plan = RandomPlans.plan(seed);
    Plan cut = PlanCodec.forProxy(plan);
    VerdictIndex index = new VerdictIndex(cut);
    assertThat(cut.rules()).hasSameSizeAs(plan.rules());
    for (Service service : cut.services()) {
      for (int source = 0; source < plan.identities().size(); source++) {
        int rule =
            index.lookup(source, service.identity(), service.protocol(), service.port()).rule();
        assertThat(cut.rules().get(rule)).isEqualTo(plan.rules().get(rule));
      }
    }
  }

  @Property(tries = 100)
  void aPlanCutForTheProxyNamesTheRulesOfItsAuthorizationPolicies(@ForAll long seed) {
    Plan plan = RandomPlans.plan(seed);
    Plan cut = PlanCodec.forProxy(plan);
    for (AccessPlan.Policy policy : cut.proxy().access().policies()) {
      assertThat(cut.rules().get(policy.rule())).isEqualTo(plan.rules().get(policy.rule()));
    }
    for (AccessPlan.Guard guard : cut.proxy().access().guards()) {
      assertThat(plan.proxy().access().guards())
          .filteredOn(g -> g.workload() == guard.workload())
          .extracting(g -> policies(plan, g))
          .contains(policies(cut, guard));
    }
  }

  private static List<AccessPlan.Policy> policies(Plan plan, AccessPlan.Guard guard) {
    return guard.policies().stream()
        .map(b -> plan.proxy().access().policies().get(b.policy()))
        .toList();
  }

  @Test
  void aLargePlanIsSmallForTheProxy() {
    Plan plan = RandomPlans.plan(1);
    List<Rule> rules = new ArrayList<>(plan.rules());
    while (rules.size() < 65_536) {
      rules.add(new Rule("NetworkPolicy", "shop", "n" + rules.size(), "ingress[0]", "p.yaml", 1));
    }
    Plan large =
        new Plan(
            plan.settings(),
            plan.workloads(),
            plan.identities(),
            rules,
            plan.verdicts(),
            plan.portClasses(),
            plan.services(),
            plan.backends(),
            plan.endpoints(),
            plan.cidrs(),
            plan.ports(),
            plan.proxy());
    assertThat(PlanCodec.encode(PlanCodec.forProxy(large)))
        .hasSizeLessThan(PlanCodec.encode(large).length / 4);
  }

  @Property(tries = 300)
  void aDamagedPlanIsRefused(@ForAll long seed, @ForAll int at, @ForAll byte difference) {
    byte[] bytes = PlanCodec.encode(RandomPlans.plan(seed % 16));
    bytes[Math.floorMod(at, bytes.length)] ^= difference == 0 ? 1 : difference;
    assertThatExceptionOfType(PlanFormatException.class).isThrownBy(() -> PlanCodec.decode(bytes));
  }

  @Property(tries = 2000)
  void noBytesBreakTheReader(@ForAll long seed, @ForAll int at, @ForAll byte value) {
    byte[] bytes = PlanCodec.encode(RandomPlans.plan(seed % 64));
    int end = bytes.length - BinaryWriter.CHECKSUM_BYTES;
    isReadOrRefusedWithItsPlace(bytes, HEADER + Math.floorMod(at, end - HEADER), value);
  }

  /** A number of which 0 is out of range is in one byte only, which a random one seldom meets. */
  @Test
  void aZeroInPlaceOfAnyByteIsReadOrRefusedWithItsPlace() {
    byte[] bytes = PlanCodec.encode(RandomPlans.plan(1));
    for (int at = HEADER; at < bytes.length - BinaryWriter.CHECKSUM_BYTES; at++) {
      isReadOrRefusedWithItsPlace(bytes, at, (byte) 0);
    }
  }

  /** With a checksum that fits, so that the reader itself has to notice. */
  private static void isReadOrRefusedWithItsPlace(byte[] plan, int at, byte value) {
    byte[] bytes = plan.clone();
    bytes[at] = value;
    int end = bytes.length - BinaryWriter.CHECKSUM_BYTES;
    ByteBuffer.wrap(bytes).putInt(end, BinaryWriter.checksum(bytes, end));
    try {
      Plan read = PlanCodec.decode(bytes);
      assertThat(PlanCodec.decode(PlanCodec.encode(read))).isEqualTo(read);
    } catch (PlanFormatException e) {
      assertThat(e).hasMessageContaining("at byte");
    }
  }

  @Test
  void aPlanCutShortIsRefused() {
    byte[] bytes = PlanCodec.encode(RandomPlans.plan(1));
    for (int length = 0; length < bytes.length; length++) {
      byte[] part = Arrays.copyOf(bytes, length);
      assertThatExceptionOfType(PlanFormatException.class).isThrownBy(() -> PlanCodec.decode(part));
    }
  }

  @Test
  void aPlanOfAnotherVersionSaysSo() {
    byte[] bytes = PlanCodec.encode(RandomPlans.plan(1));
    bytes[9] = 99;
    assertThatThrownBy(() -> PlanCodec.decode(bytes))
        .isInstanceOf(PlanFormatException.class)
        .hasMessageContaining("format 99");
  }

  @Test
  void keyPairsComeBackAsTheyWere() throws PlanFormatException {
    List<TlsKeyPair> pairs = List.of(new TlsKeyPair("a/b", "chain", "key"));
    assertThat(TlsKeyPairCodec.decode(TlsKeyPairCodec.encode(pairs))).isEqualTo(pairs);
  }
}
