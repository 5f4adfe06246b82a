// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.Protocol;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/**
 * A datagram that goes, or comes, as the one before is not judged anew at once; whatever could
 * change the answer is noticed at once all the same.
 */
@Tag("kernel")
final class UdpAgainTest {

  private static final int PORT = 53;
  private static final int OTHER_PORT = 54;
  private static final String REFUSED = "ECONNREFUSED";

  @RegisterExtension final KernelTest kernel = new KernelTest();

  private Outside outside;

  @BeforeEach
  void connect() {
    outside = new Outside(kernel);
  }

  @AfterEach
  void disconnect() {
    outside.close();
  }

  private PlanBuilder isolated() {
    return kernel
        .plan()
        .workload("client")
        .workload("server")
        .workload("other")
        .owns("server", Protocol.UDP, PORT)
        .owns("other", Protocol.UDP, OTHER_PORT)
        .isolateIngress("server")
        .isolateEgress("server")
        .isolateIngress("other");
  }

  private PlanBuilder allowed() {
    return isolated().allow("client", "server", Protocol.UDP, PORT);
  }

  /** One socket, which sends and hears at each word. */
  private Prober client(String address, int port, String... options) {
    List<String> arguments =
        new ArrayList<>(
            List.of(
                "sendto",
                address,
                Integer.toString(port),
                "--stdin",
                "--read",
                "--timeout",
                "500"));
    arguments.addAll(List.of(options));
    return kernel.start("client", arguments.toArray(String[]::new));
  }

  private static String again(Prober client) {
    return said(client.tell("again"));
  }

  private static String said(Prober.Line line) {
    return line.text("result").equals("ok") ? line.text("line") : line.text("result");
  }

  @Test
  void aSocketThatSendsOnIsRefusedAsSoonAsItsPolicyGoes() {
    kernel.apply(allowed().build());
    kernel.serve("server", "udp-echo", "::", "53", "--reply", "answer");
    for (String address : List.of("127.0.0.1", "::1")) {
      try (Prober client = client(address, PORT)) {
        for (int i = 0; i < 3; i++) {
          assertThat(again(client)).as(address).isEqualTo("answer");
        }
        kernel.apply(isolated().build());
        assertThat(again(client)).as(address).isEqualTo(REFUSED);
        kernel.apply(allowed().build());
        assertThat(again(client)).as(address).isEqualTo("answer");
      }
    }
  }

  @Test
  void eachDestinationOfASocketIsJudgedByItself() {
    kernel.apply(allowed().build());
    kernel.serve("server", "udp-echo", "127.0.0.1", "53", "--reply", "answer");
    kernel.serve("other", "udp-echo", "127.0.0.1", "54", "--reply", "other");
    try (Prober client = client("127.0.0.1", PORT, "--third", "127.0.0.1", "54")) {
      for (int i = 0; i < 3; i++) {
        assertThat(again(client)).isEqualTo("answer");
        assertThat(said(client.tell("third"))).isEqualTo(REFUSED);
      }
    }
    kernel.node().down();
    try (Prober client = client("127.0.0.1", PORT, "--third", "127.0.0.1", "54")) {
      assertThat(said(client.tell("third"))).isEqualTo("other");
    }
  }

  @Test
  void aVirtualAddressLeadsWhereTheGenerationInForceSays() {
    kernel.serve("server", "udp-echo", "127.0.0.1", "5300", "--reply", "first");
    kernel.serve("other", "udp-echo", "127.0.0.1", "5400", "--reply", "second");
    Runnable first = () -> kernel.apply(leadingTo("server", 5300));
    Runnable second = () -> kernel.apply(leadingTo("other", 5400));
    first.run();
    try (Prober client = client("10.96.0.53", PORT)) {
      for (int i = 0; i < 3; i++) {
        Prober.Line line = client.tell("again");
        assertThat(said(line)).isEqualTo("first");
        assertThat(line.text("from")).startsWith("10.96.0.53");
      }
      second.run();
      assertThat(again(client)).isEqualTo("second");
      assertThat(again(client)).isEqualTo("second");
      first.run();
      assertThat(again(client)).isEqualTo("first");
    }
  }

  private Plan leadingTo(String workload, int port) {
    PlanBuilder plan = isolated();
    int backend = plan.backend(workload, "127.0.0.1", port);
    return plan.allow("client", workload, Protocol.UDP, port)
        .service("names", "10.96.0.53", PORT, Protocol.UDP, List.of(backend))
        .build();
  }

  @Test
  void whatAuditModeLetsPassIsCountedEachTime() {
    kernel.apply(isolated().audit().build());
    kernel.serve("server", "udp-echo", "127.0.0.1", "53", "--reply", "answer");
    try (Prober client = client("127.0.0.1", PORT)) {
      for (int i = 0; i < 4; i++) {
        assertThat(again(client)).isEqualTo("answer");
      }
    }
    assertThat(kernel.node().telemetry().refusals())
        .anySatisfy(
            refusal -> {
              assertThat(refusal.audited()).isTrue();
              assertThat(refusal.count()).isGreaterThanOrEqualTo(4);
            });
  }

  @Test
  void whatComesAgainFromOutsideIsRefusedAsSoonAsItsPolicyGoes() {
    kernel.apply(isolated().allow("outside", "server", Protocol.UDP, PORT).build());
    kernel.serve("server", "udp-echo", "::", "53", "--reply", "answer");
    for (String address : List.of(Outside.NODE, Outside.NODE6)) {
      try (Prober client =
          outside.start("sendto", address, "53", "--stdin", "--read", "--timeout", "500")) {
        for (int i = 0; i < 3; i++) {
          assertThat(again(client)).as(address).isEqualTo("answer");
        }
        kernel.apply(isolated().build());
        assertThat(again(client)).as(address).isEqualTo("ETIMEDOUT");
        kernel.apply(isolated().allow("outside", "server", Protocol.UDP, PORT).build());
        assertThat(again(client)).as(address).isEqualTo("answer");
      }
    }
  }

  /** The kernel itself drops this over IPv4 (rp_filter, and a source that is local). */
  @Test
  void whatComesOverAWireIsNotWhatCameByLoFromTheSameAddress() {
    kernel.apply(allowed().endpoint("server", Outside.NODE6_SECOND, false).build());
    kernel.serve("server", "udp-echo", Outside.NODE6_SECOND, "53", "--reply", "answer");
    outside.address(Outside.NODE6 + "/128");
    String[] sameAddress = {"--from", Outside.NODE6, "--bind-port", "5353"};
    try (Prober client = client(Outside.NODE6_SECOND, PORT, sameAddress)) {
      assertThat(again(client)).isEqualTo("answer");
      long before = refusals();
      List<String> spoofed = new ArrayList<>(List.of("sendto", Outside.NODE6_SECOND, "53"));
      spoofed.addAll(List.of(sameAddress));
      assertThat(outside.run(spoofed.toArray(String[]::new)).text("result")).isEqualTo("ok");
      assertThat(again(client)).isEqualTo("answer");
      assertThat(refusals()).isGreaterThan(before);
    }
  }

  private long refusals() {
    return kernel.node().telemetry().refusals().stream().mapToLong(Snapshot.Refusal::count).sum();
  }
}
