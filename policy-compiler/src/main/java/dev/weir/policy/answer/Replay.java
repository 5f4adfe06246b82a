// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.answer;

import dev.weir.policy.Analysis;
import dev.weir.policy.Compilation.Compiled;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;

/** Asks a candidate policy about connections that a node has seen. */
public final class Replay {

  private record Kind(String source, String destination, int protocol, int port, boolean made) {}

  private final Explainer explainer;
  private final Map<Kind, Flow> flows = new LinkedHashMap<>();
  private long passedOver;
  private long connections;
  private long unjudged;
  private boolean widened;
  private boolean narrowed;

  /**
   * Flows that fare otherwise under the candidate, or of which nothing can be said.
   *
   * @param change {@code refused}, {@code allowed} or {@code unjudged}
   * @param flow all of one kind together
   * @param answer what the candidate says of them; empty when it cannot be asked
   * @param note why it cannot be asked; else empty
   */
  public record Row(String change, Flow flow, Optional<Explanation> answer, String note) {}

  /**
   * What came of it.
   *
   * @param flows kinds of connections
   * @param connections all of them together
   * @param unjudged connections of which nothing can be said
   * @param passedOver lines about something else
   * @param widened whether some that were refused would be made
   * @param narrowed whether some that were made would be refused
   */
  public record Summary(
      int flows,
      long connections,
      long unjudged,
      long passedOver,
      boolean widened,
      boolean narrowed) {}

  /** Asks this candidate. */
  public Replay(Analysis analysis, Compiled compiled) {
    this.explainer = new Explainer(analysis, compiled);
  }

  /** Adds a flow; those of one kind are put together. */
  public void add(Flow flow) {
    Kind kind =
        new Kind(
            flow.source(), flow.destination(), flow.protocol().ordinal(), flow.port(), flow.made());
    flows.merge(
        kind,
        flow,
        (a, b) ->
            new Flow(
                a.source(),
                a.destination(),
                a.protocol(),
                a.port(),
                a.made(),
                a.count() + b.count()));
  }

  /** Counts a line that is about something else. */
  public void passOver() {
    passedOver++;
  }

  /** Gives what differs, in the order in which the flows came. */
  public Summary run(Consumer<Row> rows) {
    for (Flow flow : flows.values()) {
      connections += flow.count();
      row(flow).ifPresent(rows);
    }
    return new Summary(flows.size(), connections, unjudged, passedOver, widened, narrowed);
  }

  private Optional<Row> row(Flow flow) {
    Explanation answer;
    try {
      Party from = explainer.party(flow.source(), flow.protocol(), 0);
      Party to = explainer.party(flow.destination(), flow.protocol(), flow.port());
      answer = explainer.explain(from, to, flow.protocol(), flow.port());
    } catch (Explainer.UnclearException e) {
      unjudged += flow.count();
      return Optional.of(
          new Row("unjudged", flow, Optional.empty(), String.valueOf(e.getMessage())));
    }
    if (answer.made() == flow.made()) {
      return Optional.empty();
    }
    widened |= answer.made();
    narrowed |= !answer.made();
    return Optional.of(
        new Row(answer.made() ? "allowed" : "refused", flow, Optional.of(answer), ""));
  }
}
