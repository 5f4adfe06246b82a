// SPDX-License-Identifier: Apache-2.0
package dev.weir.perf.proxy;

import dev.weir.perf.Child;
import dev.weir.perf.Workspace;
import dev.weir.perf.measure.MeasureException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/** Runs h2load, the load generator of nghttp2. */
final class H2load {

  /** Requests under way at once on one connection. */
  static final int STREAMS = 4;

  private static final Pattern REQUESTS =
      Pattern.compile(
          "requests: \\d+ total, \\d+ started, (\\d+) done, (\\d+) succeeded, (\\d+) failed");
  private static final Pattern STATUSES =
      Pattern.compile("status codes: (\\d+) 2xx, (\\d+) 3xx, (\\d+) 4xx, (\\d+) 5xx");

  private H2load() {}

  /**
   * As many requests as the proxy can answer, for a while.
   *
   * @param requests of all clients together at once; {@link #STREAMS} of them share a connection
   * @param seconds how long
   * @throws MeasureException if nothing was answered
   */
  static Wrk.Load run(Workspace workspace, Path cgroup, String url, int requests, int seconds)
      throws MeasureException, InterruptedException {
    Path log = workspace.write("h2load.log", "");
    try {
      Files.delete(log);
    } catch (IOException e) {
      throw new MeasureException("cannot remove " + log + ": " + e.getMessage(), e);
    }
    List<String> command =
        List.of(
            workspace.peer("h2load"),
            "-t1",
            "-c" + Math.max(1, requests / STREAMS),
            "-m" + STREAMS,
            "-D" + seconds,
            "--log-file=" + log,
            url);
    try (Child load = Child.talking(workspace, "h2load", Child.LOAD, cgroup, command)) {
      return parse(url, load.finish(), seconds, log);
    }
  }

  /**
   * Reads what h2load prints, and the line of each request in its log: when it began, its status,
   * and microseconds.
   */
  static Wrk.Load parse(String url, String output, int seconds, Path log) throws MeasureException {
    Wrk.Load answered = answered(url, output, seconds);
    long[] micros;
    try (Stream<String> lines = Files.lines(log)) {
      micros =
          lines
              .mapToLong(line -> Long.parseLong(line.substring(line.lastIndexOf('\t') + 1)))
              .toArray();
    } catch (IOException | UncheckedIOException e) {
      throw new MeasureException("cannot read " + log + ": " + e.getMessage(), e);
    }
    Arrays.sort(micros);
    return new Wrk.Load(
        answered.requests(), seconds, at(micros, 0.5), at(micros, 0.99), answered.failed());
  }

  /** Reads what h2load prints; without latencies. */
  static Wrk.Load answered(String url, String output, long seconds) throws MeasureException {
    Matcher requests = REQUESTS.matcher(output);
    Matcher statuses = STATUSES.matcher(output);
    if (!requests.find() || !statuses.find() || requests.group(2).equals("0")) {
      throw new MeasureException("no request to " + url + " was answered:\n" + output);
    }
    return new Wrk.Load(
        Long.parseLong(requests.group(2)),
        seconds,
        0,
        0,
        Long.parseLong(requests.group(3))
            + Long.parseLong(statuses.group(3))
            + Long.parseLong(statuses.group(4)));
  }

  private static double at(long[] sorted, double share) {
    return sorted.length == 0
        ? 0
        : sorted[(int) Math.min(sorted.length - 1, sorted.length * share)];
  }
}
