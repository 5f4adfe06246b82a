// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.source;

import dev.weir.policy.source.Diagnostic.Severity;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/** Collects what is to be said about the input. Keeps the first {@value #MAX}, counts the rest. */
public final class Diagnostics {

  private static final int MAX = 1000;

  private static final Comparator<Diagnostic> BY_PLACE =
      Comparator.comparing(Diagnostic::at)
          .thenComparing(Diagnostic::field)
          .thenComparing(Diagnostic::message);

  private final List<Diagnostic> errors = new ArrayList<>();
  private final List<Diagnostic> warnings = new ArrayList<>();

  /** Notes an error. */
  public void error(Position at, String field, String message, String remedy) {
    if (errors.size() < MAX) {
      errors.add(new Diagnostic(Severity.ERROR, at, field, message, remedy));
    }
  }

  /** Notes a warning. */
  public void warning(Position at, String field, String message, String remedy) {
    if (warnings.size() < MAX) {
      warnings.add(new Diagnostic(Severity.WARNING, at, field, message, remedy));
    }
  }

  /** Whether the input is to be refused. */
  public boolean failed() {
    return !errors.isEmpty();
  }

  /** Errors by file, line and column. */
  public List<Diagnostic> errors() {
    return errors.stream().sorted(BY_PLACE).distinct().toList();
  }

  /** Warnings by file, line and column. */
  public List<Diagnostic> warnings() {
    return warnings.stream().sorted(BY_PLACE).distinct().toList();
  }
}
