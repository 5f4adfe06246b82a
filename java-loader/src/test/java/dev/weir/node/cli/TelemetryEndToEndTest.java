// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.node.FreePorts;
import dev.weir.node.agent.Agent;
import dev.weir.node.agent.AgentSettings;
import dev.weir.node.agent.Log;
import dev.weir.node.agent.ProxyCommand;
import dev.weir.node.kernel.KernelTest;
import dev.weir.node.kernel.Places;
import dev.weir.node.telemetry.StrictExposition;
import dev.weir.policy.json.JsonObject;
import java.io.IOException;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.net.InetAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Clock;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;

/** From real sockets to what an operator reads. */
@Tag("kernel")
final class TelemetryEndToEndTest {

  private static final int DB = 5432;
  private static final Duration PATIENCE = Duration.ofSeconds(20);

  @RegisterExtension final KernelTest kernel = new KernelTest();

  @TempDir private Path directory;

  private final List<Agent> agents = new ArrayList<>();

  @SuppressWarnings("NullAway.Init")
  private Path policy;

  private int metricsPort;

  @BeforeEach
  void layOut() throws IOException {
    policy = Files.createDirectory(directory.resolve("policy"));
    metricsPort = FreePorts.next();
    write(policy, "web");
  }

  @AfterEach
  void end() {
    agents.forEach(Agent::close);
    kernel.node().down();
  }

  private void write(Path to, String mayReachDb) throws IOException {
    Files.writeString(
        to.resolve("all.yaml"),
        """
        apiVersion: weir.dev/v1alpha1
        kind: Mesh
        metadata: {name: test, namespace: shop}
        spec: {proxy: {cgroup: ROOT/proxy}, metricsPort: METRICS, healthPort: HEALTH}
        ---
        apiVersion: weir.dev/v1alpha1
        kind: Workload
        metadata: {name: web, namespace: shop, labels: {app: web, version: v2}}
        spec: {cgroup: ROOT/web, serviceAccountName: web}
        ---
        apiVersion: weir.dev/v1alpha1
        kind: Workload
        metadata: {name: stranger, namespace: shop, labels: {app: stranger}}
        spec: {cgroup: ROOT/stranger}
        ---
        apiVersion: weir.dev/v1alpha1
        kind: Workload
        metadata: {name: db, namespace: shop, labels: {app: db}}
        spec: {cgroup: ROOT/db, ports: [{name: sql, port: 5432}]}
        ---
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata: {name: db, namespace: shop}
        spec:
          podSelector: {matchLabels: {app: db}}
          ingress:
          - from: [{podSelector: {matchLabels: {app: WHO}}}]
            ports: [{port: sql}]
        """
            .replace("ROOT", kernel.root())
            .replace("METRICS", Integer.toString(metricsPort))
            .replace("HEALTH", Integer.toString(FreePorts.next()))
            .replace("WHO", mayReachDb));
  }

  private Agent start() throws IOException {
    Agent agent =
        Agent.start(
            new AgentSettings(
                kernel.places(),
                policy,
                new ProxyCommand(
                    Path.of(System.getProperty("java.home"), "bin", "java"),
                    directory,
                    ProxyCommand.DEFAULT_USER),
                InetAddress.getLoopbackAddress(),
                false,
                AgentSettings.DEFAULT_QUIET,
                new AgentSettings.Telemetry(500, 1 << 20, Duration.ofMillis(200)),
                AgentSettings.DEFAULT_AUDIT_INTERVAL),
            new Log(
                new PrintStream(directory.resolve("log").toFile()),
                false,
                true,
                Clock.systemUTC()));
    agents.add(agent);
    return agent;
  }

  private static void eventually(String what, Callable<Boolean> condition) throws Exception {
    long deadline = System.nanoTime() + PATIENCE.toNanos();
    while (!condition.call()) {
      if (System.nanoTime() > deadline) {
        throw new AssertionError("not within " + PATIENCE.toSeconds() + " s: " + what);
      }
      Thread.sleep(20);
    }
  }

  private StrictExposition scrape() throws Exception {
    try (HttpClient client = HttpClient.newHttpClient()) {
      return StrictExposition.read(
          client
              .send(
                  HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + metricsPort + "/metrics"))
                      .build(),
                  HttpResponse.BodyHandlers.ofString())
              .body());
    }
  }

  private record Result(int status, String out) {}

  private static Result run(List<String> arguments) {
    StringWriter out = new StringWriter();
    CommandLine line = Weir.commandLine();
    line.setOut(new PrintWriter(out, true));
    line.setErr(new PrintWriter(out, true));
    int status = line.execute(arguments.toArray(String[]::new));
    return new Result(status, out.toString());
  }

  /** A command of the node, on this test's mesh. */
  private Result weir(String... arguments) {
    Places places = kernel.places();
    List<String> all = new ArrayList<>(List.of(arguments));
    all.addAll(
        List.of(
            "--pin-dir=" + places.pinDir(),
            "--run-dir=" + places.runDir(),
            "--state-dir=" + places.stateDir(),
            "--cgroup-root=" + places.cgroupRoot(),
            "--netns=" + places.netns().orElseThrow()));
    return run(all);
  }

  private long flows(String... filter) {
    List<String> arguments = new ArrayList<>(List.of("flows", "-o", "json"));
    arguments.addAll(List.of(filter));
    Result result = weir(arguments.toArray(String[]::new));
    return result.status() != ExitCode.OK
        ? 0
        : result
            .out()
            .lines()
            .map(line -> JsonObject.parse(line, "flow"))
            .mapToLong(
                flow ->
                    flow.optionalLong("count", 0, 1000).orElse(0L)
                        + flow.optionalLong("suppressed", 0, 1000).orElse(0L))
            .sum();
  }

  /** Three connections that are made, of three bytes back each; two that are refused. */
  private void talk() {
    kernel.serve("db", "listen", "127.0.0.1", Integer.toString(DB), "--reply", "db");
    for (int i = 0; i < 3; i++) {
      assertThat(kernel.ask("web", "127.0.0.1", DB)).isEqualTo("db");
    }
    for (int i = 0; i < 2; i++) {
      assertThat(kernel.ask("stranger", "127.0.0.1", DB)).isEqualTo("ECONNREFUSED");
    }
  }

  @Test
  void whatSocketsDidIsScrapedUnderIstiosNamesWithExactLabelsAndValues() throws Exception {
    start();
    talk();
    Map<String, String> labels =
        Map.ofEntries(
            Map.entry("reporter", "source"),
            Map.entry("source_workload", "web"),
            Map.entry("source_workload_namespace", "shop"),
            Map.entry("source_principal", "spiffe://cluster.local/ns/shop/sa/web"),
            Map.entry("source_app", "web"),
            Map.entry("source_version", "v2"),
            Map.entry("source_cluster", "unknown"),
            Map.entry("source_canonical_service", "web"),
            Map.entry("source_canonical_revision", "v2"),
            Map.entry("destination_workload", "db"),
            Map.entry("destination_workload_namespace", "shop"),
            Map.entry("destination_principal", "unknown"),
            Map.entry("destination_app", "db"),
            Map.entry("destination_version", "unknown"),
            Map.entry("destination_cluster", "unknown"),
            Map.entry("destination_canonical_service", "db"),
            Map.entry("destination_canonical_revision", "latest"),
            Map.entry("destination_service", "unknown"),
            Map.entry("destination_service_name", "unknown"),
            Map.entry("destination_service_namespace", "unknown"),
            Map.entry("request_protocol", "tcp"),
            Map.entry("response_flags", "-"),
            Map.entry("connection_security_policy", "unknown"));
    eventually("three closed", () -> scrape().sum("istio_tcp_connections_closed_total") == 3);
    StrictExposition scraped = scrape();
    assertThat(scraped.series("istio_tcp_connections_opened_total")).isEqualTo(Map.of(labels, 3.0));
    assertThat(scraped.series("istio_tcp_connections_closed_total")).isEqualTo(Map.of(labels, 3.0));
    // The kernel may or may not count the FIN of a peer as a byte.
    assertThat(scraped.value("istio_tcp_sent_bytes_total", labels)).isBetween(9.0, 12.0);
    assertThat(scraped.series("istio_tcp_received_bytes_total")).isEqualTo(Map.of(labels, 0.0));
    assertThat(
            scraped.value(
                "weir_connections_refused_total",
                Map.of(
                    "source_workload", "stranger",
                    "destination_workload", "db",
                    "destination_port", "5432",
                    "protocol", "tcp",
                    "rule", "NetworkPolicy/shop/db",
                    "rule_position", policy.resolve("all.yaml") + ":21",
                    "reason", "default_deny",
                    "reporter", "source")))
        .isEqualTo(2);
    Map<String, String> pair =
        Map.of("source_workload", "web", "destination_port", "5432", "verdict", "allow");
    assertThat(scraped.value("weir_connect_latency_seconds_count", pair)).isEqualTo(3);
    assertThat(scraped.value("weir_connections_open", pair)).isZero();
  }

  @Test
  void noCounterOfTheKernelFallsWhenTheAgentIsStartedAnew() throws Exception {
    Agent agent = start();
    talk();
    eventually("three closed", () -> scrape().sum("istio_tcp_connections_closed_total") == 3);
    Map<String, Double> before = scrape().counters();
    agents.remove(agent);
    agent.close();
    assertThat(kernel.ask("web", "127.0.0.1", DB)).isEqualTo("db");
    start();
    Map<String, Double> after = scrape().counters();
    before.forEach(
        (series, value) -> {
          if (series.startsWith("istio_")
              || series.startsWith("weir_conn")
              || series.startsWith("weir_kernel")) {
            assertThat(after.getOrDefault(series, -1.0)).as(series).isGreaterThanOrEqualTo(value);
          }
        });
    assertThat(scrape().sum("istio_tcp_connections_opened_total")).isEqualTo(4);
  }

  @Test
  void theFlowLogIsTailedAndFilteredAndReplayTellsWhatACandidateWouldRefuse() throws Exception {
    start();
    talk();
    eventually(
        "all flows in the log",
        () -> flows("--verdict=allow") == 3 && flows("--verdict=refuse") == 2);
    assertThat(flows("--from=shop/web")).isEqualTo(3);
    assertThat(flows("--from=stranger", "--to=shop/db", "--port=5432")).isEqualTo(2);
    assertThat(flows("--port=1")).isZero();
    assertThat(flows("--since=1h")).isEqualTo(5);
    assertThat(weir("flows", "--verdict=refuse").out())
        .contains("refuse shop/stranger -> shop/db:5432 tcp x")
        .contains("by NetworkPolicy shop/db (")
        .contains("[to 127.0.0.1]");

    Path seen = directory.resolve("seen.jsonl");
    Files.writeString(seen, weir("flows", "-o", "json").out());
    Path candidate = Files.createDirectory(directory.resolve("candidate"));
    write(candidate, "stranger");
    Result replay =
        run(List.of("replay", "-o", "json", candidate.toString(), "--flows", seen.toString()));
    JsonObject answer = JsonObject.parse(replay.out(), "replay");
    assertThat(answer.optionalFlag("widened")).contains(true);
    assertThat(answer.optionalFlag("narrowed")).contains(true);
    assertThat(
            answer.objects("rows").stream()
                .collect(
                    Collectors.groupingBy(
                        row ->
                            row.text("change")
                                + " "
                                + row.text("source")
                                + " -> "
                                + row.text("destination"),
                        Collectors.summingLong(
                            row -> row.optionalLong("count", 0, 1000).orElseThrow()))))
        .isEqualTo(
            Map.of("refused shop/web -> shop/db", 3L, "allowed shop/stranger -> shop/db", 2L));
    assertThat(run(List.of("replay", policy.toString(), "--flows", seen.toString())).status())
        .as("against the policy in force nothing changes")
        .isZero();
  }

  @Test
  void topShowsPairsAndRefusalsWithNoAgent() throws Exception {
    start().close();
    agents.clear();
    talk();
    Result top = weir("top", "--once", "-o", "json", "--sort=refused");
    assertThat(top.status()).isZero();
    List<JsonObject> pairs = JsonObject.parse(top.out(), "top").objects("pairs");
    assertThat(pairs)
        .extracting(
            row -> row.text("source") + " " + row.text("verdict"),
            row -> row.optionalLong("opened", 0, 99).orElseThrow(),
            row -> row.optionalLong("refused", 0, 99).orElseThrow())
        .containsExactlyInAnyOrder(
            org.assertj.core.groups.Tuple.tuple("shop/web allow", 3L, 0L),
            org.assertj.core.groups.Tuple.tuple("shop/stranger refuse", 0L, 2L));
    assertThat(weir("top", "--once").out())
        .contains("SOURCE")
        .contains("shop/web")
        .doesNotContain("\u001b");
  }
}
