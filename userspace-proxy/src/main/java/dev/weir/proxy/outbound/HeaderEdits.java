// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.outbound;

import dev.weir.policy.plan.ProxyPlan.Header;
import dev.weir.policy.plan.ProxyPlan.HeaderEdit;
import io.netty.handler.codec.http.HttpHeaders;
import io.netty.util.AsciiString;
import java.util.ArrayList;
import java.util.List;

/** Changes of headers, ready to be made: set, then add, then remove, filter by filter. */
public final class HeaderEdits {

  /** No changes. */
  static final HeaderEdits NONE = new HeaderEdits(List.of());

  private enum Operation {
    SET,
    ADD,
    REMOVE
  }

  private record Step(Operation operation, AsciiString name, String value) {}

  private final List<Step> steps;

  private HeaderEdits(List<Step> steps) {
    this.steps = steps;
  }

  static HeaderEdits of(List<HeaderEdit> edits) {
    List<Step> steps = new ArrayList<>();
    for (HeaderEdit edit : edits) {
      for (Header header : edit.set()) {
        steps.add(new Step(Operation.SET, AsciiString.of(header.name()), header.value()));
      }
      for (Header header : edit.add()) {
        steps.add(new Step(Operation.ADD, AsciiString.of(header.name()), header.value()));
      }
      for (String name : edit.remove()) {
        steps.add(new Step(Operation.REMOVE, AsciiString.of(name), ""));
      }
    }
    return steps.isEmpty() ? NONE : new HeaderEdits(List.copyOf(steps));
  }

  /** Makes the changes. */
  public void apply(HttpHeaders headers) {
    for (int i = 0; i < steps.size(); i++) {
      Step step = steps.get(i);
      switch (step.operation) {
        case SET -> headers.set(step.name, step.value);
        case ADD -> headers.add(step.name, step.value);
        case REMOVE -> headers.remove(step.name);
      }
    }
  }
}
