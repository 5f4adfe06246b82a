// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.cli;

import dev.weir.policy.Analysis;
import dev.weir.policy.Compilation;
import dev.weir.policy.PolicyCompiler;
import dev.weir.policy.connectivity.Difference;
import dev.weir.policy.json.JsonRows;
import dev.weir.policy.source.SourceTree;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Parameters;

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
    if (input.json()) {
      try (JsonRows rows = new JsonRows(out)) {
        direction =
            Difference.between(before.cluster(), after.cluster(), row -> rows.add(fields(row)));
      }
    } else {
      direction =
          Difference.between(before.cluster(), after.cluster(), row -> out.println(text(row)));
      out.println(
          switch (direction) {
            case EQUAL -> "equal";
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

  private static String text(Difference.Row row) {
    return row.change()
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
