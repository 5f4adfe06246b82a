// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.route;

import dev.weir.policy.plan.ProxyPlan.Header;
import dev.weir.policy.plan.ProxyPlan.HeaderEdit;
import java.util.ArrayList;
import java.util.List;

/** Changes of headers, ready to be made: set, then add, then remove, filter by filter. */
public final class HeaderEdits {

  /** No changes. */
  public static final HeaderEdits NONE = new HeaderEdits(List.of());

  private enum Operation {
    SET,
    ADD,
    REMOVE
  }

  private record Step(Operation operation, String name, String value) {}

  private final List<Step> steps;

  private HeaderEdits(List<Step> steps) {
    this.steps = steps;
  }

  /** The changes of filters, in their order. */
  public static HeaderEdits of(List<HeaderEdit> edits) {
    List<Step> steps = new ArrayList<>();
    for (HeaderEdit edit : edits) {
      for (Header header : edit.set()) {
        steps.add(new Step(Operation.SET, header.name(), header.value()));
      }
      for (Header header : edit.add()) {
        steps.add(new Step(Operation.ADD, header.name(), header.value()));
      }
      for (String name : edit.remove()) {
        steps.add(new Step(Operation.REMOVE, name, ""));
      }
    }
    return steps.isEmpty() ? NONE : new HeaderEdits(List.copyOf(steps));
  }

  /** Whether nothing is changed. */
  public boolean isEmpty() {
    return steps.isEmpty();
  }

  /** Makes the changes. */
  public <H> void apply(H headers, HeaderEditor<H> editor) {
    for (int i = 0; i < steps.size(); i++) {
      Step step = steps.get(i);
      switch (step.operation) {
        case SET -> editor.set(headers, step.name, step.value);
        case ADD -> editor.add(headers, step.name, step.value);
        case REMOVE -> editor.remove(headers, step.name);
      }
    }
  }

  /** For people: {@code set a: b, add c: d, remove e}. */
  @Override
  public String toString() {
    List<String> parts = new ArrayList<>();
    for (Step step : steps) {
      parts.add(
          switch (step.operation) {
            case SET -> "set " + step.name + ": " + step.value;
            case ADD -> "add " + step.name + ": " + step.value;
            case REMOVE -> "remove " + step.name;
          });
    }
    return String.join(", ", parts);
  }
}
