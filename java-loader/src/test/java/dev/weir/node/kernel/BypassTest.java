// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.Settings;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Ways around a verdict, tried by a real program ({@code docs/security.md}). Each has its controls:
 * who is allowed gets there in the same way, and so does everybody with Weir down.
 */
@Tag("kernel")
final class BypassTest {

  private static final int PORT = 5432;
  private static final int OPEN = 9001;
  private static final String REFUSED = "ECONNREFUSED";

  @RegisterExtension final KernelTest kernel = new KernelTest();

  private PlanBuilder onlyWebMayReachDb() {
    return kernel
        .plan()
        .workload("web")
        .workload("stranger")
        .workload("db")
        .owns("db", Protocol.TCP, PORT)
        .owns("db", Protocol.UDP, PORT)
        .isolateIngress("db")
        .allow("web", "db", Protocol.TCP, PORT)
        .allow("web", "db", Protocol.UDP, PORT);
  }

  private void serve() {
    for (String kind : List.of("listen", "udp-echo")) {
      kernel.serve("db", kind, "127.0.0.1", Integer.toString(PORT), "--reply", "db");
      kernel.serve("", kind, "127.0.0.1", Integer.toString(OPEN), "--reply", "open");
    }
  }

  /** What was read, or the errno. */
  private String by(String way, String cgroup, String... options) {
    List<String> arguments =
        new ArrayList<>(List.of("way", way, "127.0.0.1", Integer.toString(PORT)));
    arguments.addAll(List.of("--third", "127.0.0.1", Integer.toString(OPEN)));
    arguments.addAll(List.of(options));
    return answer(kernel.run(cgroup, arguments.toArray(String[]::new)));
  }

  private static String answer(Prober.Line line) {
    return line.text("result").equals("ok") ? line.text("line") : line.text("result");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "unspec",
        "inet-from-v6",
        "inet-connect-v6",
        "mapped",
        "second-message",
        "fastopen",
        "fastopen-connect",
        "uring",
        "reconnect"
      })
  void everyCallThatSendsMeetsTheVerdict(String way) {
    kernel.apply(onlyWebMayReachDb().build());
    serve();
    assertThat(by(way, "web")).isEqualTo("db");
    assertThat(by(way, "stranger")).isEqualTo(REFUSED);

    kernel.node().down();
    assertThat(by(way, "stranger")).isEqualTo("db");
  }

  @Test
  void aConnectedUdpSocketThatSendsToAnotherThanItsPeerIsJudgedAgain() {
    kernel.apply(onlyWebMayReachDb().build());
    Prober db = kernel.serve("db", "udp-echo", "127.0.0.1", "5432");
    // Sent, but not let in on this node: the kernel finds no socket for an answer to it, so who
    // sent it cannot be told where it arrives.
    assertThat(by("other-than-peer", "web")).isEqualTo("sent");
    assertThat(by("other-than-peer", "stranger")).isEqualTo(REFUSED);

    kernel.node().down();
    assertThat(by("other-than-peer", "stranger")).isEqualTo("sent");
    assertThat(db.next().has("from")).isTrue();
  }

  @Test
  void aSocketMadeBeforeWeirIsJudgedWhenItConnects() throws IOException {
    serve();
    DurableFile.makeDirectory(kernel.places().stateDir());
    Path applied = kernel.places().stateDir().resolve("applied");
    Prober web = preopened("web", applied);
    Prober stranger = preopened("stranger", applied);
    kernel.apply(onlyWebMayReachDb().build());
    Files.createFile(applied);
    assertThat(answer(web.next())).isEqualTo("db");
    assertThat(answer(stranger.next())).isEqualTo(REFUSED);

    kernel.node().down();
    assertThat(answer(preopened("stranger", applied).next())).isEqualTo("db");
  }

  private Prober preopened(String cgroup, Path when) {
    Prober prober =
        kernel.start(
            cgroup,
            "way",
            "preopened",
            "127.0.0.1",
            Integer.toString(PORT),
            "--when",
            when.toString());
    assertThat(prober.next().has("ready")).isTrue();
    return prober;
  }

  @Test
  void aSocketThatWasPassedOnIsRefusedWhicheverOfTheTwoIsAllowed() {
    kernel.apply(onlyWebMayReachDb().build());
    serve();
    String web = kernel.cgroup("web").toString();
    String stranger = kernel.cgroup("stranger").toString();
    assertThat(by("passed", "web", "--birth-cgroup", web)).isEqualTo("db");
    assertThat(by("passed", "stranger", "--birth-cgroup", web)).isEqualTo(REFUSED);
    assertThat(by("passed", "web", "--birth-cgroup", stranger)).isEqualTo(REFUSED);

    kernel.node().down();
    assertThat(by("passed", "stranger", "--birth-cgroup", web)).isEqualTo("db");
    assertThat(by("passed", "web", "--birth-cgroup", stranger)).isEqualTo("db");
  }

  /** Not closed, and stated: whoever is allowed may speak for others as a proxy may. */
  @Test
  void anOpenConnectionThatWasPassedOnStaysTheConnectionOfWhoMadeIt() {
    kernel.apply(onlyWebMayReachDb().build());
    serve();
    String web = kernel.cgroup("web").toString();
    String stranger = kernel.cgroup("stranger").toString();
    assertThat(by("passed-connected", "stranger", "--birth-cgroup", web)).isEqualTo("db");
    assertThat(by("passed-connected", "web", "--birth-cgroup", stranger)).isEqualTo(REFUSED);
  }

  @ParameterizedTest
  @ValueSource(strings = {"mptcp", "sctp", "udplite", "dccp", "raw", "raw --v6"})
  void aSocketOfAProtocolThatPassesTheHooksByIsNotMade(String kind) {
    String[] arguments = kind.split(" ", -1);
    String without = kernel.run("stranger", arguments).text("result");
    kernel.apply(onlyWebMayReachDb().build());
    String refused = kind.startsWith("raw") ? "EPERM" : "EPROTONOSUPPORT";
    if (without.equals("ESOCKTNOSUPPORT")) {
      refused = without; // a kernel that does not know the type asks no hook
    }
    assertThat(kernel.run("stranger", arguments).text("result")).isEqualTo(refused);
    // The host is not governed: it gets what the kernel says.
    assertThat(kernel.run("undeclared", arguments).text("result")).isEqualTo(without);

    kernel.node().down();
    assertThat(kernel.run("stranger", arguments).text("result")).isEqualTo(without);
    if (kind.equals("mptcp") || kind.startsWith("raw")) {
      assertThat(without).isEqualTo("ok"); // the others depend on how the kernel was built
    }
  }

  @Test
  void onlyWhoMayGoAnywhereHasAPingSocket() {
    KernelTest.ip(
        "netns",
        "exec",
        kernel.netns(),
        "sh",
        "-c",
        "echo 0 2147483647 >/proc/sys/net/ipv4/ping_group_range");
    kernel.apply(onlyWebMayReachDb().isolateEgress("web").build());
    assertThat(kernel.run("web", "ping").text("result")).isEqualTo("EACCES");
    assertThat(kernel.run("web", "ping", "--v6").text("result")).isEqualTo("EACCES");
    assertThat(kernel.run("stranger", "ping").text("result")).isEqualTo("ok");

    kernel.node().down();
    assertThat(kernel.run("web", "ping").text("result")).isEqualTo("ok");
    assertThat(kernel.run("web", "ping", "--v6").text("result")).isEqualTo("ok");
  }

  private void everybodyMayPing() {
    KernelTest.ip(
        "netns",
        "exec",
        kernel.netns(),
        "sh",
        "-c",
        "echo 0 2147483647 >/proc/sys/net/ipv4/ping_group_range");
  }

  private String ping(String cgroup, String address) {
    return kernel.run(cgroup, "ping-echo", address).text("result");
  }

  @Test
  void aMeshThatAllowsIcmpLetsEveryWorkloadPing() {
    everybodyMayPing();
    kernel.apply(onlyWebMayReachDb().isolateEgress("web").icmp(Settings.Icmp.ALLOW).build());
    for (String workload : List.of("web", "stranger")) {
      assertThat(ping(workload, "127.0.0.1")).isEqualTo("ok");
      assertThat(ping(workload, "::1")).isEqualTo("ok");
    }
    // Echo alone: no other packet of theirs.
    assertThat(kernel.run("web", "raw").text("result")).isEqualTo("EPERM");

    kernel.apply(onlyWebMayReachDb().isolateEgress("web").build());
    assertThat(ping("web", "127.0.0.1")).isEqualTo("EACCES");
    assertThat(ping("web", "::1")).isEqualTo("EACCES");
  }

  @Test
  void aMeshThatRefusesIcmpLetsNoWorkloadPing() {
    everybodyMayPing();
    kernel.apply(onlyWebMayReachDb().icmp(Settings.Icmp.REFUSE).build());
    for (String workload : List.of("web", "stranger")) {
      assertThat(ping(workload, "127.0.0.1")).isEqualTo("EACCES");
      assertThat(ping(workload, "::1")).isEqualTo("EACCES");
    }
    assertThat(ping("undeclared", "127.0.0.1")).isEqualTo("ok");

    kernel.node().down();
    assertThat(ping("web", "127.0.0.1")).isEqualTo("ok");
    assertThat(ping("web", "::1")).isEqualTo("ok");
  }

  /** Of every address, of both transports, and while nobody holds it. */
  @Test
  void nobodyButItsOwnerBindsADeclaredPort() {
    kernel.apply(onlyWebMayReachDb().build());
    for (String address : List.of("127.0.0.1", "127.0.0.9", "0.0.0.0", "::1", "::")) {
      for (String transport : List.of("--v6-socket", "--udp", "--reuseport")) {
        String[] squat = {"bind", address, Integer.toString(PORT), transport};
        assertThat(kernel.run("stranger", squat).text("result")).isEqualTo("EACCES");
        assertThat(kernel.run("undeclared", squat).text("result")).isEqualTo("EACCES");
        assertThat(kernel.run("db", squat).text("result")).isEqualTo("ok");
      }
    }
    kernel.node().down();
    for (String address : List.of("127.0.0.1", "0.0.0.0", "::1", "::")) {
      assertThat(kernel.run("stranger", "bind", address, "5432").text("result")).isEqualTo("ok");
    }
  }

  @Test
  void nobodyJoinsTheOwnersPortByReuseport() {
    kernel.apply(onlyWebMayReachDb().build());
    kernel.serve("db", "listen", "127.0.0.1", "5432", "--reuseport");
    String[] join = {"bind", "127.0.0.1", "5432", "--reuseport"};
    assertThat(kernel.run("stranger", join).text("result")).isEqualTo("EACCES");
    assertThat(kernel.run("db", join).text("result")).isEqualTo("ok");

    kernel.node().down();
    assertThat(kernel.run("stranger", join).text("result")).isEqualTo("ok");
  }

  @Test
  void listenWithoutBindGetsNoDeclaredPort() {
    KernelTest.ip(
        "netns",
        "exec",
        kernel.netns(),
        "sh",
        "-c",
        "echo 5432 5432 >/proc/sys/net/ipv4/ip_local_port_range");
    kernel.apply(onlyWebMayReachDb().build());
    assertThat(kernel.run("stranger", "listen-unbound").text("result")).isEqualTo("EADDRINUSE");

    kernel.node().down();
    assertThat(kernel.run("stranger", "listen-unbound").number("port")).isEqualTo(PORT);
  }

  /** Not closed by these hooks, and stated: no hook of a cgroup is asked. */
  @Test
  void anAfPacketSocketIsMadeByWhoeverHasTheCapability() {
    kernel.apply(onlyWebMayReachDb().build());
    assertThat(kernel.run("stranger", "packet").text("result")).isEqualTo("ok");
  }
}
