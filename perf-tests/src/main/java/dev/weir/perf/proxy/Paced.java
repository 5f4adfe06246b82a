// SPDX-License-Identifier: Apache-2.0
package dev.weir.perf.proxy;

import dev.weir.perf.Child;
import dev.weir.perf.Workspace;
import dev.weir.perf.measure.MeasureException;
import java.net.URI;
import java.nio.file.Path;
import java.util.List;

/** Runs the load generator of constant rate, {@code paced.c}. */
final class Paced {

  private Paced() {}

  /** Times from when a request was due to its answer. */
  record Latency(double p50Micros, double p99Micros) {}

  /**
   * One run.
   *
   * @param rate requests per second
   * @throws MeasureException if any of them was not answered with status 200
   */
  static Latency run(
      Workspace workspace, Path cgroup, String url, int rate, int connections, int seconds)
      throws MeasureException, InterruptedException {
    URI to = URI.create(url);
    List<String> command =
        List.of(
            workspace.files().resolve("paced").toString(),
            to.getHost(),
            String.valueOf(to.getPort()),
            String.valueOf(rate),
            String.valueOf(connections),
            String.valueOf(seconds));
    try (Child paced = Child.talking(workspace, "paced", Child.LOAD, cgroup, command)) {
      return parse(url, paced.answer());
    }
  }

  /** Reads what it prints. */
  static Latency parse(String url, String line) throws MeasureException {
    String[] words = line.split(" ", -1);
    if (words.length != 5 || !words[0].equals("ok")) {
      throw new MeasureException("requests to " + url + " at a constant rate: " + line);
    }
    return new Latency(Long.parseLong(words[2]) / 1e3, Long.parseLong(words[3]) / 1e3);
  }
}
