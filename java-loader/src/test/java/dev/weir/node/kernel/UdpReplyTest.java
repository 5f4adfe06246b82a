// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.node.bpf.BpfMap;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.Protocol;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * Datagrams under default-deny both ways: what was let in may be answered, what was sent may be
 * answered to, and nothing else moves.
 */
@Tag("kernel")
final class UdpReplyTest {

  private static final int DNS = 53;
  private static final String REFUSED = "ECONNREFUSED";
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

  /** Client, server and a third are isolated both ways; the client may ask the server. */
  private PlanBuilder defaultDeny() {
    return kernel
        .plan()
        .workload("client")
        .workload("server")
        .workload("third")
        .owns("server", Protocol.UDP, DNS)
        .owns("third", Protocol.UDP, 5300)
        .isolateIngress("client")
        .isolateEgress("client")
        .isolateIngress("server")
        .isolateEgress("server")
        .isolateIngress("third")
        .isolateEgress("third")
        .allow("client", "server", Protocol.UDP, DNS);
  }

  private static String outcome(Prober.Line line) {
    return line.text("result").equals("ok") ? line.text("line") : line.text("result");
  }

  private String ask(String cgroup, String command, String address, int port, String... options) {
    List<String> arguments =
        new ArrayList<>(List.of(command, address, Integer.toString(port), "--read"));
    if (command.equals("connect")) {
      arguments.add("--udp");
    }
    arguments.addAll(List.of("--timeout", "500"));
    arguments.addAll(List.of(options));
    return outcome(kernel.run(cgroup, arguments.toArray(String[]::new)));
  }

  @Test
  void aNameServerAnswersClientsOfThisNodeConnectedAndNot() {
    kernel.apply(
        defaultDeny()
            .endpoint("server", Outside.NODE, false)
            .endpoint("server", Outside.NODE6, false)
            .build());
    kernel.serve("server", "udp-echo", "::", "53", "--reply", "answer");
    for (String address : List.of("127.0.0.1", "::1", Outside.NODE, Outside.NODE6)) {
      assertThat(ask("client", "sendto", address, DNS)).as(address).isEqualTo("answer");
      assertThat(ask("client", "connect", address, DNS)).as(address).isEqualTo("answer");
      assertThat(ask("third", "sendto", address, DNS)).as(address).isEqualTo(REFUSED);
    }

    kernel.node().down();
    assertThat(ask("third", "sendto", "127.0.0.1", DNS)).isEqualTo("answer");
  }

  @Test
  void aNameServerAnswersClientsFromOutside() {
    kernel.apply(defaultDeny().allow("outside", "server", Protocol.UDP, DNS).build());
    kernel.serve("server", "udp-echo", "::", "53", "--reply", "answer");
    assertThat(outside.send(Outside.NODE, DNS)).isEqualTo("answer");
    assertThat(outside.send(Outside.NODE6, DNS)).isEqualTo("answer");
    assertThat(outside.ask(Outside.NODE, DNS, "--udp")).isEqualTo("answer");
  }

  @Test
  void aResolverHearsTheServerItAskedOutsideAndNobodyElse() {
    kernel.apply(
        defaultDeny()
            .block("resolver", Outside.THERE, 128)
            .allow("client", "resolver", Protocol.UDP, DNS)
            .build());
    outside.serve("udp-echo", Outside.THERE, "53", "--reply", "answer");
    assertThat(ask("client", "sendto", Outside.THERE, DNS)).isEqualTo("answer");
    assertThat(ask("client", "connect", Outside.THERE, DNS)).isEqualTo("answer");
    assertThat(ask("client", "sendto", Outside.THERE_SECOND, DNS)).isEqualTo(REFUSED);

    // A socket that asks, and is written to by somebody it did not ask.
    Prober asking =
        kernel.start(
            "client",
            "sendto",
            Outside.THERE,
            "9",
            "--read",
            "--bind-port",
            "40000",
            "--timeout",
            "1500");
    assertThat(asking.next().text("result")).isEqualTo(REFUSED);
    kernel.serve("client", "udp-echo", "0.0.0.0", "40001", "--reply", "heard");
    assertThat(outside.send(Outside.NODE, 40001, "--from", Outside.THERE_SECOND))
        .isEqualTo(DROPPED);

    kernel.node().down();
    assertThat(outside.send(Outside.NODE, 40001, "--from", Outside.THERE_SECOND))
        .isEqualTo("heard");
  }

  @Test
  void aServerAnswersWhoAskedAndReachesNobodyElse() {
    kernel.apply(defaultDeny().build());
    kernel.serve("third", "udp-echo", "127.0.0.1", "5300", "--reply", "third");
    Prober server =
        kernel.serve(
            "server",
            "udp-echo",
            "127.0.0.1",
            "53",
            "--reply",
            "answer",
            "--third",
            "127.0.0.1",
            "5300");
    assertThat(ask("client", "sendto", "127.0.0.1", DNS)).isEqualTo("answer");
    Prober.Line line = server.next();
    assertThat(line.text("reply")).isEqualTo("ok");
    assertThat(line.text("third")).isEqualTo(REFUSED);
    assertThat(kernel.node().telemetry().counters().get("replies_refused")).isEqualTo(1);

    kernel.node().down();
    assertThat(ask("client", "sendto", "127.0.0.1", DNS)).isEqualTo("answer");
    assertThat(server.next().text("third")).isEqualTo("ok");
  }

  @Test
  void aServerThatReadsWithoutAddressAnswersToo() {
    kernel.apply(defaultDeny().build());
    Prober server =
        kernel.serve(
            "server",
            "udp-echo",
            "127.0.0.1",
            "53",
            "--reply",
            "answer",
            "--blind",
            "127.0.0.1",
            "40000");
    assertThat(ask("client", "sendto", "127.0.0.1", DNS, "--bind-port", "40000"))
        .isEqualTo("answer");
    assertThat(server.next().text("reply")).isEqualTo("ok");
    // To somebody else it answers in vain: the peer of the entitlement is 40000.
    assertThat(ask("client", "sendto", "127.0.0.1", DNS, "--bind-port", "40002"))
        .isEqualTo(DROPPED);
  }

  @Test
  void oneSocketServesManyPeersAsQuicDoes() {
    kernel.apply(defaultDeny().allow("outside", "server", Protocol.UDP, DNS).build());
    kernel.serve("server", "udp-echo", "::", "53", "--reply", "answer");
    assertThat(
            kernel
                .run(
                    "client", "race", "127.0.0.1", "53", "--udp", "--threads", "4", "--count", "50")
                .outcomes())
        .isEqualTo(Map.of("answer", 200L));
    assertThat(
            outside
                .run("race", Outside.NODE, "53", "--udp", "--threads", "4", "--count", "50")
                .outcomes())
        .isEqualTo(Map.of("answer", 200L));
  }

  @Test
  void syslogIsSentAndNeverAnswered() {
    kernel.apply(
        defaultDeny()
            .owns("server", Protocol.UDP, 514)
            .allow("client", "server", Protocol.UDP, 514)
            .allow("outside", "server", Protocol.UDP, 514)
            .build());
    Prober server = kernel.serve("server", "udp-echo", "0.0.0.0", "514");
    assertThat(kernel.run("client", "sendto", "127.0.0.1", "514").text("result")).isEqualTo("ok");
    assertThat(server.next().text("from")).startsWith("127.0.0.1:");
    assertThat(outside.run("sendto", Outside.NODE, "514").text("result")).isEqualTo("ok");
    assertThat(server.next().text("from")).startsWith(Outside.THERE + ":");
    assertThat(kernel.run("third", "sendto", "127.0.0.1", "514").text("result")).isEqualTo(REFUSED);
  }

  @Test
  void repliesOfAVirtualAddressComeIn() {
    PlanBuilder plan = defaultDeny();
    int backend = plan.backend("server", "127.0.0.1", DNS);
    kernel.apply(plan.service("dns", "10.96.0.10", DNS, Protocol.UDP, List.of(backend)).build());
    kernel.serve("server", "udp-echo", "127.0.0.1", "53", "--reply", "answer");
    Prober.Line line =
        kernel.run("client", "sendto", "10.96.0.10", "53", "--read", "--timeout", "500");
    assertThat(line.text("line")).isEqualTo("answer");
    assertThat(line.text("from")).isEqualTo("10.96.0.10:53");
    assertThat(ask("client", "connect", "10.96.0.10", DNS)).isEqualTo("answer");
  }

  /** In each form in which an application can say an address. */
  @ParameterizedTest(name = "{0} {1}")
  @CsvSource({
    "10.96.0.10, 10.96.0.10:53, --read",
    "10.96.0.10, [::ffff:10.96.0.10]:53, --v6-socket",
    "fd96::10, [fd96::10]:53, --read",
  })
  void whatAnswersAVirtualAddressIsItConnectedOrNot(String address, String told, String option) {
    PlanBuilder plan = defaultDeny();
    int backend = plan.backend("server", "127.0.0.1", DNS);
    int backend6 = plan.backend("server", "::1", DNS);
    kernel.apply(
        plan.service("dns", "10.96.0.10", DNS, Protocol.UDP, List.of(backend))
            .service("dns", "fd96::10", DNS, Protocol.UDP, List.of(backend6))
            .build());
    kernel.serve("server", "udp-echo", "::", "53", "--reply", "answer");
    String[] ask = {"sendto", address, "53", "--read", "--timeout", "500", option};
    for (String cgroup : List.of("client", "plain")) {
      Prober.Line unconnected = kernel.run(cgroup, ask);
      assertThat(unconnected.text("line")).isEqualTo("answer");
      assertThat(unconnected.text("from")).isEqualTo(told);

      Prober.Line connected = kernel.run(cgroup, with(ask, "--connected"));
      assertThat(connected.text("line")).isEqualTo("answer");
      assertThat(connected.text("from")).isEqualTo(told);

      Prober.Line named =
          kernel.run(cgroup, "connect", address, "53", "--udp", "--read", "--peername", option);
      assertThat(named.text("line")).isEqualTo("answer");
      assertThat(named.text("peer")).isEqualTo(told);
    }
    assertThat(kernel.run("third", ask).text("result")).isEqualTo(REFUSED);
  }

  private static String[] with(String[] arguments, String more) {
    List<String> all = new ArrayList<>(List.of(arguments));
    all.add(more);
    return all.toArray(String[]::new);
  }

  @Test
  void aServerThatConnectsToWhoAskedAnswersAndReachesNobodyElseSo() {
    kernel.apply(defaultDeny().allow("outside", "server", Protocol.UDP, DNS).build());
    kernel.serve("third", "udp-echo", "127.0.0.1", "5300", "--reply", "third");
    String[] serve = {"udp-echo", "0.0.0.0", "53", "--reply", "answer", "--connected"};
    for (boolean here : new boolean[] {true, false}) {
      try (Prober server = kernel.serve("server", serve)) {
        assertThat(
                here ? ask("client", "sendto", "127.0.0.1", DNS) : outside.send(Outside.NODE, DNS))
            .isEqualTo("answer");
        assertThat(server.next().text("reply")).isEqualTo("ok");
        // What its generation allows goes on with the next that does.
        assertThat(
                kernel
                    .apply(defaultDeny().allow("outside", "server", Protocol.UDP, DNS).build())
                    .revoked())
            .isEmpty();
      }
    }
    assertThat(ask("server", "connect", "127.0.0.1", 5300)).isEqualTo(REFUSED);
  }

  @Test
  void aServersConnectionToWhoAskedEndsWhenItsQuestionIsNotAllowedAnyMore() {
    kernel.apply(defaultDeny().allow("outside", "server", Protocol.UDP, DNS).build());
    try (Prober server =
        kernel.serve("server", "udp-echo", "0.0.0.0", "53", "--reply", "answer", "--connected")) {
      // An address of no interface of this machine: for the mesh one elsewhere.
      outside.elsewhere("10.77.1.0/24");
      KernelTest.ip("-n", kernel.netns(), "route", "add", "10.77.1.0/24", "via", Outside.THERE);
      assertThat(outside.send(Outside.NODE, DNS, "--from", "10.77.1.9")).isEqualTo("answer");
      assertThat(server.next().text("reply")).isEqualTo("ok");
      assertThat(kernel.apply(defaultDeny().build()).revoked())
          .singleElement()
          .satisfies(
              ended -> {
                assertThat(ended.protocol()).isEqualTo(Protocol.UDP);
                assertThat(ended.accepted()).isTrue();
              });
    }
  }

  // What outlives a generation.

  private Path answers() {
    return kernel.places().runDir().resolve("answers");
  }

  /** A server that hears and answers when it is told to. */
  private Prober slowServer() {
    return kernel.serve(
        "server",
        "udp-echo",
        "127.0.0.1",
        "53",
        "--reply",
        "answer",
        "--when",
        answers().toString());
  }

  private Prober asking(String cgroup) {
    return asking(cgroup, Duration.ofSeconds(3));
  }

  private Prober asking(String cgroup, Duration patience) {
    return kernel.start(
        cgroup,
        "sendto",
        "127.0.0.1",
        "53",
        "--read",
        "--timeout",
        Long.toString(patience.toMillis()));
  }

  @Test
  void anAnswerIsNotSentOnceItsQuestionIsNotAllowedAnyMore() throws IOException {
    kernel.apply(defaultDeny().build());
    Prober server = slowServer();
    Prober asking = asking("client");
    assertThat(server.next().has("heard")).isTrue();

    kernel.apply(withdrawnFor("client"));
    Files.createFile(answers());
    assertThat(server.next().text("reply")).isEqualTo(REFUSED);
    assertThat(asking.next().text("result")).isEqualTo(DROPPED);
    assertThat(kernel.node().telemetry().counters().get("replies_refused")).isEqualTo(1);
  }

  /**
   * Nobody may do anything but what a third asks; one pair is gone, the others are as they were.
   */
  private Plan withdrawnFor(String client) {
    return kernel
        .plan()
        .workload("client")
        .workload("server")
        .workload("third")
        .owns("server", Protocol.UDP, DNS)
        .owns("third", Protocol.UDP, 5300)
        .isolateIngress("client")
        .isolateEgress("client")
        .isolateIngress("server")
        .isolateEgress("server")
        .isolateIngress("third")
        .isolateEgress("third")
        .allow(client.equals("client") ? "third" : "client", "server", Protocol.UDP, DNS)
        .build();
  }

  @Test
  void anAnswerIsSentThatEveryGenerationSinceAllows() throws IOException {
    kernel.apply(defaultDeny().build());
    Prober server = slowServer();
    Prober asking = asking("client", Duration.ofSeconds(30));
    assertThat(server.next().has("heard")).isTrue();

    // Its identity is another in each, the workload is the same.
    kernel.apply(withdrawnFor("third"));
    kernel.apply(defaultDeny().allow("third", "server", Protocol.UDP, DNS).build());
    Files.createFile(answers());
    assertThat(server.next().text("reply")).isEqualTo("ok");
    assertThat(asking.next().text("line")).isEqualTo("answer");
    assertThat(kernel.node().telemetry().counters().get("replies_refused")).isZero();
  }

  @Test
  void anAnswerDoesNotComeInOnceItsQuestionIsNotAllowedAnyMore() throws IOException {
    PlanBuilder allowed =
        defaultDeny()
            .block("resolver", Outside.THERE, 128)
            .allow("client", "resolver", Protocol.UDP, DNS);
    kernel.apply(allowed.build());
    Prober resolver =
        outside.serve(
            "udp-echo", Outside.THERE, "53", "--reply", "answer", "--when", answers().toString());
    String[] ask = {"sendto", Outside.THERE, "53", "--read", "--timeout", "1500"};
    // What comes in is heard whenever it comes, also on a machine that takes long to apply.
    Prober untouched =
        kernel.start("client", "sendto", Outside.THERE, "53", "--read", "--timeout", "20000");
    assertThat(resolver.next().has("heard")).isTrue();
    kernel.apply(
        defaultDeny()
            .block("other", Outside.THERE_SECOND, 128)
            .block("resolver", Outside.THERE, 128)
            .allow("client", "resolver", Protocol.UDP, DNS)
            .build());
    Files.createFile(answers());
    assertThat(untouched.next().text("line")).isEqualTo("answer");
    assertThat(resolver.next().text("reply")).isEqualTo("ok");

    Files.delete(answers());
    Prober cut = kernel.start("client", ask);
    assertThat(resolver.next().has("heard")).isTrue();
    kernel.apply(defaultDeny().block("resolver", Outside.THERE, 128).build());
    Files.createFile(answers());
    assertThat(resolver.next().text("reply")).isEqualTo("ok");
    assertThat(cut.next().text("result")).isEqualTo(DROPPED);
  }

  @Test
  void aGenerationThatIsNotConfirmedTakesItsEntitlementsAlong() throws IOException {
    kernel.apply(withdrawnFor("client"));
    kernel.apply(defaultDeny().build(), KernelTest.patiently(Duration.ofSeconds(2)));
    Prober server = slowServer();
    Prober asking = asking("client");
    assertThat(server.next().has("heard")).isTrue();
    KernelTest.pause(KernelTest.patiently(Duration.ofSeconds(3)));
    Files.createFile(answers());
    assertThat(server.next().text("reply")).isEqualTo(REFUSED);
    assertThat(asking.next().text("result")).isEqualTo(DROPPED);
  }

  private BpfMap entitlements() {
    return BpfMap.open(kernel.places().pinDir().resolve("maps/reply_peers"));
  }

  @Test
  void afterItsLifetimeAnAnswerIsRefusedAndCounted() throws IOException {
    kernel.apply(defaultDeny().build());
    Prober server = slowServer();
    Prober asking = asking("client");
    assertThat(server.next().has("heard")).isTrue();

    // As if a minute had passed: `received` and `sent` come first in the value.
    long minute = Duration.ofSeconds(61).toNanos();
    try (BpfMap map = entitlements()) {
      List<ByteBuffer[]> rows = new ArrayList<>();
      map.forEach((key, value) -> rows.add(new ByteBuffer[] {copy(key), copy(value)}));
      assertThat(rows).isNotEmpty();
      for (ByteBuffer[] row : rows) {
        for (int at : new int[] {0, Long.BYTES}) {
          long time = row[1].getLong(at);
          row[1].putLong(at, time == 0 ? 0 : time - minute);
        }
        map.update(row[0], row[1]);
      }
    }
    Files.createFile(answers());
    assertThat(server.next().text("reply")).isEqualTo(REFUSED);
    assertThat(asking.next().text("result")).isEqualTo(DROPPED);
    assertThat(kernel.node().telemetry().counters().get("replies_refused")).isEqualTo(1);

    // The next question is a new one.
    assertThat(ask("client", "sendto", "127.0.0.1", DNS)).isEqualTo("answer");
  }

  @Test
  void whatAFullTableForgotIsRefusedAndCounted() throws IOException {
    kernel.apply(defaultDeny().build());
    Prober server = slowServer();
    Prober asking = asking("client");
    assertThat(server.next().has("heard")).isTrue();
    try (BpfMap map = entitlements()) {
      List<ByteBuffer> asked = new ArrayList<>();
      map.forEach((key, value) -> asked.add(copy(key)));
      assertThat(asked).isNotEmpty();
      fillUntilForgotten(map, asked);
    }
    Files.createFile(answers());
    assertThat(server.next().text("reply")).isEqualTo(REFUSED);
    assertThat(asking.next().text("result")).isEqualTo(DROPPED);
    assertThat(kernel.node().telemetry().counters().get("replies_refused")).isEqualTo(1);
    assertThat(ask("client", "sendto", "127.0.0.1", DNS)).isEqualTo("answer");
  }

  /**
   * Which entry such a table gives up, it decides; so as many come until all of these went. From
   * every processor at once: each keeps its latest to itself until it needs room of its own.
   */
  private static void fillUntilForgotten(BpfMap map, List<ByteBuffer> these) {
    AtomicLong next = new AtomicLong(Long.MIN_VALUE);
    for (int rounds = 0; rounds < 100; rounds++) {
      try (ExecutorService processors =
          Executors.newFixedThreadPool(Runtime.getRuntime().availableProcessors())) {
        for (int i = 0; i < Runtime.getRuntime().availableProcessors(); i++) {
          processors.execute(() -> fill(map, next));
        }
      }
      ByteBuffer there = map.newValue();
      if (these.stream().noneMatch(one -> map.lookup(one, there))) {
        return;
      }
    }
    throw new AssertionError("the table keeps " + these.size() + " entries whatever comes");
  }

  private static void fill(BpfMap map, AtomicLong next) {
    ByteBuffer key = map.newKey();
    ByteBuffer value = map.newValue();
    for (int i = 0; i < map.maxEntries(); i++) {
      // Twice, which makes it one in use: only those drive out others that were.
      map.update(key.putLong(0, next.getAndIncrement()), value);
      map.update(key, value);
    }
  }

  private static ByteBuffer copy(ByteBuffer bytes) {
    ByteBuffer copy = BpfMap.newBuffer(bytes.remaining());
    for (int i = 0; i < bytes.remaining(); i++) {
      copy.put(i, bytes.get(bytes.position() + i));
    }
    return copy;
  }
}
