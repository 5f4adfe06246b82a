// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.cli;

import dev.weir.policy.Analysis;
import dev.weir.policy.Compilation;
import dev.weir.policy.PolicyCompiler;
import dev.weir.policy.answer.PolicyTests;
import dev.weir.policy.answer.PolicyTests.Mismatch;
import dev.weir.policy.answer.PolicyTests.Outcome;
import dev.weir.policy.json.Json;
import dev.weir.policy.source.SourceTree;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Help.Ansi;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code weir test DIR}: whether policies do what their tests expect. */
@Command(
    name = "test",
    description = "Runs the PolicyTest documents among the files.",
    exitCodeListHeading = "%nExit codes:%n",
    exitCodeList = {
      "0:every case is as expected",
      "1:a case failed, there is none, or the files are refused",
      "2:the command line is wrong"
    })
public final class TestCommand implements Callable<Integer> {

  @Spec private CommandSpec spec = CommandSpec.create();

  @Mixin private final PolicyInput input = new PolicyInput();

  @Option(
      names = "--junit",
      paramLabel = "FILE",
      description = "Also write a report in JUnit's XML format, for build servers.")
  private Optional<Path> junit = Optional.empty();

  @Option(
      names = "--tests",
      paramLabel = "DIR",
      description = "Read further PolicyTests (and nothing else is needed there) from here.")
  private Optional<Path> tests = Optional.empty();

  /** For picocli. */
  public TestCommand() {}

  @Override
  public Integer call() throws IOException {
    SourceTree tree = SourceTree.read(input.directory());
    if (tests.isPresent()) {
      tree = tree.with(SourceTree.read(tests.get()));
    }
    Analysis analysis = PolicyCompiler.analyse(tree);
    return switch (analysis.compilation()) {
      case Compilation.Refused refused -> input.refuse(refused);
      case Compilation.Compiled compiled -> report(new PolicyTests(analysis, compiled).run());
    };
  }

  private int report(List<Outcome> outcomes) throws IOException {
    long failed = outcomes.stream().filter(o -> !o.passed()).count();
    if (junit.isPresent()) {
      Files.writeString(junit.get(), JunitReport.of(outcomes));
    }
    if (input.json()) {
      Map<String, Object> report = new LinkedHashMap<>();
      report.put("ok", failed == 0 && !outcomes.isEmpty());
      report.put("cases", outcomes.size());
      report.put("failed", failed);
      report.put("results", outcomes.stream().map(TestCommand::fields).toList());
      input.out().print(Json.pretty(report));
    } else {
      print(outcomes, failed);
    }
    input.out().flush();
    return failed == 0 && !outcomes.isEmpty() ? ExitCodes.OK : ExitCodes.FINDINGS;
  }

  private void print(List<Outcome> outcomes, long failed) {
    Ansi ansi = spec.commandLine().getColorScheme().ansi();
    for (Outcome outcome : outcomes) {
      String name = outcome.test() + ": " + outcome.question().name();
      if (outcome.passed()) {
        input.out().println(ansi.string("@|green ok|@      ") + name);
        continue;
      }
      input.out().println(ansi.string("@|red,bold FAILED|@  ") + name);
      input.out().println("          at " + outcome.question().at());
      for (Mismatch mismatch : outcome.failures()) {
        String field = mismatch.field().isEmpty() ? "" : mismatch.field() + " ";
        input.out().println("          expected " + field + mismatch.expected());
        input.out().println("          got " + field + mismatch.found());
      }
      outcome.decidedBy().ifPresent(rule -> input.out().println("          by " + rule.describe()));
    }
    input
        .out()
        .println(
            outcomes.isEmpty()
                ? "no PolicyTest among the files"
                : outcomes.size()
                    + (outcomes.size() == 1 ? " case, " : " cases, ")
                    + (failed == 0 ? "all as expected" : failed + " failed"));
  }

  private static Map<String, Object> fields(Outcome outcome) {
    Map<String, Object> fields = new LinkedHashMap<>();
    fields.put("test", outcome.test());
    fields.put("case", outcome.question().name());
    fields.put("file", outcome.question().at().file());
    fields.put("line", outcome.question().at().line());
    fields.put("ok", outcome.passed());
    fields.put(
        "failures",
        outcome.failures().stream()
            .map(
                m -> {
                  Map<String, Object> failure = new LinkedHashMap<>();
                  failure.put("field", m.field());
                  failure.put("expected", m.expected());
                  failure.put("found", m.found());
                  return failure;
                })
            .toList());
    fields.put("rule", outcome.decidedBy().map(Reports::rule));
    return fields;
  }
}
