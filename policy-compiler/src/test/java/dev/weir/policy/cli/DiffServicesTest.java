// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import picocli.CommandLine;

/** {@code weir diff} says to whom services lead that led to others. */
class DiffServicesTest {

  private static final String BASE =
      """
      {apiVersion: weir.dev/v1alpha1, kind: Workload, metadata: {name: a, labels: {app: a}},
       spec: {cgroup: /a, ports: [{name: http, port: 8080}, {name: admin, port: 8081}]}}
      ---
      {apiVersion: v1, kind: Pod, metadata: {name: b, labels: {app: b}},
       spec: {containers: [{ports: [{name: http, containerPort: 8090}]}]}}
      ---
      {apiVersion: v1, kind: Service, metadata: {name: s},
       spec: {clusterIP: 10.96.0.1, selector: {app: a}, ports: [{port: 80, targetPort: http}]}}
      ---
      {apiVersion: v1, kind: Service, metadata: {name: outside},
       spec: {clusterIP: 10.96.0.2, ports: [{port: 80}]}}
      ---
      {apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4,
       metadata: {name: outside, labels: {kubernetes.io/service-name: outside}},
       ports: [{name: '', port: 80}], endpoints: [{addresses: [192.0.2.1]}]}
      """;

  @TempDir private Path directory;

  private final StringWriter out = new StringWriter();

  private int diff(String older, String newer, String... options) throws Exception {
    Path old = Files.writeString(directory.resolve("old.yaml"), older);
    Path later = Files.writeString(directory.resolve("new.yaml"), newer);
    CommandLine line = PolicyTool.commandLine();
    line.setOut(new PrintWriter(out));
    String[] arguments = new String[3 + options.length];
    arguments[0] = "diff";
    arguments[1] = old.toString();
    arguments[2] = later.toString();
    System.arraycopy(options, 0, arguments, 3, options.length);
    return line.execute(arguments);
  }

  @ParameterizedTest(name = "{0} -> {1}")
  @CsvSource(
      delimiter = '|',
      textBlock =
          """
          selector: {app: a} | selector: {app: b} | changed: default/s[Service] TCP 80: leads to default/a[Workload] 8080 => default/b[Pod] 8090
          targetPort: http   | targetPort: admin  | changed: default/s[Service] TCP 80: leads to default/a[Workload] 8080 => default/a[Workload] 8081
          selector: {app: a} | selector: {app: c} | removed: default/s[Service] TCP 80: leads to default/a[Workload] 8080 => Nobody
          'labels: {app: b}' | 'labels: {app: a}' | changed: default/s[Service] TCP 80: leads to default/a[Workload] 8080 => default/a[Workload] 8080, default/b[Pod] 8090
          192.0.2.1          | 192.0.2.2          | changed: default/outside[Service] TCP 80: leads to 192.0.2.1 80 => 192.0.2.2 80
          """)
  void aServiceThatLeadsElsewhereIsTold(String older, String newer, String row) throws Exception {
    assertThat(BASE).contains(older);
    assertThat(diff(BASE, BASE.replace(older, newer))).isEqualTo(ExitCodes.OK);
    assertThat(out.toString().lines())
        .containsExactly(row, "equal: what is allowed is the same, but services lead elsewhere");
  }

  @Test
  void asJsonItIsARowOfItsOwnKind() throws Exception {
    diff(BASE, BASE.replace("selector: {app: a}", "selector: {app: b}"), "-o", "json");
    assertThat(out.toString().replaceAll("\\s+", " "))
        .contains(
            "\"kind\": \"service\", \"change\": \"changed\", \"src\": \"default/s[Service] TCP"
                + " 80\", \"dst\": \"\", \"old\": \"default/a[Workload] 8080\", \"new\":"
                + " \"default/b[Pod] 8090\"");
  }

  @Test
  void aWorkloadThatIsNewOrGoneIsNoChangeOfItsServices() throws Exception {
    String more =
        BASE
            + "---\n{apiVersion: v1, kind: Pod, metadata: {name: c, labels: {app: a}}, spec:"
            + " {containers: [{ports: [{name: http, containerPort: 8090}]}]}}\n";
    diff(BASE, more);
    diff(more, BASE);
    assertThat(out.toString()).doesNotContain("leads to");
  }

  @Test
  void whereNothingChangesNothingIsTold() throws Exception {
    assertThat(
            diff(BASE, BASE.replace("name: http", "name: web").replace("Port: http", "Port: web")))
        .isEqualTo(ExitCodes.OK);
    assertThat(out.toString().trim()).isEqualTo("equal");
  }
}
