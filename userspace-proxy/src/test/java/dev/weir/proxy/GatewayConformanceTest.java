// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.Compilation;
import dev.weir.policy.PolicyCompiler;
import dev.weir.policy.json.JsonObject;
import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Backend;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.ProxyUpdate;
import dev.weir.policy.plan.Workload;
import dev.weir.policy.source.SourceTree;
import dev.weir.proxy.observe.Log;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * The cases of the Gateway API's suite that depend on what happens at run time: their files, with
 * free ports and a pod on loopback, compiled and served by the proxy.
 */
@Timeout(60)
final class GatewayConformanceTest {

  private static final Path DATA =
      Path.of("..", "policy-compiler", "src", "test", "resources", "conformance", "gateway-api");

  private static final Pattern DELAY = Pattern.compile("[?&]delay=([0-9]+)s");

  /** Requests that a share of which is mirrored, so that every share is a whole number. */
  private static final int MIRRORED_REQUESTS = 100;

  /** Who answer as the suite's pods do, each at an address of its own. */
  private static final String PODS = pod(1) + pod(2) + pod(3);

  private static String pod(int number) {
    return """
    ---
    apiVersion: weir.dev/v1alpha1
    kind: Workload
    metadata:
      name: infra-backend-vN
      namespace: gateway-conformance-infra
      labels: {app: infra-backend-vN}
    spec: {cgroup: /podN, address: 192.0.2.10N, ports: [{port: 3000}]}
    """
        .replace("N", String.valueOf(number));
  }

  private static Address address(int pod) {
    return Address.parse("192.0.2.10" + pod).orElseThrow();
  }

  @TempDir private Path directory;

  record Case(String folder, int index, JsonObject question) {
    @Override
    public String toString() {
      return "gateway-api/" + folder + "#" + index + " " + question.object("request").text("path");
    }
  }

  static Stream<Case> cases() {
    return Stream.of(
            "httproute-timeout-request",
            "httproute-timeout-backend-request",
            "httproute-service-types",
            "httproute-request-mirror",
            "httproute-request-multiple-mirrors",
            "httproute-request-percentage-mirror")
        .flatMap(GatewayConformanceTest::of);
  }

  private static Stream<Case> of(String folder) {
    List<JsonObject> questions =
        JsonObject.parse(read(DATA.resolve(folder).resolve("cases.json")), folder).objects("cases");
    return IntStream.range(0, questions.size())
        .mapToObj(i -> new Case(folder, i, questions.get(i)));
  }

  private static String read(Path file) {
    try {
      return Files.readString(file);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** An address of a pod, which a test has none of its own for: it is dialled on loopback. */
  private static final Address POD_ADDRESS = Address.parse("192.0.2.9").orElseThrow();

  /** An address for every slice of IPv4, as the suite gives them while it runs. */
  private static String fill(String files) {
    return Stream.of(files.split("(?m)^---\n", -1))
        .map(
            document ->
                document.contains("kind: EndpointSlice") && document.contains("addressType: IPv4")
                    ? document + "endpoints: [{addresses: [192.0.2.9]}]\n"
                    : document)
        .reduce((a, b) -> a + "---\n" + b)
        .orElseThrow();
  }

  private ProxyUpdate compile(String folder, int gatewayPort, int podPort) throws IOException {
    String files =
        fill(read(DATA.resolve(folder).resolve("input.yaml")).stripTrailing() + "\n")
                .replace("port: 80\n", "port: " + gatewayPort + "\n")
            + PODS;
    Path file = directory.resolve("files.yaml");
    Files.writeString(file, files.replaceAll("\\b3000\\b", String.valueOf(podPort)));
    Compilation compilation = PolicyCompiler.analyse(SourceTree.read(file)).compilation();
    assertThat(compilation).as(compilation.toString()).isInstanceOf(Compilation.Compiled.class);
    Plan plan = ((Compilation.Compiled) compilation).plan();
    List<Integer> numbers = new ArrayList<>();
    for (int i = 0; i < plan.workloads().size(); i++) {
      numbers.add(i < Workload.RESERVED ? i : i + Mesh.WEB - Workload.RESERVED);
    }
    return new ProxyUpdate(1, onLoopback(plan), numbers, List.of());
  }

  private static Plan onLoopback(Plan plan) {
    List<Backend> backends =
        plan.backends().stream()
            .map(b -> new Backend(onLoopback(b.address()), b.port(), b.workload(), b.identity()))
            .toList();
    return new Plan(
        plan.settings(),
        plan.workloads(),
        plan.identities(),
        plan.rules(),
        plan.verdicts(),
        plan.portClasses(),
        plan.services(),
        backends,
        plan.endpoints(),
        plan.cidrs(),
        plan.ports(),
        plan.proxy(),
        plan.traffic());
  }

  private static Address onLoopback(Address address) {
    for (int pod = 1; pod <= 3; pod++) {
      if (address.equals(address(pod))) {
        return Address.parse("127.0.0." + pod).orElseThrow();
      }
    }
    return address.equals(POD_ADDRESS) ? Address.LOOPBACK4 : address;
  }

  /**
   * Echoes the request's first line; a query {@code delay=1s} makes it wait before.
   *
   * @param heads where it puts what it was asked
   */
  private static RawBackend pod(int number, int port, Queue<String> heads) throws IOException {
    return new RawBackend(
        InetAddress.getByName("127.0.0." + number),
        port,
        connection -> {
          String head = connection.head();
          if (head.isEmpty()) {
            return;
          }
          heads.add(head);
          Matcher delay = DELAY.matcher(head.lines().findFirst().orElse(""));
          if (delay.find()) {
            try {
              Thread.sleep(Duration.ofSeconds(Long.parseLong(delay.group(1))));
            } catch (InterruptedException e) {
              Thread.currentThread().interrupt();
            }
          }
          String body = head.lines().findFirst().orElse("");
          connection.respond("Connection: close\r\nx-pod: infra-backend-v" + number + "\r\n", body);
        });
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("cases")
  void isAnsweredByTheProxyItself(Case asked) throws Exception {
    JsonObject expect = asked.question().object("expect");
    JsonObject request = asked.question().object("request");
    int gatewayPort = FreePorts.next();
    ByteArrayOutputStream log = new ByteArrayOutputStream();
    List<Queue<String>> heads =
        List.of(
            new ConcurrentLinkedQueue<>(),
            new ConcurrentLinkedQueue<>(),
            new ConcurrentLinkedQueue<>());
    try (RawBackend first = pod(1, 0, heads.get(0));
        RawBackend second = pod(2, first.port(), heads.get(1));
        RawBackend third = pod(3, first.port(), heads.get(2));
        Proxy proxy =
            new Proxy(
                1,
                channel -> Optional.empty(),
                System::nanoTime,
                new Log(new PrintStream(log, true, StandardCharsets.UTF_8)))) {
      assertThat(List.of(second.port(), third.port())).containsOnly(first.port());
      proxy.update(compile(asked.folder(), gatewayPort, first.port()));
      List<JsonObject> mirrors = expect.objects("mirrored_to");
      String headers =
          request.textMap("headers").entrySet().stream()
              .map(header -> header.getKey() + ": " + header.getValue() + "\r\n")
              .collect(Collectors.joining());
      try (Client client = new Client(gatewayPort)) {
        for (int i = 0; i < (mirrors.isEmpty() ? 1 : MIRRORED_REQUESTS); i++) {
          Client.Response response = client.get(request.text("path"), headers);
          assertThat((List<?>) expect.toMap().get("status"))
              .as(log.toString(StandardCharsets.UTF_8))
              .anyMatch(status -> ((Number) status).intValue() == response.status());
          if (response.status() == 200) {
            JsonObject sent = expect.object("backend_request");
            assertThat(response.text())
                .startsWith(
                    request.optionalText("method").orElse("GET") + " " + sent.text("path") + " ");
          }
          if (!mirrors.isEmpty()) {
            assertThat(response.header("x-pod")).isEqualTo(expect.text("backend"));
          }
        }
      }
      for (JsonObject mirror : mirrors) {
        String name = mirror.text("backend");
        int pod = Integer.parseInt(name.substring(name.length() - 1));
        int share = mirror.optionalInteger("percent", 0, 100).orElse(100);
        awaitSize(heads.get(pod - 1), MIRRORED_REQUESTS * share / 100);
        JsonObject sent = expect.object("backend_request");
        assertThat(heads.get(pod - 1))
            .allMatch(head -> head.startsWith("GET " + sent.text("path") + " "));
        sent.textMap("headers")
            .forEach(
                (header, value) ->
                    assertThat(heads.get(pod - 1))
                        .allMatch(
                            head -> joined(head, header.toLowerCase(Locale.ROOT)).equals(value)));
      }
    }
  }

  private static String joined(String head, String name) {
    return head.lines()
        .filter(line -> line.toLowerCase(Locale.ROOT).startsWith(name + ":"))
        .map(line -> line.substring(name.length() + 1).strip())
        .collect(Collectors.joining(","));
  }

  /** Copies are sent on their own; more than asked for would be as wrong as fewer. */
  private static void awaitSize(Queue<String> heads, int size) throws InterruptedException {
    for (int i = 0; i < 100 && heads.size() < size; i++) {
      Thread.sleep(50);
    }
    Thread.sleep(50);
    assertThat(heads).hasSize(size);
  }
}
