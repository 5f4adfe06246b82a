// SPDX-License-Identifier: Apache-2.0
package shop;

import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.PrintWriter;
import java.net.Socket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;

/**
 * A client that asks often and counts honestly: nothing is tried again, and whatever is not a 200
 * has failed. Prints one line: requests, failures, answers by {@code x-version}, latency.
 *
 * <p>{@code Fetch HOST PORT [requests=N] [seconds=S] [connections=C] [per-connection=N] [path=/]
 * [header=NAME:VALUE] [log=FILE]}: until N requests are made or S seconds are over, on C
 * connections at a time, each used for so many requests (0: as long as it lasts). The log has a
 * line {@code MILLISECONDS VERSION} for every answer.
 */
final class Fetch {

  private record Answer(long millis, String version, long nanos) {}

  private final String host;
  private final int port;
  private final Map<String, String> options;
  private final ConcurrentLinkedQueue<Answer> answers = new ConcurrentLinkedQueue<>();
  private final ConcurrentLinkedQueue<String> failures = new ConcurrentLinkedQueue<>();
  private final AtomicLong left;
  private final long deadline;
  private final long perConnection;
  private final String path;
  private final Map<String, String> headers;

  private Fetch(String host, int port, Map<String, String> options) {
    this.host = host;
    this.port = port;
    this.options = options;
    left = new AtomicLong(number("requests", Long.MAX_VALUE));
    deadline = System.nanoTime() + number("seconds", 3600) * 1_000_000_000L;
    perConnection = number("per-connection", 0);
    path = options.getOrDefault("path", "/");
    headers = new HashMap<>(Map.of("host", host));
    if (options.containsKey("header")) {
      String[] header = options.get("header").split(":", 2);
      headers.put(header[0], header[1]);
    }
  }

  private long number(String option, long otherwise) {
    return options.containsKey(option) ? Long.parseLong(options.get(option)) : otherwise;
  }

  public static void main(String[] arguments) throws Exception {
    Map<String, String> options = new HashMap<>();
    for (String option : Arrays.asList(arguments).subList(2, arguments.length)) {
      String[] parts = option.split("=", 2);
      options.put(parts[0], parts[1]);
    }
    new Fetch(arguments[0], Integer.parseInt(arguments[1]), options).run();
  }

  private void run() throws Exception {
    int connections = (int) number("connections", 1);
    CountDownLatch done = new CountDownLatch(connections);
    long started = System.nanoTime();
    for (int i = 0; i < connections; i++) {
      Thread.ofPlatform()
          .start(
              () -> {
                ask();
                done.countDown();
              });
    }
    done.await();
    double seconds = (System.nanoTime() - started) / 1e9;
    report(seconds);
  }

  private void ask() {
    while (more()) {
      try (Socket connection = new Socket(host, port)) {
        connection.setTcpNoDelay(true);
        connection.setSoTimeout(10_000);
        use(connection);
      } catch (IOException e) {
        failures.add(e.toString());
      }
    }
  }

  /** Whether there is another request to make; it is then taken. */
  private boolean more() {
    return System.nanoTime() < deadline && left.getAndDecrement() > 0;
  }

  /** The caller has taken the first request. */
  private void use(Socket connection) throws IOException {
    InputStream in = new BufferedInputStream(connection.getInputStream());
    OutputStream out = new BufferedOutputStream(connection.getOutputStream());
    long used = 0;
    do {
      long started = System.nanoTime();
      Http.write(out, new Http.Message("GET " + path + " HTTP/1.1", headers, new byte[0]));
      Http.Message answer = Http.read(in).orElseThrow(() -> new EOFException("no answer"));
      if (!answer.startLine().startsWith("HTTP/1.1 200")) {
        failures.add(answer.startLine() + " " + answer.text().strip());
      } else {
        answers.add(
            new Answer(
                System.currentTimeMillis(),
                answer.headers().getOrDefault("x-version", "none"),
                System.nanoTime() - started));
      }
      used++;
      if ("close".equals(answer.headers().get("connection")) || used == perConnection) {
        return;
      }
    } while (more());
  }

  private void report(double seconds) throws IOException {
    List<Answer> all = List.copyOf(answers);
    Map<String, Long> versions = new TreeMap<>(Map.of("v1", 0L, "v2", 0L));
    all.forEach(answer -> versions.merge(answer.version(), 1L, Long::sum));
    long[] latencies = all.stream().mapToLong(Answer::nanos).sorted().toArray();
    StringBuilder line = new StringBuilder();
    line.append("requests=" + (all.size() + failures.size()) + " failed=" + failures.size());
    versions.forEach((version, count) -> line.append(" " + version + "=" + count));
    line.append(String.format(Locale.ROOT, " seconds=%.2f", seconds));
    line.append(String.format(Locale.ROOT, " p50_ms=%.2f", quantile(latencies, 0.50)));
    line.append(String.format(Locale.ROOT, " p99_ms=%.2f", quantile(latencies, 0.99)));
    System.out.println(line);
    failures.stream().limit(3).forEach(failure -> System.err.println("failed: " + failure));
    if (options.containsKey("log")) {
      try (PrintWriter log =
          new PrintWriter(Files.newBufferedWriter(Path.of(options.get("log"))))) {
        all.forEach(answer -> log.println(answer.millis() + " " + answer.version()));
      }
    }
  }

  private static double quantile(long[] sorted, double quantile) {
    return sorted.length == 0 ? 0 : sorted[(int) (quantile * (sorted.length - 1))] / 1e6;
  }
}
