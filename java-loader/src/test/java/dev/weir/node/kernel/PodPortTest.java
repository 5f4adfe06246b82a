// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.node.bpf.BpfMap;
import dev.weir.node.bpf.SystemCalls;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.Protocol;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/**
 * Who may hold a declared port in the network namespace of a pod. Every refusal has its control:
 * the same program succeeds with Weir down.
 */
@Tag("kernel")
final class PodPortTest {

  private static final Path RESERVED = Path.of("/proc/sys/net/ipv4/ip_local_reserved_ports");
  private static final Path RANGE = Path.of("/proc/sys/net/ipv4/ip_local_port_range");
  private static final int PORT = 5432;
  private static final int ONLY = 40_000;
  private static final String REFUSED = "EACCES";

  @RegisterExtension final KernelTest kernel = new KernelTest();
  private Pods pods;

  @BeforeEach
  void makePods() {
    pods = new Pods(kernel, "db", "web");
  }

  @AfterEach
  void removePods() {
    pods.close();
  }

  /**
   * Pods db and web, of which db declares its port; "sidecar" is whoever else lives with db, and
   * has no address.
   */
  private PlanBuilder shop() {
    return pod(pod(kernel.plan(), "db", 11), "web", 12)
        .workload("sidecar")
        .ownsApart("db", Protocol.TCP, PORT)
        .ownsApart("db", Protocol.UDP, PORT);
  }

  private static PlanBuilder pod(PlanBuilder plan, String name, int number) {
    return plan.workload(name)
        .endpoint(name, "10.88.0." + number, false)
        .endpoint(name, "fd88::" + number, false);
  }

  /** A third pod, which declares the same port and need not be there yet. */
  private PlanBuilder withLate() {
    return pod(shop(), "late", 13).ownsApart("late", Protocol.TCP, PORT);
  }

  private String bind(String cgroup, String pod, String address, String... options) {
    return bind(cgroup, pod, address, PORT, options);
  }

  private String bind(String cgroup, String pod, String address, int port, String... options) {
    List<String> arguments = new ArrayList<>(List.of("bind", address, Integer.toString(port)));
    arguments.addAll(List.of(options));
    return pods.runAs(cgroup, pod, arguments.toArray(String[]::new)).text("result");
  }

  private Path namespace(String pod) {
    return Path.of("/run/netns", pods.netns(pod));
  }

  private String reserved(String pod) {
    return SystemCalls.in(
        namespace(pod),
        () -> {
          ByteBuffer buffer = ByteBuffer.allocate(1 << 12);
          try (FileChannel channel = FileChannel.open(RESERVED, StandardOpenOption.READ)) {
            int length = Math.max(0, channel.read(buffer));
            return new String(buffer.array(), 0, length, StandardCharsets.US_ASCII).strip();
          } catch (IOException e) {
            throw new UncheckedIOException(e);
          }
        });
  }

  private void set(String pod, Path setting, String value) {
    SystemCalls.in(
        namespace(pod),
        () -> {
          try {
            return Files.writeString(setting, value);
          } catch (IOException e) {
            throw new UncheckedIOException(e);
          }
        });
  }

  private BpfMap homes() {
    return BpfMap.open(kernel.places().pinDir().resolve("maps").resolve("homes"));
  }

  private boolean isHome(long cookie) {
    try (BpfMap map = homes()) {
      return map.lookup(map.newKey().putLong(0, cookie), map.newValue());
    }
  }

  private List<String> files() {
    return DurableFile.list(kernel.places().runDir()).stream()
        .map(file -> String.valueOf(file.getFileName()))
        .filter(name -> name.startsWith("reserved-ports-"))
        .toList();
  }

  @Test
  void nobodyButItsOwnerBindsADeclaredPortOfAPod() {
    kernel.apply(shop().build());
    List<String> addresses =
        List.of(
            "0.0.0.0",
            "127.0.0.1",
            pods.address("db"),
            "::",
            "::1",
            pods.address6("db"),
            "::ffff:127.0.0.1");
    for (String address : addresses) {
      for (String[] how : new String[][] {{}, {"--udp"}, {"--reuseport"}}) {
        assertThat(bind("sidecar", "db", address, how)).as(address).isEqualTo(REFUSED);
        assertThat(bind("db", "db", address, how)).as(address).isEqualTo("ok");
      }
    }
    kernel.node().down();
    for (String address : addresses) {
      assertThat(bind("sidecar", "db", address)).as(address).isEqualTo("ok");
      assertThat(bind("sidecar", "db", address, "--udp")).as(address).isEqualTo("ok");
    }
  }

  @Test
  void aProcessOfTheHostThatEntersAPodsNamespaceBindsNoDeclaredPort() {
    kernel.apply(shop().build());
    for (String who : new String[] {"undeclared", "web"}) {
      assertThat(bind(who, "db", "0.0.0.0")).as(who).isEqualTo(REFUSED);
      assertThat(bind(who, "db", "::", "--udp")).as(who).isEqualTo(REFUSED);
    }
    kernel.node().down();
    assertThat(bind("undeclared", "db", "0.0.0.0")).isEqualTo("ok");
  }

  @Test
  void nobodyJoinsThePortOfAPodByReuseport() {
    kernel.apply(shop().build());
    pods.serve("db", "listen", "0.0.0.0", "5432", "--reuseport");
    assertThat(bind("sidecar", "db", "0.0.0.0", "--reuseport")).isEqualTo(REFUSED);
    assertThat(bind("db", "db", "0.0.0.0", "--reuseport")).isEqualTo("ok");

    kernel.node().down();
    assertThat(bind("sidecar", "db", "0.0.0.0", "--reuseport")).isEqualTo("ok");
  }

  @Test
  void aDeclaredPortOfAPodIsItsOwnersAlsoWhileItIsDown() {
    kernel.apply(shop().build());
    try (Prober db = pods.serve("db", "listen", "0.0.0.0", "5432")) {
      assertThat(db).isNotNull();
    }
    assertThat(bind("sidecar", "db", "0.0.0.0")).isEqualTo(REFUSED);
    pods.serve("db", "listen", "0.0.0.0", "5432");
  }

  @Test
  void eachPodHasTheSamePortForItself() {
    pods.add("late");
    kernel.apply(withLate().build());
    pods.serve("db", "listen", "0.0.0.0", "5432");
    pods.serve("late", "listen", "0.0.0.0", "5432");
    assertThat(bind("db", "late", "::1")).isEqualTo(REFUSED);
    assertThat(bind("late", "db", "::1")).isEqualTo(REFUSED);

    kernel.node().down();
    assertThat(bind("db", "late", "::1")).isEqualTo("ok");
  }

  @Test
  void whereNobodyDeclaresAPortItIsAnybodys() {
    kernel.apply(shop().build());
    for (String who : new String[] {"web", "sidecar", "undeclared", "db"}) {
      assertThat(bind(who, "web", "0.0.0.0")).as(who).isEqualTo("ok");
      assertThat(bind(who, "db", "0.0.0.0", PORT + 1)).as(who).isEqualTo("ok");
    }
    assertThat(kernel.run("sidecar", "bind", "0.0.0.0", "5432").text("result")).isEqualTo("ok");
    assertThat(kernel.node().telemetry().refusals()).isEmpty();
  }

  @Test
  void aRefusedBindInAPodIsCountedAndReported() throws InterruptedException {
    Plan plan = shop().build();
    kernel.apply(plan);
    BlockingQueue<Event> events = new LinkedBlockingQueue<>();
    KernelNode node = kernel.node();
    List<Integer> numbers = node.workloadNumbers(plan);
    try (KernelNode.Subscription _ = node.events(events::add)) {
      assertThat(bind("sidecar", "db", "0.0.0.0")).isEqualTo(REFUSED);
      Optional<Event> event = Optional.empty();
      while (event.isEmpty()) { // the process that enters its cgroup is one too
        event =
            Optional.of(
                    Optional.ofNullable(events.poll(5, TimeUnit.SECONDS))
                        .orElseThrow(AssertionError::new))
                .filter(one -> one.reason() == Reason.PORT_OWNED);
      }
      assertThat(event.get().port()).isEqualTo(PORT);
    }
    assertThat(node.telemetry().refusals())
        .singleElement()
        .satisfies(
            refusal -> {
              assertThat(refusal.reason()).isEqualTo(Reason.PORT_OWNED);
              assertThat(refusal.audited()).isFalse();
              assertThat(node.workloadKey(refusal.source())).hasValue("Workload/test/sidecar");
              assertThat(node.workloadKey(refusal.destination())).hasValue("Workload/test/db");
              assertThat(numbers).contains(refusal.source(), refusal.destination());
            });
  }

  @Test
  void inAuditModeABindInAPodIsMadeAndCounted() {
    kernel.apply(shop().audit().build());
    assertThat(bind("sidecar", "db", "0.0.0.0")).isEqualTo("ok");
    assertThat(kernel.node().telemetry().refusals())
        .singleElement()
        .satisfies(
            refusal -> {
              assertThat(refusal.reason()).isEqualTo(Reason.PORT_OWNED);
              assertThat(refusal.audited()).isTrue();
            });
  }

  @Test
  void aPodThatStartsWithNothingResidentHasItsPortsFromItsFirstSocketOn() {
    kernel.apply(withLate().build());
    pods.add("late");
    // Control: nobody can know yet whose namespace this is.
    assertThat(bind("sidecar", "late", "0.0.0.0")).isEqualTo("ok");
    assertThat(bind("late", "late", "127.0.0.1", 0)).isEqualTo("ok");
    assertThat(bind("sidecar", "late", "0.0.0.0")).isEqualTo(REFUSED);
    assertThat(bind("late", "late", "0.0.0.0")).isEqualTo("ok");
  }

  @Test
  void whoseAddressANamespaceHasCountsMoreThanWhoCameThereFirst() {
    kernel.apply(withLate().build());
    pods.add("late");
    assertThat(bind("db", "late", "127.0.0.1", 0)).isEqualTo("ok");
    assertThat(bind("late", "late", "0.0.0.0")).isEqualTo(REFUSED);
    assertThat(kernel.node().followNamespaces()).isEmpty();
    assertThat(bind("late", "late", "0.0.0.0")).isEqualTo("ok");
    assertThat(bind("db", "late", "0.0.0.0")).isEqualTo(REFUSED);
  }

  @Test
  void ofANamespaceThatIsGoneNothingIsLeft() {
    kernel.apply(shop().build());
    long cookie = SystemCalls.netnsCookie(Optional.of(namespace("db")));
    assertThat(isHome(cookie)).isTrue();
    assertThat(files()).contains("reserved-ports-" + cookie);
    pods.remove("db");
    kernel.node().followNamespaces();
    assertThat(isHome(cookie)).isFalse();
    assertThat(files()).doesNotContain("reserved-ports-" + cookie);
  }

  @Test
  void aNamespaceForWhichThereIsNoRoomIsCountedAndUnguardedUntilSomebodyLooks() {
    kernel.apply(withLate().build());
    pods.add("late");
    try (BpfMap map = homes()) {
      ByteBuffer key = map.newKey();
      AtomicInteger entries = new AtomicInteger();
      map.forEach((cookie, home) -> entries.incrementAndGet());
      for (int i = entries.get(); i < map.maxEntries(); i++) {
        map.update(key.putLong(0, (1L << 40) + i), map.newValue());
      }
    }
    assertThat(bind("late", "late", "127.0.0.1", 0)).isEqualTo("ok");
    assertThat(kernel.node().telemetry().counters().get("homes_full")).isEqualTo(1);
    assertThat(bind("sidecar", "late", "0.0.0.0")).isEqualTo("ok");

    assertThat(kernel.node().followNamespaces()).isEmpty();
    assertThat(bind("sidecar", "late", "0.0.0.0")).isEqualTo(REFUSED);
  }

  @Test
  void noSocketInAPodGetsADeclaredPortWithoutAskingForIt() {
    // One port is left to give away, and it is declared.
    set("db", RANGE, ONLY + " " + ONLY);
    set("db", RESERVED, "5000");
    pods.serve("db", "listen", "127.0.0.1", "9000");
    assertThat(pods.runAs("sidecar", "db", "bind", "127.0.0.1", "0").number("port"))
        .isEqualTo(ONLY);
    kernel.apply(shop().ownsApart("db", Protocol.TCP, ONLY).build());
    assertThat(reserved("db")).isEqualTo("5000,5432," + ONLY);
    assertThat(reserved("web")).isEmpty();
    assertThat(pods.runAs("sidecar", "db", "connect", "127.0.0.1", "9000").text("result"))
        .isEqualTo("EADDRNOTAVAIL");
    assertThat(bind("sidecar", "db", "127.0.0.1", 0)).isEqualTo("EADDRINUSE");
    assertThat(bind("sidecar", "db", "::1", 0, "--udp")).isEqualTo("EADDRINUSE");
    assertThat(pods.runAs("sidecar", "db", "listen-unbound").text("result"))
        .isEqualTo("EADDRINUSE");
    assertThat(bind("db", "db", "127.0.0.1", ONLY)).isEqualTo("ok");

    kernel.node().down();
    assertThat(reserved("db")).isEqualTo("5000");
    assertThat(pods.runAs("sidecar", "db", "bind", "127.0.0.1", "0").number("port"))
        .isEqualTo(ONLY);
  }

  @Test
  void portsOfAPodThatComesLaterAreReservedBySomebodyWhoStays() {
    kernel.apply(withLate().build());
    pods.add("late");
    assertThat(reserved("late")).isEmpty();
    assertThat(kernel.node().followNamespaces()).isEmpty();
    assertThat(reserved("late")).isEqualTo("5432");
    kernel.node().down();
    assertThat(reserved("late")).isEmpty();
  }

  @Test
  void whoeverWasKilledOnTheWayIsUndoneByDownInPodsAsWell() throws IOException {
    kernel.apply(shop().build());
    long cookie = SystemCalls.netnsCookie(Optional.of(namespace("db")));
    Path file = kernel.places().runDir().resolve("reserved-ports-" + cookie);
    String written = Files.readString(file);
    kernel.node().down();
    // Reserved, and nothing pinned yet or any more.
    set("db", RESERVED, "5000,5432");
    Files.createDirectories(kernel.places().runDir());
    Files.writeString(file, written);
    // And one of a namespace that is gone.
    Files.writeString(kernel.places().runDir().resolve("reserved-ports-1"), "1\n5432\n");
    kernel.node().down();
    assertThat(reserved("db")).isEqualTo("5000");
    assertThat(kernel.places().runDir()).doesNotExist();
  }

  @Test
  void untilConfirmedThePortsOfTheGenerationBeforeStayReservedInPods() {
    kernel.apply(shop().build());
    kernel.apply(
        pod(kernel.plan(), "db", 11).ownsApart("db", Protocol.TCP, ONLY).build(),
        Duration.ofMinutes(1));
    assertThat(reserved("db")).isEqualTo("5432," + ONLY);
    kernel.node().followNamespaces();
    assertThat(reserved("db")).isEqualTo("5432," + ONLY);
    kernel.node().confirm();
    assertThat(reserved("db")).isEqualTo(Integer.toString(ONLY));
  }

  @Test
  void whatAnotherProcessAppliedMeanwhileIsNoticed() {
    KernelNode node = kernel.node();
    Plan declaring = shop().build();
    node.apply(declaring, List.of(), Duration.ZERO);
    kernel.apply(pod(kernel.plan(), "db", 11).build());
    assertThat(reserved("db")).isEmpty();
    node.apply(declaring, List.of(), Duration.ZERO);
    assertThat(reserved("db")).isEqualTo("5432");
    kernel.apply(pod(kernel.plan(), "db", 11).build());
    node.down();
    assertThat(reserved("db")).isEmpty();
    assertThat(files()).isEmpty();
  }

  @Test
  void whoHeldAPortOfAPodBeforeIsListedWithItsProcess() {
    pods.serveAs("sidecar", "db", "listen", "127.0.0.1", "5432");
    pods.serveAs("db", "db", "udp-echo", "127.0.0.1", "5432");
    pods.serveAs("sidecar", "web", "listen", "127.0.0.1", "5432");
    assertThat(kernel.apply(shop().build()).remarks())
        .filteredOn(remark -> remark.startsWith("port "))
        .singleElement()
        .satisfies(
            remark ->
                assertThat(remark).contains("port 5432 (TCP)", "test/db", "(prober)", "/sidecar;"));
  }

  @Test
  void whoHeldAPortOfAPodBeforeIsNotReachedInItsOwnersPlace() {
    pods.serveAs("plain", "db", "listen", "0.0.0.0", "5432", "--reply", "impostor");
    assertThat(pods.ask("web", pods.address("db"), PORT)).isEqualTo("impostor");
    kernel.apply(shop().build());
    assertThat(pods.ask("web", pods.address("db"), PORT)).isEqualTo("ECONNREFUSED");
  }

  @Test
  void theProxysPortIsNoPodsToDeclare() {
    kernel.apply(
        shop()
            .ownsApart("db", Protocol.TCP, PlanBuilder.PROXY_PORT)
            .proxied("cart", "10.96.0.9", 80)
            .build());
    assertThat(bind("db", "db", "127.0.0.1", PlanBuilder.PROXY_PORT)).isEqualTo(REFUSED);

    kernel.node().down();
    assertThat(bind("db", "db", "127.0.0.1", PlanBuilder.PROXY_PORT)).isEqualTo("ok");
  }
}
