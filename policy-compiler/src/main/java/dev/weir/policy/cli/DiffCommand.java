// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.cli;

import dev.weir.policy.Analysis;
import dev.weir.policy.Compilation;
import dev.weir.policy.PolicyCompiler;
import dev.weir.policy.answer.RouteDifference;
import dev.weir.policy.answer.ServiceDifference;
import dev.weir.policy.connectivity.Difference;
import dev.weir.policy.json.JsonRows;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.source.SourceTree;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Help.Ansi;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code weir diff OLD NEW}: which connections open, close or change. */
@Command(
    name = "diff",
    description = "Compares what two sets of policy files allow, by meaning and not by text.",
    exitCodeListHeading = "%nExit codes:%n",
    exitCodeList = {
      "0:equal: both allow the same",
      "1:one of the two is refused",
      "2:the command line is wrong",
      "4:widened: the new files allow more",
      "5:narrowed: the new files allow less",
      "6:both: something opens and something closes"
    })
public final class DiffCommand implements Callable<Integer> {

  @Spec private CommandSpec spec = CommandSpec.create();

  @Mixin private final PolicyInput input = new PolicyInput();

  @Parameters(
      index = "1",
      paramLabel = "NEW",
      description = "Policy files to compare DIR with: a directory, or one file.")
  private Path newer = Path.of(".");

  /** For picocli. */
  public DiffCommand() {}

  @Override
  public Integer call() {
    Analysis before = PolicyCompiler.analyse(SourceTree.read(input.directory()));
    if (before.compilation() instanceof Compilation.Refused refused) {
      return input.refuse(refused);
    }
    Analysis after = PolicyCompiler.analyse(SourceTree.read(newer));
    if (after.compilation() instanceof Compilation.Refused refused) {
      return input.refuse(refused);
    }
    PrintWriter out = input.out();
    Difference.Direction direction;
    RouteDifference.Direction routes;
    Plan older = ((Compilation.Compiled) before.compilation()).plan();
    Plan later = ((Compilation.Compiled) after.compilation()).plan();
    if (input.json()) {
      try (JsonRows rows = new JsonRows(out)) {
        direction =
            Difference.between(before.cluster(), after.cluster(), row -> rows.add(fields(row)));
        routes =
            RouteDifference.between(
                older, before.steering(), later, after.steering(), row -> rows.add(fields(row)));
        ServiceDifference.between(before.cluster(), after.cluster(), row -> rows.add(fields(row)));
      }
      direction = both(direction, routes);
    } else {
      direction =
          Difference.between(before.cluster(), after.cluster(), row -> out.println(text(row)));
      routes =
          RouteDifference.between(
              older, before.steering(), later, after.steering(), row -> out.println(text(row)));
      boolean services =
          ServiceDifference.between(
              before.cluster(), after.cluster(), row -> out.println(text(row)));
      direction = both(direction, routes);
      out.println(
          switch (direction) {
            case EQUAL ->
                services
                    ? "equal: what is allowed is the same, but services lead elsewhere"
                    : routes.changed()
                        ? "equal: requests reach the same services as before"
                        : "equal";
            case WIDENED -> "widened";
            case NARROWED -> "narrowed";
            case BOTH -> "widened and narrowed";
          });
    }
    out.flush();
    return switch (direction) {
      case EQUAL -> ExitCodes.OK;
      case WIDENED -> ExitCodes.WIDENED;
      case NARROWED -> ExitCodes.NARROWED;
      case BOTH -> ExitCodes.WIDENED_AND_NARROWED;
    };
  }

  private static Difference.Direction both(
      Difference.Direction connections, RouteDifference.Direction routes) {
    boolean widened =
        routes.widened()
            || connections == Difference.Direction.WIDENED
            || connections == Difference.Direction.BOTH;
    boolean narrowed =
        routes.narrowed()
            || connections == Difference.Direction.NARROWED
            || connections == Difference.Direction.BOTH;
    return widened
        ? narrowed ? Difference.Direction.BOTH : Difference.Direction.WIDENED
        : narrowed ? Difference.Direction.NARROWED : Difference.Direction.EQUAL;
  }

  private String text(RouteDifference.Row row) {
    return coloured(row.change())
        + ": "
        + row.entrance()
        + " -> "
        + row.requests()
        + ": "
        + row.older()
        + " => "
        + row.newer();
  }

  private static Map<String, Object> fields(RouteDifference.Row row) {
    Map<String, Object> fields = new LinkedHashMap<>();
    fields.put("kind", "route");
    fields.put("change", row.change());
    fields.put("src", row.entrance().toString());
    fields.put("dst", row.requests());
    fields.put("old", row.older());
    fields.put("new", row.newer());
    fields.put("note", "");
    fields.put("host", row.host());
    fields.put("path", row.path());
    fields.put("method", row.method());
    fields.put("headers", row.headers());
    fields.put("query", row.query());
    return fields;
  }

  private String text(ServiceDifference.Row row) {
    return coloured(row.change())
        + ": "
        + row.service()
        + ": leads to "
        + row.before()
        + " => "
        + row.after();
  }

  private static Map<String, Object> fields(ServiceDifference.Row row) {
    Map<String, Object> fields = new LinkedHashMap<>();
    fields.put("kind", "service");
    fields.put("change", row.change());
    fields.put("src", row.service());
    fields.put("dst", "");
    fields.put("old", row.before());
    fields.put("new", row.after());
    fields.put("note", "");
    return fields;
  }

  private String coloured(String change) {
    Ansi ansi = spec.commandLine().getColorScheme().ansi();
    return switch (change) {
      case "added" -> ansi.string("@|green added|@");
      case "removed" -> ansi.string("@|red removed|@");
      default -> ansi.string("@|yellow " + change + "|@");
    };
  }

  private String text(Difference.Row row) {
    return coloured(row.change())
        + ": "
        + row.source()
        + " -> "
        + row.destination()
        + ": "
        + row.older()
        + " => "
        + row.newer()
        + (row.note().isEmpty() ? "" : " (" + row.note() + ")");
  }

  private static Map<String, Object> fields(Difference.Row row) {
    Map<String, Object> fields = new LinkedHashMap<>();
    fields.put("change", row.change());
    fields.put("src", row.source());
    fields.put("dst", row.destination());
    fields.put("old", row.older().toString());
    fields.put("new", row.newer().toString());
    fields.put("note", row.note());
    return fields;
  }
}
