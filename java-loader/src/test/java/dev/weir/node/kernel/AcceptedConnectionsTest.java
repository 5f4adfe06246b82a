// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.node.telemetry.Exposition;
import dev.weir.node.telemetry.FlowLog;
import dev.weir.node.telemetry.KernelMetrics;
import dev.weir.node.telemetry.Names;
import dev.weir.node.telemetry.StrictExposition;
import dev.weir.policy.answer.Flow;
import dev.weir.policy.json.JsonObject;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.Reserved;
import dev.weir.policy.plan.Verdict.Decision;
import java.time.Clock;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Predicate;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** What is counted of connections that come by a wire: at whoever accepts them, once. */
@Tag("kernel")
final class AcceptedConnectionsTest {

  private static final int PORT = 5432;

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
        .isolateIngress("db")
        .allow("web", "db", Protocol.TCP, PORT);
  }

  private PlanBuilder open() {
    return db().allow("outside", "db", Protocol.TCP, PORT);
  }

  private List<Snapshot.Pair> pairs() {
    return kernel.node().telemetry().pairs();
  }

  private Snapshot.Pair eventually(Predicate<Snapshot.Pair> condition) {
    long deadline = System.nanoTime() + KernelTest.patiently(Duration.ofSeconds(5)).toNanos();
    List<Snapshot.Pair> now = pairs();
    while (now.size() != 1 || !condition.test(now.getFirst())) {
      if (System.nanoTime() > deadline) {
        throw new AssertionError("not within 5 s: " + now);
      }
      KernelTest.pause(Duration.ofMillis(10));
      now = pairs();
    }
    return now.getFirst();
  }

  private Names names() {
    KernelNode node = kernel.node();
    return new Names(node.current().orElseThrow(), node::workloadKey, node::ruleKey);
  }

  @Test
  void aConnectionFromOutsideIsCountedWhileItIsOpenAndAtItsClose() {
    kernel.apply(open().build());
    kernel.serve("db", "listen", "::", "5432", "--echo");
    for (String address : List.of(Outside.NODE, Outside.NODE6)) {
      long before = pairs().stream().mapToLong(Snapshot.Pair::opened).sum();
      Prober client = outside.start("connect", address, "5432", "--send", "1000", "--hold", "700");
      assertThat(client.next().has("holding")).isTrue();
      Snapshot.Pair open = eventually(pair -> pair.receivedBytes() == (before + 1) * 1000);
      assertThat(open.accepted()).isTrue();
      assertThat(open.source()).isEqualTo(Reserved.OUTSIDE.index());
      assertThat(names().workload(open.destination()).name()).isEqualTo("db");
      assertThat(open.port()).isEqualTo(PORT);
      assertThat(open.verdict()).isEqualTo(Decision.ALLOW);
      assertThat(open.opened()).isEqualTo(before + 1);
      assertThat(open.open()).isEqualTo(1);
      assertThat(open.sentBytes()).isEqualTo((before + 1) * 1000);
      assertThat(open.roundTripSamples()).isPositive();
      assertThat(open.roundTripMicrosSum()).isPositive();
      assertThat(open.timed()).isZero();

      assertThat(client.next().text("result")).isEqualTo("ok");
      Snapshot.Pair closed = eventually(pair -> pair.closed() == before + 1);
      assertThat(closed.open()).isZero();
      assertThat(closed.sentBytes()).isEqualTo((before + 1) * 1000);
      assertThat(closed.receivedBytes()).isEqualTo((before + 1) * 1000);
      assertThat(closed.durationMicrosSum()).isGreaterThan((before + 1) * 500_000);
    }
  }

  @Test
  void whoAnAddressOfAnotherNodeBelongsToIsTheSource() {
    kernel.apply(open().workload("remote").endpoint("remote", Outside.THERE_SECOND, true).build());
    kernel.serve("db", "listen", "0.0.0.0", "5432", "--reply", "db");
    assertThat(outside.ask(Outside.NODE, PORT, "--from", Outside.THERE_SECOND)).isEqualTo("db");
    Snapshot.Pair pair = eventually(one -> one.closed() == 1);
    assertThat(names().workload(pair.source()).name()).isEqualTo("remote");
    assertThat(pair.accepted()).isTrue();
  }

  @Test
  void whatAuditModeLetInIsCountedAsAudited() {
    kernel.apply(db().audit().build());
    kernel.serve("db", "listen", "0.0.0.0", "5432", "--reply", "db");
    assertThat(outside.ask(Outside.NODE, PORT)).isEqualTo("db");
    assertThat(eventually(pair -> pair.closed() == 1).verdict()).isEqualTo(Decision.AUDIT);
  }

  @Test
  void aConnectionOfThisNodeIsCountedByItsSourceAlone() {
    kernel.apply(open().endpoint("db", Outside.NODE, false).build());
    kernel.serve("db", "listen", "0.0.0.0", "5432", "--reply", "db");
    assertThat(kernel.ask("web", Outside.NODE, PORT)).isEqualTo("db");
    assertThat(kernel.ask("web", "127.0.0.1", PORT)).isEqualTo("db");
    assertThat(outside.runAs("web", "connect", Outside.NODE, "5432", "--read").text("line"))
        .isEqualTo("db");
    Snapshot.Pair pair = eventually(one -> one.closed() == 3);
    assertThat(pair.accepted()).isFalse();
    assertThat(names().workload(pair.source()).name()).isEqualTo("web");
  }

  @Test
  void whatNoWorkloadAcceptsIsNotCounted() {
    kernel.apply(open().build());
    kernel.serve("plain", "listen", "0.0.0.0", "22", "--reply", "sshd");
    assertThat(outside.ask(Outside.NODE, 22)).isEqualTo("sshd");
    kernel.serve("db", "listen", "0.0.0.0", "5432", "--reply", "db");
    assertThat(outside.ask(Outside.NODE, PORT)).isEqualTo("db");
    assertThat(eventually(pair -> pair.closed() == 1).port()).isEqualTo(PORT);
  }

  @Test
  void whatIsTurnedAwayIsToldWithWhoCameAndByWhichRule() throws InterruptedException {
    kernel.apply(db().workload("remote").endpoint("remote", Outside.THERE_SECOND, true).build());
    kernel.serve("db", "listen", "0.0.0.0", "5432", "--reply", "db");
    KernelNode node = kernel.node();
    FlowLog flows = new FlowLog(Clock.systemUTC());
    flows.begin(node.telemetry());
    Set<Integer> told = ConcurrentHashMap.newKeySet();
    try (KernelNode.Subscription subscription =
        node.events(
            event -> {
              flows.event(event);
              told.add(event.source());
            })) {
      assertThat(subscription).isNotNull();
      assertThat(outside.ask(Outside.NODE, PORT)).isEqualTo("ETIMEDOUT");
      assertThat(outside.ask(Outside.NODE, PORT, "--from", Outside.THERE_SECOND))
          .isEqualTo("ETIMEDOUT");
      long deadline = System.nanoTime() + KernelTest.patiently(Duration.ofSeconds(5)).toNanos();
      while (told.size() < 2 && System.nanoTime() < deadline) {
        Thread.sleep(10);
      }
    }
    Snapshot snapshot = node.telemetry();
    List<JsonObject> lines =
        flows.lines(snapshot, names(), 1).stream()
            .map(line -> JsonObject.parse(line, "flow"))
            .toList();
    assertThat(lines)
        .extracting(line -> line.text("source") + " " + line.text("source_address"))
        .containsExactlyInAnyOrder(
            "outside " + Outside.THERE, "test/remote " + Outside.THERE_SECOND);
    assertThat(lines)
        .allSatisfy(
            line -> {
              assertThat(line.text("direction")).isEqualTo("ingress");
              assertThat(line.text("verdict")).isEqualTo("refuse");
              assertThat(line.text("rule")).contains("isolate-ingress-db");
              assertThat(line.optionalText("address")).isEmpty();
              assertThat(Flow.read(line)).isPresent();
            });
    StrictExposition read =
        StrictExposition.read(Exposition.text(new KernelMetrics(names()).families(snapshot)));
    for (String source : List.of("outside", "remote")) {
      assertThat(
              read.value(
                  "weir_connections_refused_total",
                  Map.of("source_workload", source, "reporter", "destination")))
          .isPositive();
    }
  }

  @Test
  void istiosFamiliesAndTheFlowLogTellItFromTheDestinationsSide() {
    kernel.apply(open().build());
    FlowLog flows = new FlowLog(Clock.systemUTC());
    flows.begin(kernel.node().telemetry());
    kernel.serve("db", "listen", "0.0.0.0", "5432", "--echo");
    outside.run("connect", Outside.NODE, "5432", "--send", "10", "--hold", "100");
    eventually(pair -> pair.closed() == 1);

    Snapshot snapshot = kernel.node().telemetry();
    StrictExposition read =
        StrictExposition.read(Exposition.text(new KernelMetrics(names()).families(snapshot)));
    Map<String, String> istio =
        Map.of(
            "reporter", "destination",
            "source_workload", "outside",
            "destination_workload", "db",
            "destination_workload_namespace", "test",
            "request_protocol", "tcp",
            "connection_security_policy", "none");
    assertThat(read.value("istio_tcp_connections_opened_total", istio)).isEqualTo(1);
    assertThat(read.value("istio_tcp_connections_closed_total", istio)).isEqualTo(1);
    assertThat(read.value("istio_tcp_received_bytes_total", istio)).isEqualTo(10);
    assertThat(read.sum("weir_connections_opened_total")).isEqualTo(1);
    Map<String, String> ours = Map.of("source_workload", "outside", "reporter", "destination");
    assertThat(read.value("weir_connection_duration_seconds_count", ours)).isEqualTo(1);
    assertThat(read.value("weir_tcp_round_trip_seconds_count", ours)).isPositive();

    JsonObject line =
        JsonObject.parse(flows.lines(snapshot, names(), 1).stream().findFirst().orElseThrow(), "");
    assertThat(line.text("source")).isEqualTo("outside");
    assertThat(line.text("destination")).isEqualTo("test/db");
    assertThat(line.text("direction")).isEqualTo("ingress");
    assertThat(line.optionalLong("bytes_sent", 0, 100)).contains(10L);
    assertThat(line.optionalText("connect_us")).isEmpty();
  }
}
