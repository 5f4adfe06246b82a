// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.cli;

import dev.weir.policy.Analysis;
import dev.weir.policy.Compilation;
import dev.weir.policy.PolicyCompiler;
import dev.weir.policy.answer.Explanation;
import dev.weir.policy.answer.Flow;
import dev.weir.policy.answer.Replay;
import dev.weir.policy.json.Json;
import dev.weir.policy.json.JsonException;
import dev.weir.policy.json.JsonObject;
import dev.weir.policy.source.SourceTree;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.Reader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Help.Ansi;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code weir replay DIR --flows FILE}: what a candidate policy would have done. */
@Command(
    name = "replay",
    description = {
      "Says which connections that a node has seen a candidate policy would refuse or newly allow.",
      "",
      "Flows are JSON lines: what \"weir flows -o json\" prints, the agent's flow log, or its log"
          + " in JSON. docs/policy.md has their fields."
    },
    exitCodeListHeading = "%nExit codes:%n",
    exitCodeList = {
      "0:every flow that can be judged fares as it did",
      "1:the files are refused, or the flows cannot be read",
      "2:the command line is wrong",
      "4:widened: some that were refused would be made",
      "5:narrowed: some that were made would be refused",
      "6:both"
    })
public final class ReplayCommand implements Callable<Integer> {

  @Spec private CommandSpec spec = CommandSpec.create();

  @Mixin private final PolicyInput input = new PolicyInput();

  @Option(
      names = "--flows",
      paramLabel = "FILE",
      required = true,
      description = "JSON lines, one flow each; - for standard input.")
  private Path flows = Path.of("-");

  /** For picocli. */
  public ReplayCommand() {}

  @Override
  public Integer call() {
    Analysis analysis = PolicyCompiler.analyse(SourceTree.read(input.directory()));
    return switch (analysis.compilation()) {
      case Compilation.Refused refused -> input.refuse(refused);
      case Compilation.Compiled compiled -> replay(new Replay(analysis, compiled));
    };
  }

  private int replay(Replay replay) {
    boolean standard = flows.toString().equals("-");
    try (Reader in =
        standard
            ? new InputStreamReader(System.in, StandardCharsets.UTF_8)
            : Files.newBufferedReader(flows)) {
      JsonObject.forEach(
          in,
          standard ? "(standard input)" : flows.toString(),
          line -> Flow.read(line).ifPresentOrElse(replay::add, replay::passOver));
    } catch (IOException | JsonException e) {
      String message =
          e instanceof IOException
              ? flows + ": cannot be read: " + e
              : String.valueOf(e.getMessage());
      input.out().println(input.json() ? Json.line(Map.of("error", message)) : "error: " + message);
      input.out().flush();
      return ExitCodes.FINDINGS;
    }
    List<Replay.Row> rows = new ArrayList<>();
    Replay.Summary summary = replay.run(rows::add);
    if (input.json()) {
      input.out().print(Json.pretty(fields(rows, summary)));
    } else {
      rows.forEach(this::print);
      input
          .out()
          .println(
              "%d connections, %d %s: %s%s%s"
                  .formatted(
                      summary.connections(),
                      summary.flows(),
                      summary.flows() == 1 ? "kind" : "kinds",
                      outcome(summary),
                      summary.unjudged() > 0 ? ", " + summary.unjudged() + " not judged" : "",
                      summary.passedOver() > 0
                          ? ", " + summary.passedOver() + " lines about something else"
                          : ""));
    }
    input.out().flush();
    return summary.widened()
        ? summary.narrowed() ? ExitCodes.WIDENED_AND_NARROWED : ExitCodes.WIDENED
        : summary.narrowed() ? ExitCodes.NARROWED : ExitCodes.OK;
  }

  private static String outcome(Replay.Summary summary) {
    return summary.widened()
        ? summary.narrowed() ? "widened and narrowed" : "widened"
        : summary.narrowed() ? "narrowed" : "equal";
  }

  private void print(Replay.Row row) {
    Ansi ansi = spec.commandLine().getColorScheme().ansi();
    Flow flow = row.flow();
    String word =
        switch (row.change()) {
          case "allowed" -> ansi.string("@|green allowed|@");
          case "refused" -> ansi.string("@|red refused|@");
          default -> ansi.string("@|yellow " + row.change() + "|@");
        };
    input
        .out()
        .println(
            word
                + ": "
                + flow.source()
                + " -> "
                + flow.destination()
                + " "
                + flow.protocol()
                + " "
                + flow.port()
                + " (seen "
                + flow.count()
                + (flow.made() ? " made)" : " refused)")
                + row.answer()
                    .map(a -> " by " + a.decidedBy().describe())
                    .orElse(": " + row.note()));
  }

  private static Map<String, Object> fields(List<Replay.Row> rows, Replay.Summary summary) {
    Map<String, Object> report = new LinkedHashMap<>();
    report.put("flows", summary.flows());
    report.put("connections", summary.connections());
    report.put("unjudged", summary.unjudged());
    report.put("passed_over", summary.passedOver());
    report.put("widened", summary.widened());
    report.put("narrowed", summary.narrowed());
    report.put("rows", rows.stream().map(ReplayCommand::fields).toList());
    return report;
  }

  private static Map<String, Object> fields(Replay.Row row) {
    Map<String, Object> fields = new LinkedHashMap<>();
    fields.put("change", row.change());
    fields.put("source", row.flow().source());
    fields.put("destination", row.flow().destination());
    fields.put("protocol", row.flow().protocol().name().toLowerCase(Locale.ROOT));
    fields.put("port", row.flow().port());
    fields.put("count", row.flow().count());
    fields.put("old", row.flow().made() ? "allow" : "refuse");
    fields.put("new", row.answer().map(Explanation::decision).map(Reports::word));
    fields.put("rule", row.answer().map(a -> Reports.rule(a.decidedBy())));
    fields.put("note", row.note());
    return fields;
  }
}
