// SPDX-License-Identifier: Apache-2.0
package dev.weir.perf;

import dev.weir.perf.measure.MeasureException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The programs that Weir is measured beside and with. */
final class Peers {

  private static final Pattern VERSION = Pattern.compile("\\d+\\.\\d+\\.\\d+");

  private Peers() {}

  /** Their versions, by name. */
  static Map<String, String> versions(Workspace workspace)
      throws MeasureException, InterruptedException {
    Map<String, String> versions = new LinkedHashMap<>();
    versions.put("nginx", version(workspace, "nginx", "-v"));
    versions.put("HAProxy", version(workspace, "haproxy", "-v"));
    versions.put("Envoy", version(workspace, "envoy", "--version"));
    versions.put("wrk", version(workspace, "wrk", "-v"));
    versions.put("h2load", version(workspace, "h2load", "--version"));
    return versions;
  }

  private static String version(Workspace workspace, String program, String option)
      throws MeasureException, InterruptedException {
    try {
      Process process =
          new ProcessBuilder(List.of(workspace.peer(program), option))
              .redirectErrorStream(true)
              .start();
      String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
      process.waitFor(); // wrk -v says its version and ends with 1, so the status means nothing
      Matcher matcher = VERSION.matcher(output);
      if (!matcher.find()) {
        throw new MeasureException(program + " " + option + " names no version: " + output.strip());
      }
      return matcher.group();
    } catch (IOException e) {
      throw new MeasureException(
          "cannot start " + program + ": " + e.getMessage() + "; run scripts/setup --with bench",
          e);
    }
  }
}
