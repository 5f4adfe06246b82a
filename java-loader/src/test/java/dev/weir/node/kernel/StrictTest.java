// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.Verdict.Decision;
import java.nio.file.Path;
import java.time.Duration;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** PeerAuthentication STRICT: nobody comes over a wire in plain text, whoever else may. */
@Tag("kernel")
final class StrictTest {

  private static final int PORT = 5432;
  private static final int EXCEPTED = 8080;
  private static final int LAST = 65_535;
  private static final String DROPPED = "ETIMEDOUT";

  @RegisterExtension final KernelTest kernel = new KernelTest();
  private Outside outside;

  @BeforeEach
  void connectTheNode() {
    outside = new Outside(kernel);
  }

  @AfterEach
  void disconnectTheNode() {
    outside.close();
  }

  private PlanBuilder db() {
    return kernel
        .plan()
        .workload("web")
        .workload("db")
        .owns("db", Protocol.TCP, PORT)
        .owns("db", Protocol.TCP, EXCEPTED)
        .owns("db", Protocol.UDP, PORT);
  }

  /** All ports but one. */
  private PlanBuilder strict() {
    return db().strict("db", 0, EXCEPTED - 1).strict("db", EXCEPTED + 1, LAST);
  }

  private void serve(int port) {
    kernel.serve("db", "listen", "::", Integer.toString(port), "--reply", "db");
  }

  @Test
  void plainTextFromElsewhereIsDroppedWhereNoOtherPolicyIsAboutThePort() {
    kernel.apply(strict().build());
    serve(PORT);
    assertThat(outside.ask(Outside.NODE, PORT)).isEqualTo(DROPPED);
    assertThat(outside.ask(Outside.NODE6, PORT)).isEqualTo(DROPPED);

    kernel.node().down();
    assertThat(outside.ask(Outside.NODE, PORT)).isEqualTo("db");
    assertThat(outside.ask(Outside.NODE6, PORT)).isEqualTo("db");
  }

  @Test
  void plainTextFromElsewhereIsDroppedWhereOtherPoliciesLetItIn() {
    kernel.apply(strict().isolateIngress("db").allow("outside", "db", Protocol.TCP, PORT).build());
    serve(PORT);
    assertThat(outside.ask(Outside.NODE, PORT)).isEqualTo(DROPPED);
    assertThat(kernel.node().telemetry().refusals())
        .singleElement()
        .satisfies(
            refusal ->
                assertThat(kernel.node().ruleKey(refusal.rule()))
                    .hasValueSatisfying(key -> assertThat(key).contains("strict-db")));

    kernel.apply(db().isolateIngress("db").allow("outside", "db", Protocol.TCP, PORT).build());
    assertThat(outside.ask(Outside.NODE, PORT)).isEqualTo("db");
  }

  @Test
  void anExceptedPortIsOpenInPlainText() {
    kernel.apply(strict().build());
    serve(PORT);
    serve(EXCEPTED);
    assertThat(outside.ask(Outside.NODE, EXCEPTED)).isEqualTo("db");
    assertThat(outside.ask(Outside.NODE, PORT)).isEqualTo(DROPPED);
  }

  @Test
  void onePortMayBeTheOnlyStrictOne() {
    kernel.apply(db().strict("db", PORT, PORT).build());
    serve(PORT);
    serve(EXCEPTED);
    assertThat(outside.ask(Outside.NODE, PORT)).isEqualTo(DROPPED);
    assertThat(outside.ask(Outside.NODE, EXCEPTED)).isEqualTo("db");
  }

  @Test
  void whatComesFromThisNodeComesByNoWire() {
    kernel.apply(
        strict().endpoint("web", Outside.THERE, false).endpoint("db", Outside.NODE, false).build());
    serve(PORT);
    String port = Integer.toString(PORT);
    for (String address : new String[] {"127.0.0.1", "::1", Outside.NODE, Outside.NODE6}) {
      for (String who : new String[] {"web", "plain"}) {
        assertThat(kernel.run(who, "connect", address, port, "--read").text("line"))
            .as("%s to %s", who, address)
            .isEqualTo("db");
      }
    }
    // And from another network namespace of it.
    String[] connect = {"connect", Outside.NODE, port, "--read"};
    assertThat(outside.runAs("web", connect).text("line")).isEqualTo("db");
    assertThat(outside.ask(Outside.NODE, PORT)).isEqualTo(DROPPED);
  }

  @Test
  void aBelievedAddressHasNoPrincipalEither() {
    kernel.apply(strict().workload("far").believed("far", "by-address", Outside.THERE).build());
    serve(PORT);
    assertThat(outside.ask(Outside.NODE, PORT)).isEqualTo(DROPPED);

    kernel.apply(db().workload("far").believed("far", "by-address", Outside.THERE).build());
    assertThat(outside.ask(Outside.NODE, PORT)).isEqualTo("db");
  }

  @Test
  void udpKnowsNoMutualTls() {
    kernel.apply(strict().build());
    kernel.serve("db", "udp-echo", "0.0.0.0", Integer.toString(PORT), "--reply", "db");
    assertThat(outside.send(Outside.NODE, PORT)).isEqualTo("db");
  }

  @Test
  void whatPoliciesInAuditWouldRefuseIsRefusedHere() {
    kernel.apply(strict().auditIngress("db").build());
    serve(PORT);
    serve(EXCEPTED);
    assertThat(outside.ask(Outside.NODE, PORT)).isEqualTo(DROPPED);
    assertThat(outside.ask(Outside.NODE, EXCEPTED)).isEqualTo("db");
  }

  @Test
  void whatOnlyTheProxyMayLookIntoIsRefusedInTheNameOfTheDemand() {
    kernel.apply(
        strict()
            .isolateIngress("db")
            .verdict("outside", "db", Protocol.TCP, PORT, Decision.INSPECT)
            .build());
    serve(PORT);
    assertThat(outside.ask(Outside.NODE, PORT)).isEqualTo(DROPPED);
    assertThat(kernel.node().telemetry().refusals())
        .singleElement()
        .satisfies(
            refusal ->
                assertThat(kernel.node().ruleKey(refusal.rule()))
                    .hasValueSatisfying(key -> assertThat(key).contains("strict-db")));
  }

  @Test
  void auditModeOfTheNodeLetsInAndCounts() {
    kernel.apply(strict().audit().build());
    serve(PORT);
    assertThat(outside.ask(Outside.NODE, PORT)).isEqualTo("db");
    assertThat(kernel.node().telemetry().refusals())
        .singleElement()
        .satisfies(refusal -> assertThat(refusal.audited()).isTrue());
  }

  @Test
  void whatIsOpenAlreadyEndsWhenItIsDemanded() {
    kernel.apply(db().build());
    kernel.serve("db", "listen", "0.0.0.0", Integer.toString(PORT), "--echo");
    kernel.serve("db", "listen", "0.0.0.0", Integer.toString(EXCEPTED), "--echo");
    outside.callsFromAfar();
    try (Held cut = outside.hold(Outside.NODE, PORT, 3);
        Held kept = outside.hold(Outside.NODE, EXCEPTED, 3)) {
      assertThat(cut.held()).isEqualTo(3);
      assertThat(kept.held()).isEqualTo(3);

      Applied applied = kernel.apply(strict().build());

      assertThat(applied.revoked())
          .hasSize(3)
          .allSatisfy(
              revoked -> {
                assertThat(revoked.port()).isEqualTo(PORT);
                assertThat(revoked.accepted()).isTrue();
                assertThat(kernel.node().ruleKey(revoked.rule()))
                    .hasValueSatisfying(key -> assertThat(key).contains("strict-db"));
              });
      long rounds = kept.status().rounds();
      KernelTest.pause(Duration.ofMillis(200));
      assertThat(cut.status().ended()).isEqualTo(3);
      assertThat(kept.status().ended()).isZero();
      assertThat(kept.status().rounds()).isGreaterThan(rounds);
    }
  }

  @Test
  void aMeshOfAVersionThatDidNotKnowItIsTakenOverWithIt() throws java.io.IOException {
    Plan plan = strict().build();
    kernel.apply(plan);
    serve(PORT);
    serve(EXCEPTED);
    Path pin = kernel.places().pinDir().resolve("maps/strict_ports");
    java.nio.file.Files.delete(pin);
    assertThat(outside.ask(Outside.NODE, PORT)).isEqualTo(DROPPED);

    kernel.node().apply(plan, java.util.List.of(), Duration.ZERO);

    assertThat(pin).exists();
    assertThat(outside.ask(Outside.NODE, PORT)).isEqualTo(DROPPED);
    assertThat(outside.ask(Outside.NODE, EXCEPTED)).isEqualTo("db");
  }
}
