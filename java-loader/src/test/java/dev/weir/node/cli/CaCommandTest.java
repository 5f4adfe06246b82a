// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.json.JsonObject;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import picocli.CommandLine;

final class CaCommandTest {

  private static final String POLICY =
      """
      apiVersion: weir.dev/v1alpha1
      kind: Mesh
      metadata: {name: mesh}
      spec: {trustDomain: shop.example}
      ---
      apiVersion: weir.dev/v1alpha1
      kind: Workload
      metadata: {name: web, namespace: shop}
      spec: {cgroup: /shop/web, serviceAccountName: web}
      ---
      apiVersion: weir.dev/v1alpha1
      kind: Workload
      metadata: {name: web-2, namespace: shop}
      spec: {cgroup: /shop/web-2, serviceAccountName: web}
      ---
      apiVersion: weir.dev/v1alpha1
      kind: Workload
      metadata: {name: db, namespace: shop}
      spec: {cgroup: /shop/db, serviceAccountName: db}
      ---
      apiVersion: weir.dev/v1alpha1
      kind: Workload
      metadata: {name: cron, namespace: shop}
      spec: {cgroup: /shop/cron}
      ---
      apiVersion: weir.dev/v1alpha1
      kind: Workload
      metadata: {name: elsewhere, namespace: shop}
      spec: {address: 192.0.2.7, serviceAccountName: far}
      """;

  @TempDir private Path directory;

  private StringWriter out = new StringWriter();
  private StringWriter err = new StringWriter();

  private int run(String... arguments) throws IOException {
    out = new StringWriter();
    err = new StringWriter();
    CommandLine line = Weir.commandLine();
    line.setOut(new PrintWriter(out, true));
    line.setErr(new PrintWriter(err, true));
    List<String> all = new ArrayList<>(List.of("ca"));
    all.addAll(Arrays.asList(arguments));
    all.add("--state-dir=" + directory.resolve("state"));
    all.add("--run-dir=" + directory.resolve("run"));
    all.add("--proxy-user=" + Files.getAttribute(Path.of("/proc/self"), "unix:gid"));
    return line.execute(all.toArray(String[]::new));
  }

  private String policy(String text) throws IOException {
    Path policy = Files.createDirectories(directory.resolve("policy"));
    Files.writeString(policy.resolve("all.yaml"), text);
    return policy.toString();
  }

  private List<JsonObject> identities() {
    return JsonObject.parse(out.toString(), "out").objects("identities");
  }

  @ParameterizedTest
  @ValueSource(strings = {"init", "issue", "rotate", "list"})
  void everyCommandHasHelpAndAFormatForPrograms(String command) throws IOException {
    assertThat(run(command, "--help")).isZero();
    assertThat(out.toString()).contains("weir ca " + command).contains("-o, --output");
  }

  @Test
  void withoutACommandTheFourAreNamed() {
    CommandLine line = Weir.commandLine();
    line.setErr(new PrintWriter(err, true));
    assertThat(line.execute("ca")).isEqualTo(ExitCode.USAGE);
    assertThat(err.toString()).contains("init, issue, rotate or list");
  }

  @Test
  void theTrustDomainIsTheMeshs() throws IOException {
    assertThat(run("init", "--policy", policy(POLICY), "-o", "json")).isZero();
    JsonObject made = JsonObject.parse(out.toString(), "out");
    assertThat(made.text("trust_domain")).isEqualTo("shop.example");
    assertThat(made.objects("roots")).hasSize(1);
  }

  @Test
  void aTrustDomainMustBeNamedSomehow() throws IOException {
    assertThat(run("init")).isEqualTo(ExitCode.USAGE);
    assertThat(err.toString()).contains("--trust-domain");
  }

  @Test
  void aTrustDomainThatIsNotTheMeshsIsAUsageErrorWithFileAndLine() throws IOException {
    assertThat(run("init", "--policy", policy(POLICY), "--trust-domain", "other.example"))
        .isEqualTo(ExitCode.USAGE);
    assertThat(err.toString()).contains("all.yaml:1");
  }

  @Test
  void theAccountsOfThisNodesWorkloadsAreIssued() throws IOException {
    String policy = policy(POLICY);
    assertThat(run("init", "--policy", policy)).isZero();
    assertThat(run("issue", "--policy", policy, "-o", "json")).isZero();
    assertThat(identities())
        .extracting(identity -> identity.text("id"))
        .containsExactly(
            "spiffe://shop.example/ns/shop/sa/db", "spiffe://shop.example/ns/shop/sa/web");
    assertThat(JsonObject.parse(out.toString(), "out").texts("remarks"))
        .singleElement()
        .asString()
        .contains("shop/cron");
    assertThat(run("issue", "--policy", policy, "-o", "json")).isZero();
    assertThat(identities()).extracting(identity -> identity.text("result")).containsOnly("kept");
  }

  @Test
  void aPolicyOfAnotherTrustDomainIsRefused() throws IOException {
    assertThat(run("init", "--trust-domain", "other.example")).isZero();
    assertThat(run("issue", "--policy", policy(POLICY))).isEqualTo(ExitCode.REFUSED);
    assertThat(err.toString())
        .contains("other.example")
        .contains("all.yaml:1")
        .contains("shop.example");
  }

  @Test
  void badFilesAreRefusedWithFileAndLine() throws IOException {
    assertThat(run("init", "--trust-domain", "shop.example")).isZero();
    assertThat(run("issue", "--policy", policy("apiVersion: v1\nkind: [\n")))
        .isEqualTo(ExitCode.REFUSED);
    assertThat(err.toString()).contains("all.yaml:3:").doesNotContain("\tat ");
  }

  @Test
  void issueAsksForWhom() throws IOException {
    assertThat(run("issue")).isEqualTo(ExitCode.USAGE);
    assertThat(err.toString()).contains("for whom?");
  }

  @Test
  void listSaysAllThereIsAsATable() throws IOException {
    assertThat(run("init", "--trust-domain", "shop.example")).isZero();
    assertThat(run("issue", "shop/web", "shop/db")).isZero();
    assertThat(run("rotate")).isZero();
    assertThat(run("list")).isZero();
    assertThat(out.toString())
        .contains("trust domain shop.example")
        .contains("spiffe://shop.example/ns/shop/sa/web")
        .containsPattern("good +[0-9a-f]{8,32} ")
        .containsPattern("[0-9a-f]{16} +signs ")
        .containsPattern("[0-9a-f]{16} +leaves ")
        .containsPattern("36(50|49)d")
        .containsPattern(" 2[34]h ");
  }

  @Test
  void listForProgramsHasDaysLeft() throws IOException {
    assertThat(run("init", "--trust-domain", "shop.example")).isZero();
    assertThat(run("issue", "shop/web", "--lifetime", "48h")).isZero();
    assertThat(run("list", "-o", "json")).isZero();
    assertThat(identities().getFirst().toMap())
        .containsEntry("state", "good")
        .containsKeys("serial", "not_before", "not_after", "root", "renew_from")
        .hasEntrySatisfying(
            "days_left", days -> assertThat(((Number) days).doubleValue()).isBetween(1.9, 2.0));
  }

  @Test
  void listEndsWithOneWhenSomethingIsWrong() throws IOException {
    assertThat(run("init", "--trust-domain", "shop.example")).isZero();
    assertThat(run("issue", "shop/web", "-o", "json")).isZero();
    Files.writeString(Path.of(identities().getFirst().text("file")), "nothing\n");
    assertThat(run("list")).isEqualTo(ExitCode.REFUSED);
    assertThat(out.toString()).contains("broken").contains("! a certificate or the key is missing");
  }

  @ParameterizedTest
  @ValueSource(strings = {"1m", "31d", "0h", "x", "1w"})
  void whatIsNoLifeOfALeafIsRefused(String life) throws IOException {
    assertThat(run("init", "--trust-domain", "shop.example")).isZero();
    assertThat(run("issue", "shop/web", "--lifetime", life)).isNotZero();
    assertThat(err.toString()).containsAnyOf("expected: 5m to 30d", "expected: 30m");
  }

  @Test
  void anErrorIsAnObjectForPrograms() throws IOException {
    assertThat(run("list", "-o", "json")).isEqualTo(ExitCode.REFUSED);
    assertThat(JsonObject.parse(out.toString(), "out").text("error")).contains("weir ca init");
  }

  @Test
  void nothingThatIsPrintedIsAKey() throws IOException {
    String printed = "";
    assertThat(run("init", "--trust-domain", "shop.example", "--verbose")).isZero();
    printed += out.toString() + err;
    assertThat(run("issue", "shop/web", "--verbose", "-o", "json")).isZero();
    printed += out.toString() + err;
    String file = Files.readString(Path.of(identities().getFirst().text("file")));
    assertThat(run("rotate", "--verbose")).isZero();
    printed += out.toString() + err;
    assertThat(run("list", "--verbose")).isZero();
    printed += out.toString() + err;
    int key = file.indexOf("-----BEGIN PRIVATE KEY-----") + 28;
    assertThat(key).isGreaterThan(28);
    assertThat(printed).doesNotContain("PRIVATE").doesNotContain(file.substring(key, key + 16));
  }

  @Test
  void leavesAreForTheProxysGroup() throws IOException {
    Assumptions.assumeTrue(
        Files.getAttribute(Path.of("/proc/self"), "unix:uid").equals(0), "only root gives away");
    assertThat(run("init", "--trust-domain", "shop.example")).isZero();
    CommandLine line = Weir.commandLine();
    assertThat(
            line.execute(
                "ca",
                "issue",
                "shop/web",
                "--state-dir=" + directory.resolve("state"),
                "--run-dir=" + directory.resolve("run"),
                "--proxy-user=64186"))
        .isZero();
    Path svid = directory.resolve("run/identities/ns/shop/sa/web/svid.pem");
    assertThat(Files.getAttribute(svid, "unix:gid")).isEqualTo(64186);
    assertThat(Files.getAttribute(svid, "unix:uid")).isEqualTo(0);
    assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(svid)))
        .isEqualTo("rw-r-----");
  }
}
