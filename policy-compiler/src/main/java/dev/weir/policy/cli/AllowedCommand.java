// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.cli;

import dev.weir.policy.Analysis;
import dev.weir.policy.Compilation;
import dev.weir.policy.PolicyCompiler;
import dev.weir.policy.connectivity.Connectivity;
import dev.weir.policy.json.JsonRows;
import dev.weir.policy.source.SourceTree;
import java.io.BufferedWriter;
import java.io.PrintWriter;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

/** {@code weir allowed DIR}: every connection that policies allow. */
@Command(
    name = "allowed",
    description = "Lists every connection that policies allow, as it finds them.",
    exitCodeListHeading = "%nExit codes:%n",
    exitCodeList = {"0:listed", "1:the files are refused", "2:the command line is wrong"})
public final class AllowedCommand implements Callable<Integer> {

  @Mixin private final PolicyInput input = new PolicyInput();

  /** For picocli. */
  public AllowedCommand() {}

  @Override
  public Integer call() {
    Analysis analysis = PolicyCompiler.analyse(SourceTree.read(input.directory()));
    if (analysis.compilation() instanceof Compilation.Refused refused) {
      return input.refuse(refused);
    }
    Connectivity connectivity = Connectivity.of(analysis.cluster());
    // Rows by the million: the terminal's own writer would flush each line.
    PrintWriter out = new PrintWriter(new BufferedWriter(input.out(), 1 << 16));
    if (input.json()) {
      try (JsonRows rows = new JsonRows(out)) {
        connectivity.forEach(row -> rows.add(fields(row)));
      }
    } else {
      connectivity.forEach(
          row -> out.println(row.source() + " -> " + row.destination() + ": " + row.connections()));
    }
    out.flush();
    return ExitCodes.OK;
  }

  private static Map<String, Object> fields(Connectivity.Row row) {
    Map<String, Object> fields = new LinkedHashMap<>();
    fields.put("src", row.source());
    fields.put("dst", row.destination());
    fields.put("conn", row.connections().toString());
    return fields;
  }
}
