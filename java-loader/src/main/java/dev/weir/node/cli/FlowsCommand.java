// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.cli;

import dev.weir.node.telemetry.FlowLogFile;
import dev.weir.node.telemetry.FlowLogReader;
import dev.weir.policy.json.JsonObject;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.time.format.DateTimeParseException;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code weir flows}. */
@Command(
    name = "flows",
    description =
        "Print the flow log: what was made and refused on this node, one line for all connections"
            + " of one kind and interval. With -o json as `weir replay` reads it. Needs no agent,"
            + " but only an agent writes the log.",
    mixinStandardHelpOptions = true)
final class FlowsCommand implements Callable<Integer> {

  private static final Duration POLL = Duration.ofMillis(200);

  @Mixin private NodeOptions options = new NodeOptions();

  @Option(
      names = {"-f", "--follow"},
      description = "Go on as lines are written, until interrupted.")
  private boolean follow;

  @Option(
      names = "--from",
      paramLabel = "WHO",
      description =
          "Only from this source: NAMESPACE/NAME, NAME, NAMESPACE/, host, outside, ... or an"
              + " address.")
  private Optional<String> from = Optional.empty();

  @Option(
      names = "--to",
      paramLabel = "WHO",
      description = "Only to this destination; service/NAMESPACE/NAME for one behind the proxy.")
  private Optional<String> to = Optional.empty();

  /** Verdicts by the words of flow lines. */
  enum Verdict {
    allow,
    inspect,
    audit,
    refuse
  }

  @Option(
      names = "--verdict",
      split = ",",
      description = "Only these: ${COMPLETION-CANDIDATES}; several with commas.")
  private List<Verdict> verdicts = List.of();

  @Option(
      names = "--since",
      paramLabel = "TIME",
      converter = DurationConverter.class,
      description = "Only the last 30s, 5m, 2h.")
  private Optional<Duration> since = Optional.empty();

  @Option(names = "--port", paramLabel = "N", description = "Only this destination port.")
  private Optional<Integer> port = Optional.empty();

  @Option(names = "--protocol", description = "Only tcp or udp.")
  private Optional<String> protocol = Optional.empty();

  @Override
  public Integer call() throws IOException, InterruptedException {
    Path directory = FlowLogFile.directory(options.places().stateDir());
    if (!follow && !Files.isDirectory(directory)) {
      throw new IOException(
          "there is no flow log in "
              + directory
              + ": `weir up` writes one (--flow-log-size), within ten seconds of the first"
              + " connection");
    }
    Instant oldest = since.map(Instant.now()::minus).orElse(Instant.MIN);
    try (FlowLogReader reader = new FlowLogReader(directory)) {
      do {
        reader.poll(line -> print(line, oldest));
        options.out().flush();
        if (options.out().checkError()) {
          break; // nobody reads any more
        }
        if (follow) {
          Thread.sleep(POLL);
        }
      } while (follow);
    }
    return ExitCode.OK;
  }

  private void print(String line, Instant oldest) {
    JsonObject flow;
    try {
      flow = JsonObject.parse(line, "flow");
      if (!wanted(flow, oldest)) {
        return;
      }
    } catch (IllegalArgumentException | DateTimeParseException e) {
      return; // not a line of ours
    }
    options.out().println(options.json() ? line : text(flow));
  }

  private boolean wanted(JsonObject flow, Instant oldest) {
    return (oldest.equals(Instant.MIN)
            || !Instant.parse(flow.optionalText("time").orElse("")).isBefore(oldest))
        && from.filter(who -> !is(flow, "source", "source_address", who)).isEmpty()
        && to.filter(who -> !is(flow, "destination", "address", who)).isEmpty()
        && (verdicts.isEmpty()
            || verdicts.stream()
                .anyMatch(v -> flow.optionalText("verdict").equals(Optional.of(v.name()))))
        && port.filter(number -> !flow.optionalInteger("port", 0, 65535).equals(port)).isEmpty()
        && protocol.filter(p -> !flow.optionalText("protocol").equals(protocol)).isEmpty();
  }

  private static boolean is(JsonObject flow, String end, String address, String who) {
    String name = flow.optionalText(end).orElse("");
    return name.equals(who)
        || name.equals("service/" + who)
        || name.endsWith("/" + who)
        || (who.endsWith("/") && (name.startsWith(who) || name.startsWith("service/" + who)))
        || flow.optionalText(address).equals(Optional.of(who));
  }

  private static String text(JsonObject flow) {
    StringBuilder text = new StringBuilder();
    text.append(flow.optionalText("time").orElse("")).append(' ');
    text.append(flow.optionalText("verdict").orElse("overflow")).append(' ');
    text.append(flow.optionalText("source").orElse("?")).append(" -> ");
    text.append(flow.optionalText("destination").orElse("?"));
    text.append(':').append(flow.optionalInteger("port", 0, 65535).orElse(0));
    text.append(' ').append(flow.optionalText("protocol").orElse("tcp"));
    text.append(" x").append(number(flow, "count") + number(flow, "suppressed"));
    flow.optionalText("rule").ifPresent(rule -> text.append(" by ").append(rule));
    flow.optionalText("address")
        .ifPresent(address -> text.append(" [to ").append(address).append(']'));
    if (number(flow, "failed") > 0) {
      text.append(", failed ").append(number(flow, "failed"));
    }
    if (number(flow, "closed") > 0) {
      text.append(", closed ").append(number(flow, "closed"));
      text.append(", sent ").append(number(flow, "bytes_sent"));
      text.append(" B, received ").append(number(flow, "bytes_received")).append(" B");
    }
    return text.toString();
  }

  private static long number(JsonObject flow, String field) {
    return flow.optionalLong(field, 0, Long.MAX_VALUE).orElse(0L);
  }
}
