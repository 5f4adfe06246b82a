// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.cli;

import dev.weir.policy.answer.PolicyTests.Mismatch;
import dev.weir.policy.answer.PolicyTests.Outcome;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The XML that JUnit's Ant task writes, which build servers read: a suite for each document. */
final class JunitReport {

  private JunitReport() {}

  static String of(List<Outcome> outcomes) {
    Map<String, List<Outcome>> suites = new LinkedHashMap<>();
    for (Outcome outcome : outcomes) {
      suites.computeIfAbsent(outcome.test(), t -> new ArrayList<>()).add(outcome);
    }
    StringBuilder xml = new StringBuilder("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    xml.append(
        "<testsuites tests=\"%d\" failures=\"%d\">\n".formatted(outcomes.size(), failed(outcomes)));
    suites.forEach(
        (name, cases) -> {
          xml.append(
              "  <testsuite name=\"%s\" tests=\"%d\" failures=\"%d\" errors=\"0\">\n"
                  .formatted(escape(name), cases.size(), failed(cases)));
          cases.forEach(outcome -> testCase(xml, outcome));
          xml.append("  </testsuite>\n");
        });
    return xml.append("</testsuites>\n").toString();
  }

  private static long failed(List<Outcome> outcomes) {
    return outcomes.stream().filter(o -> !o.passed()).count();
  }

  private static void testCase(StringBuilder xml, Outcome outcome) {
    xml.append(
        "    <testcase classname=\"%s\" name=\"%s\" file=\"%s\" line=\"%d\""
            .formatted(
                escape(outcome.test()),
                escape(outcome.question().name()),
                escape(outcome.question().at().file()),
                outcome.question().at().line()));
    if (outcome.passed()) {
      xml.append("/>\n");
      return;
    }
    xml.append(">\n");
    for (Mismatch mismatch : outcome.failures()) {
      xml.append(
          "      <failure message=\"%s\">%s</failure>\n"
              .formatted(
                  escape(
                      "expected "
                          + mismatch.field()
                          + " "
                          + mismatch.expected()
                          + ", got "
                          + mismatch.found()),
                  escape(
                      outcome.question().at()
                          + outcome.decidedBy().map(r -> "\nby " + r.describe()).orElse(""))));
    }
    xml.append("    </testcase>\n");
  }

  /** Characters that XML 1.0 knows, with those that mean something to it written out. */
  private static String escape(String text) {
    StringBuilder out = new StringBuilder();
    text.codePoints()
        .forEach(
            c -> {
              switch (c) {
                case '&' -> out.append("&amp;");
                case '<' -> out.append("&lt;");
                case '>' -> out.append("&gt;");
                case '"' -> out.append("&quot;");
                case '\n' -> out.append("&#10;");
                default -> {
                  boolean legal =
                      c == '\t'
                          || c >= 0x20 && c <= 0xd7ff
                          || c >= 0xe000 && c <= 0xfffd
                          || c >= 0x10000;
                  out.appendCodePoint(legal ? c : 0xfffd);
                }
              }
            });
    return out.toString();
  }
}
