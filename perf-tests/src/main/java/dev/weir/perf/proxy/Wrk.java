// SPDX-License-Identifier: Apache-2.0
package dev.weir.perf.proxy;

import dev.weir.perf.Child;
import dev.weir.perf.Workspace;
import dev.weir.perf.measure.MeasureException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Runs the load generator wrk. */
final class Wrk {

  private static final Pattern REQUESTS = Pattern.compile("(\\d+) requests in ([\\d.]+)(m?s)");
  private static final Pattern NOT_OK = Pattern.compile("Non-2xx or 3xx responses: (\\d+)");
  private static final Pattern ERRORS =
      Pattern.compile("Socket errors: connect (\\d+), read (\\d+), write (\\d+), timeout (\\d+)");
  private static final Pattern LATENCY = Pattern.compile("(50|99)%\\s+([\\d.]+)(us|ms|s)\\b");

  private Wrk() {}

  /**
   * What one run of wrk saw.
   *
   * @param requests answered
   * @param seconds it took
   * @param p50Micros half of the requests took less
   * @param p99Micros all but one in a hundred took less
   * @param failed answered with an error, cut off, or not answered within five seconds
   */
  record Load(long requests, double seconds, double p50Micros, double p99Micros, long failed) {}

  /**
   * As many requests as the proxy can answer, for a while.
   *
   * @param cgroup the load generator lives in
   * @param url to fetch
   * @param connections kept open, one request at a time on each
   * @param seconds how long
   * @throws MeasureException if nothing was answered
   */
  static Load run(Workspace workspace, Path cgroup, String url, int connections, int seconds)
      throws MeasureException, InterruptedException {
    return run(workspace, cgroup, url, connections, seconds, List.of());
  }

  /**
   * The same, with more options.
   *
   * @param options such as a script that says what is sent
   */
  static Load run(
      Workspace workspace,
      Path cgroup,
      String url,
      int connections,
      int seconds,
      List<String> options)
      throws MeasureException, InterruptedException {
    List<String> command = new ArrayList<>();
    command.addAll(List.of(workspace.peer("wrk"), "-t1", "-c" + connections));
    command.addAll(List.of("-d" + seconds + "s", "--timeout", "5s", "--latency"));
    command.addAll(options);
    command.add(url);
    try (Child wrk = Child.talking(workspace, "wrk", Child.LOAD, cgroup, command)) {
      return parse(url, wrk.finish());
    }
  }

  /** Reads what wrk prints. */
  static Load parse(String url, String output) throws MeasureException {
    Matcher requests = REQUESTS.matcher(output);
    if (!requests.find() || requests.group(1).equals("0")) {
      throw new MeasureException("no request to " + url + " was answered:\n" + output);
    }
    double p50 = 0;
    double p99 = 0;
    Matcher latency = LATENCY.matcher(output);
    while (latency.find()) {
      double micros =
          Double.parseDouble(latency.group(2))
              * switch (latency.group(3)) {
                case "us" -> 1;
                case "ms" -> 1e3;
                default -> 1e6;
              };
      if (latency.group(1).equals("50")) {
        p50 = micros;
      } else {
        p99 = micros;
      }
    }
    double time = Double.parseDouble(requests.group(2));
    return new Load(
        Long.parseLong(requests.group(1)),
        requests.group(3).equals("ms") ? time / 1000 : time,
        p50,
        p99,
        sum(NOT_OK.matcher(output)) + sum(ERRORS.matcher(output)));
  }

  private static long sum(Matcher matcher) {
    long sum = 0;
    if (matcher.find()) {
      for (int group = 1; group <= matcher.groupCount(); group++) {
        sum += Long.parseLong(matcher.group(group));
      }
    }
    return sum;
  }
}
