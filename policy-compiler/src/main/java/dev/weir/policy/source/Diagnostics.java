// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.source;

import dev.weir.policy.source.Diagnostic.Severity;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** Collects what is to be said about the input. Keeps the first {@value #MAX}, counts the rest. */
public final class Diagnostics {

  private static final int MAX = 1000;

  private static final Comparator<Diagnostic> BY_PLACE =
      Comparator.comparing(Diagnostic::at)
          .thenComparing(Diagnostic::field)
          .thenComparing(Diagnostic::message);

  private final Purpose purpose;
  private final List<Diagnostic> errors = new ArrayList<>();
  private final List<Diagnostic> warnings = new ArrayList<>();

  /** For files that are to be put in force. */
  public Diagnostics() {
    this(Purpose.ENFORCE);
  }

  /** For files that are read for a purpose. */
  public Diagnostics(Purpose purpose) {
    this.purpose = purpose;
  }

  /** What the files are read for. */
  public Purpose purpose() {
    return purpose;
  }

  /** Notes an error. */
  public void error(Position at, String field, String message, String remedy) {
    if (errors.size() < MAX) {
      errors.add(new Diagnostic(Severity.ERROR, at, field, message, remedy, Optional.empty()));
    }
  }

  /** Notes a warning. */
  public void warning(Position at, String field, String message, String remedy) {
    warn(at, field, message, remedy, Optional.empty());
  }

  /**
   * Notes what is well said and probably not meant, unless the annotations of the object that says
   * it tell that it is.
   */
  public void lint(
      Lint lint,
      Map<String, String> annotations,
      Position at,
      String field,
      String message,
      String remedy) {
    if (!lint.ignored(annotations)) {
      warn(at, field, message, remedy, Optional.of(lint));
    }
  }

  private void warn(Position at, String field, String message, String remedy, Optional<Lint> lint) {
    if (warnings.size() < MAX) {
      warnings.add(new Diagnostic(Severity.WARNING, at, field, message, remedy, lint));
    }
  }

  /**
   * Notes something that is well said and that this version's kernel programs and proxy do not
   * serve yet: an error for files that are to be put in force, since serving them without it would
   * be something else than they say; else a warning, since questions about it have answers.
   */
  public void unserved(Position at, String field, String message) {
    if (purpose == Purpose.ENFORCE) {
      error(at, field, message, "leave it out: this version cannot serve it yet");
    } else {
      warning(
          at,
          field,
          message,
          "questions about it are answered, but apply refuses it until the proxy serves it");
    }
  }

  /** Notes what was noted elsewhere. */
  public void addAll(List<Diagnostic> others) {
    for (Diagnostic other : others) {
      switch (other.severity()) {
        case ERROR -> error(other.at(), other.field(), other.message(), other.remedy());
        case WARNING ->
            warn(other.at(), other.field(), other.message(), other.remedy(), other.lint());
      }
    }
  }

  /** Errors, then warnings, to be noted elsewhere. */
  public List<Diagnostic> all() {
    List<Diagnostic> all = new ArrayList<>(errors());
    all.addAll(warnings());
    return List.copyOf(all);
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
