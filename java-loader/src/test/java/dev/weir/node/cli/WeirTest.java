// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.json.JsonObject;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import picocli.CommandLine;

final class WeirTest {

  @TempDir private Path directory;

  private final StringWriter out = new StringWriter();
  private final StringWriter err = new StringWriter();

  private int run(String... arguments) {
    CommandLine line = Weir.commandLine();
    line.setOut(new PrintWriter(out, true));
    line.setErr(new PrintWriter(err, true));
    return line.execute(arguments);
  }

  /** With places where nothing is, so that no mesh in use is met. */
  private int runElsewhere(String... arguments) {
    List<String> all = new ArrayList<>(Arrays.asList(arguments));
    all.addAll(
        List.of(
            "--pin-dir=/sys/fs/bpf/weir-test-none",
            "--run-dir=" + directory.resolve("run"),
            "--state-dir=" + directory.resolve("state")));
    return run(all.toArray(String[]::new));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "up", "apply", "confirm", "down", "status", "metrics", "flows", "top", "check", "explain",
        "compile"
      })
  void everyCommandHasHelpAndAFormatForPrograms(String command) {
    assertThat(run(command, "--help")).isZero();
    assertThat(out.toString()).contains("weir " + command).contains("-o, --output");
  }

  @Test
  void withoutACommandTheUsageIsShown() {
    assertThat(run()).isEqualTo(ExitCode.USAGE);
    assertThat(err.toString()).contains("which command?").contains("Usage: weir");
  }

  @ParameterizedTest
  @ValueSource(strings = {"frobnicate", "--frobnicate"})
  void whatIsNoCommandIsAUsageError(String argument) {
    assertThat(run(argument)).isEqualTo(ExitCode.USAGE);
    assertThat(err.toString()).contains(argument);
  }

  @Test
  void aMissingDirectoryIsAUsageError() {
    assertThat(run("apply")).isEqualTo(ExitCode.USAGE);
    assertThat(err.toString()).contains("DIR");
  }

  @ParameterizedTest
  @CsvSource({"1s,1", "90s,90", "5m,300", "1h,3600", "24h,86400"})
  void timesToConfirm(String text, long seconds) {
    assertThat(new DurationConverter().convert(text)).hasSeconds(seconds);
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "5", "0s", "25h", "-1m", "5 m", "1d", "99999999s"})
  void whatIsNoTimeToConfirmIsAUsageError(String text) {
    assertThat(run("apply", "--confirm-within", text, "x")).isEqualTo(ExitCode.USAGE);
    assertThat(err.toString()).contains("--confirm-within");
  }

  @Test
  void badFilesAreRefusedWithFileAndLineAndNoStackTrace() throws IOException {
    Files.writeString(directory.resolve("bad.yaml"), "apiVersion: v1\nkind: [\n");
    assertThat(runElsewhere("apply", directory.toString())).isNotZero();
    assertThat(err.toString()).doesNotContain("\tat ");
    if (Files.isWritable(Path.of("/proc/sysrq-trigger"))) { // as root, so that privileges suffice
      assertThat(err.toString()).contains("bad.yaml:3:");
    }
  }

  @Test
  void anErrorIsAnObjectForPrograms() throws IOException {
    Files.writeString(directory.resolve("bad.yaml"), "apiVersion: v1\nkind: [\n");
    assertThat(runElsewhere("apply", directory.toString(), "-o", "json")).isNotZero();
    Map<String, Object> object = JsonObject.parse(out.toString(), "out").toMap();
    assertThat(object).containsOnlyKeys("error");
    assertThat(err.toString()).startsWith("weir: ");
  }

  @Test
  void checkSaysFileAndLine() throws IOException {
    Files.writeString(directory.resolve("bad.yaml"), "apiVersion: v1\nkind: [\n");
    assertThat(run("check", directory.toString())).isEqualTo(ExitCode.REFUSED);
    assertThat(out.toString() + err).contains("bad.yaml:");
  }
}
