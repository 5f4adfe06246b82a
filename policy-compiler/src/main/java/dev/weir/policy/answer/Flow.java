// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.answer;

import dev.weir.policy.json.JsonObject;
import dev.weir.policy.plan.Protocol;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;

/**
 * Connections of one kind that a node has seen: a line of {@code weir flows}, of the agent's flow
 * log, or of its log with {@code --log-format json}. docs/policy.md has the fields.
 *
 * @param source who connected, as {@code explain --from} takes it
 * @param destination whom to, as {@code explain --to} takes it
 * @param protocol transport
 * @param port destination port
 * @param made whether they were made; what was only reported was
 * @param count how many
 */
public record Flow(
    String source, String destination, Protocol protocol, int port, boolean made, long count) {

  /** Refusals for these reasons are what policy says; others no policy would change. */
  private static final Set<String> BY_POLICY = Set.of("none", "policy", "default_deny");

  private static final String OUTSIDE = "outside";
  private static final String PROXY = "proxy";

  /**
   * A flow from its line; empty for a line about something else, which is: without verdict, source
   * or destination, refused for a reason that no policy changes, or dialled by the proxy, which
   * asks for each request by itself. Fields that are not looked at are passed over.
   *
   * @throws dev.weir.policy.json.JsonException when a field is not as it must be
   */
  public static Optional<Flow> read(JsonObject line) {
    Optional<String> written = line.optionalText("verdict");
    Optional<String> verdict = written.or(() -> line.optionalText("event"));
    if (verdict.isEmpty() || !line.has("source") || !line.has("destination")) {
      return Optional.empty();
    }
    boolean made = false;
    switch (verdict.get()) {
      case "allow", "inspect", "audit", "audited" -> made = true;
      case "refuse", "refused" -> {}
      default -> {
        if (written.isEmpty()) {
          return Optional.empty(); // Something else happened.
        }
        throw line.error(
            "verdict",
            "is \"" + verdict.get() + "\", but must be one of: allow, inspect, audit, refuse");
      }
    }
    String source = line.text("source");
    if (source.equals(PROXY)) {
      return Optional.empty();
    }
    if (!BY_POLICY.contains(line.optionalText("reason").orElse("none"))) {
      return Optional.empty();
    }
    String protocol = line.optionalText("protocol").orElse("tcp");
    Protocol transport =
        switch (protocol.toLowerCase(Locale.ROOT)) {
          case "tcp" -> Protocol.TCP;
          case "udp" -> Protocol.UDP;
          case "sctp" -> Protocol.SCTP;
          default -> throw line.error("protocol", "must be tcp, udp or sctp");
        };
    String destination = line.text("destination");
    return Optional.of(
        new Flow(
            source.equals(OUTSIDE) ? line.optionalText("source_address").orElse(OUTSIDE) : source,
            destination.equals(OUTSIDE)
                ? line.optionalText("address").orElse(OUTSIDE)
                : destination,
            transport,
            line.integer("port", 0, 65535),
            made,
            line.optionalLong("count", 0, Long.MAX_VALUE).orElse(1L)
                + line.optionalLong("suppressed", 0, Long.MAX_VALUE).orElse(0L)));
  }
}
