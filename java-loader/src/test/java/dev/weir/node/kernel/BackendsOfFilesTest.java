// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.Compilation;
import dev.weir.policy.PolicyCompiler;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;

/** Whom real connections reach, of what Services and EndpointSlices in files say. */
@Tag("kernel")
final class BackendsOfFilesTest {

  private static final String VIP = "10.96.0.7";
  private static final String ONE = "10.40.0.1";
  private static final String TWO = "10.40.0.2";

  @RegisterExtension final KernelTest kernel = new KernelTest();

  @TempDir private Path directory;

  @BeforeEach
  void serve() {
    for (String address : new String[] {ONE, TWO}) {
      KernelTest.ip("-n", kernel.netns(), "addr", "add", address + "/32", "dev", "lo");
    }
    kernel.serve("one", "listen", ONE, "8080", "--reply", "one");
    kernel.serve("two", "listen", TWO, "8080", "--reply", "two");
  }

  /**
   * Applies a Service with two endpoints.
   *
   * @param one conditions of the first
   * @param two conditions of the second
   */
  private void apply(String clusterIp, String one, String two) throws IOException {
    Files.writeString(
        directory.resolve("all.yaml"),
        """
        apiVersion: weir.dev/v1alpha1
        kind: Mesh
        metadata: {name: test, namespace: shop}
        spec: {proxy: {cgroup: ROOT/proxy}}
        ---
        apiVersion: weir.dev/v1alpha1
        kind: Workload
        metadata: {name: web, namespace: shop}
        spec: {cgroup: ROOT/web}
        ---
        apiVersion: weir.dev/v1alpha1
        kind: Workload
        metadata: {name: one, namespace: shop}
        spec: {cgroup: ROOT/one, addresses: [10.40.0.1], ports: [{port: 8080}]}
        ---
        apiVersion: weir.dev/v1alpha1
        kind: Workload
        metadata: {name: two, namespace: shop}
        spec: {cgroup: ROOT/two, addresses: [10.40.0.2], ports: [{port: 8080}]}
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: s, namespace: shop}
        spec: {clusterIP: CLUSTERIP, ports: [{port: 80, targetPort: 8080}]}
        ---
        apiVersion: discovery.k8s.io/v1
        kind: EndpointSlice
        metadata: {name: s, namespace: shop, labels: {kubernetes.io/service-name: s}}
        addressType: IPv4
        ports: [{port: 8080}]
        endpoints:
        - {addresses: [10.40.0.1], conditions: FIRST}
        - {addresses: [10.40.0.2], conditions: SECOND}
        """
            .replace("ROOT", kernel.root())
            .replace("CLUSTERIP", clusterIp)
            .replace("FIRST", one)
            .replace("SECOND", two));
    switch (PolicyCompiler.compileDirectory(directory)) {
      case Compilation.Compiled compiled -> kernel.apply(compiled.plan());
      case Compilation.Refused refused -> throw new AssertionError(refused.errors());
    }
  }

  private Map<String, Long> reached() {
    return kernel.run("web", "connect", VIP, "80", "--read", "--count", "40").outcomes();
  }

  @Test
  void onlyReadyBackendsAreReached() throws IOException {
    apply(VIP, "{ready: true}", "{ready: true}");
    assertThat(reached()).containsOnlyKeys("one", "two");
    apply(VIP, "{ready: true}", "{ready: false}");
    assertThat(reached()).isEqualTo(Map.of("one", 40L));
    apply(VIP, "{ready: false}", "{ready: true}");
    assertThat(reached()).isEqualTo(Map.of("two", 40L));
    apply(VIP, "{ready: false}", "{ready: false}");
    assertThat(reached()).isEqualTo(Map.of("ECONNREFUSED", 40L));
  }

  @Test
  void oneThatIsEndingIsReachedOnlyWhileNobodyIsReady() throws IOException {
    apply(VIP, "{ready: false, serving: true, terminating: true}", "{ready: true}");
    assertThat(reached()).isEqualTo(Map.of("two", 40L));
    apply(VIP, "{ready: false, serving: true, terminating: true}", "{ready: false}");
    assertThat(reached()).isEqualTo(Map.of("one", 40L));
  }

  @Test
  void aHeadlessServiceChangesNoAddressOfItsBackends() throws IOException {
    apply("None", "{ready: true}", "{ready: false}");
    // Who resolves its name dials an endpoint, and reaches that one, ready or not.
    assertThat(kernel.ask("web", ONE, 8080)).isEqualTo("one");
    assertThat(kernel.ask("web", TWO, 8080)).isEqualTo("two");
    assertThat(kernel.run("web", "connect", ONE, "8080", "--peername").text("peer"))
        .isEqualTo(ONE + ":8080");
    // Its port leads nowhere, for no address is the Service's.
    assertThat(kernel.ask("web", ONE, 80)).isEqualTo("ECONNREFUSED");
    assertThat(kernel.node().telemetry().refusals()).isEmpty();
  }
}
