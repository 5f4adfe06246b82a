// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.telemetry;

import dev.weir.node.kernel.Event;
import dev.weir.node.kernel.Hook;
import dev.weir.policy.plan.Reserved;
import java.time.Duration;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.function.LongFunction;
import java.util.function.LongSupplier;

/**
 * Refusals as log lines, few enough to read: the first of its kind at once, then one line for each
 * kind and interval that says how many more there were. The metrics count every one of them.
 *
 * <p>Not safe for use by several threads: events come on one.
 */
public final class RefusalLog {

  /** One line for one kind of refusal in this time. */
  private static final Duration INTERVAL = Duration.ofSeconds(10);

  /** Kinds remembered; when there are more, all are forgotten, which costs a line each. */
  private static final int MAX_KINDS = 1024;

  /** Lines of all kinds in one second. */
  private static final int MAX_LINES_PER_SECOND = 50;

  /**
   * A line.
   *
   * @param text for people
   * @param fields for programs
   */
  public record Line(String text, Map<String, Object> fields) {}

  private record Kind(
      int source, int destination, int port, int rule, Hook hook, boolean audited) {}

  private static final class Seen {
    private long since;
    private long more;
  }

  private final LongSupplier nanos;
  private final LongFunction<Optional<String>> cgroupPath;
  private final Map<Kind, Seen> kinds = new HashMap<>();
  private long secondSince;
  private int linesThisSecond;

  /**
   * A log.
   *
   * @param nanos a monotonic clock, in nanoseconds
   * @param cgroupPath path of the cgroup with an id, as long as it is there
   */
  public RefusalLog(LongSupplier nanos, LongFunction<Optional<String>> cgroupPath) {
    this.nanos = nanos;
    this.cgroupPath = cgroupPath;
    secondSince = nanos.getAsLong();
  }

  /** The line for an event; empty when it is only counted. */
  public Optional<Line> line(Event event, Names names) {
    if (event.hook() == Hook.MOVED && event.source() == Reserved.PROXY.index()) {
      return Optional.empty(); // its supervisor has put it there
    }
    long now = nanos.getAsLong();
    if (kinds.size() >= MAX_KINDS) {
      kinds.clear();
    }
    Kind kind =
        new Kind(
            event.source(),
            event.destination(),
            event.port(),
            event.rule(),
            event.hook(),
            event.audited());
    Seen seen = kinds.get(kind);
    if (seen != null && now - seen.since < INTERVAL.toNanos()) {
      seen.more++;
      return Optional.empty();
    }
    if (now - secondSince >= 1_000_000_000L) {
      secondSince = now;
      linesThisSecond = 0;
    }
    if (linesThisSecond >= MAX_LINES_PER_SECOND) {
      return Optional.empty();
    }
    linesThisSecond++;
    long more = seen == null ? 0 : seen.more;
    Seen fresh = new Seen();
    fresh.since = now;
    kinds.put(kind, fresh);
    return Optional.of(line(event, names, more));
  }

  private Line line(Event event, Names names, long more) {
    String source = names.workloadText(event.source());
    String process = event.command() + "[" + event.pid() + "]";
    Map<String, Object> fields = new LinkedHashMap<>();
    fields.put("event", word(event));
    fields.put("source", source);
    fields.put("pid", event.pid());
    fields.put("command", event.command());
    if (event.hook() == Hook.MOVED) {
      String from = "";
      if (event.left() != 0) {
        String left = cgroupPath.apply(event.left()).orElse("(gone)");
        fields.put("left", left);
        from = " from cgroup " + left;
      }
      return new Line(
          "process " + process + " was moved" + from + " into the cgroup of " + source, fields);
    }
    String destination = names.workloadText(event.destination());
    String protocol = event.protocol().name().toLowerCase(Locale.ROOT);
    String rule = names.ruleText(event.rule());
    String reason = event.reason().name().toLowerCase(Locale.ROOT);
    fields.put("destination", destination);
    fields.put("address", event.address().toString());
    fields.put("port", event.port());
    fields.put("protocol", protocol);
    fields.put("rule", rule);
    fields.put("reason", reason);
    fields.put("generation", event.generation());
    fields.put("suppressed", more);
    String what =
        switch (event.hook()) {
          case BIND -> " bind ";
          case CREATE -> " socket ";
          case NONE, CONNECT, SENDMSG, MOVED, REVOKE, INGRESS, PACKET -> " -> ";
        };
    String text =
        word(event)
            + " "
            + source
            + what
            + destination
            + ":"
            + event.port()
            + " "
            + protocol
            + " by "
            + rule
            + why(event)
            + switch (event.hook()) {
              case INGRESS -> " [came in from ";
              case REVOKE -> " [open to ";
              case PACKET -> " [packet to ";
              case NONE, CONNECT, SENDMSG, BIND, CREATE, MOVED -> " [" + process + " to ";
            }
            + event.address()
            + "]"
            + (more > 0 ? " and " + more + " more since" : "");
    return new Line(text, fields);
  }

  private static String word(Event event) {
    if (event.hook() == Hook.MOVED) {
      return "moved";
    }
    if (event.hook() == Hook.REVOKE) {
      return "ended";
    }
    return event.audited() ? "audited" : "refused";
  }

  /** In words where it is more than "the rule says so". */
  private static String why(Event event) {
    return switch (event.reason()) {
      case NONE, POLICY, DEFAULT_DENY -> "";
      case BIRTH -> ": the socket was made by another workload";
      case NO_BACKEND -> ": the service has no ready backend";
      case PORT_OWNED -> ": the port belongs to another workload";
      case NO_GENERATION -> ": no policy is readable";
      case RATE_LIMIT -> ": more than the rate limit lets through";
      case NO_PROXY -> ": it leads to the proxy, and none listens in this network namespace";
      case PROTOCOL -> ": the protocol cannot be governed";
    };
  }
}
