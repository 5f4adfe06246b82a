// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import dev.weir.policy.plan.Protocol;
import dev.weir.policy.source.Position;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * A {@code weir.dev/v1alpha1 PolicyTest}: what its author expects of the other files. It decides
 * nothing itself; {@code weir test} asks it.
 *
 * @param meta name and place; bare names in its cases are looked for in its namespace first
 * @param cases in file order
 */
public record PolicyTest(Meta meta, List<Case> cases) implements Resource {
  /** Copies the list. */
  public PolicyTest {
    cases = List.copyOf(cases);
  }

  @Override
  public String kind() {
    return "PolicyTest";
  }

  /**
   * One question with its expected answer.
   *
   * @param name of the case, for reports
   * @param from who connects
   * @param to whom to: a workload, a service, an address, or {@code gateway/NAME}
   * @param protocol transport
   * @param port destination port
   * @param request what is asked over the connection, if that matters
   * @param expect the answer
   * @param at where it begins
   */
  public record Case(
      String name,
      Located<String> from,
      Located<String> to,
      Protocol protocol,
      int port,
      Optional<Request> request,
      Expectation expect,
      Position at) {}

  /**
   * A request.
   *
   * @param method default GET
   * @param host may have a port; empty when there is none
   * @param path with query, default {@code /}
   * @param headers by name
   */
  public record Request(String method, String host, String path, Map<String, String> headers) {
    /** Copies the map. */
    public Request {
      headers = Map.copyOf(headers);
    }
  }

  /**
   * What is expected; what is absent is not looked at, but something is there.
   *
   * @param verdict what happens to the connection, and to the request if there is one
   * @param route {@code namespace/name} of the route that the request meets; empty for none at all
   * @param status what the proxy answers by itself
   * @param shares fraction of requests of each {@code namespace/service}, from 0 to 1; those that
   *     are not named get nothing. Empty when it is not looked at
   */
  public record Expectation(
      Optional<Verdict> verdict,
      Optional<String> route,
      Optional<Integer> status,
      Map<String, Double> shares) {
    /** Copies the map. */
    public Expectation {
      shares = Map.copyOf(shares);
    }
  }

  /** What may be expected of a connection. */
  public enum Verdict {
    /** It is made, and a request over it is let through. */
    ALLOW,
    /** It is refused, or the request over it is. */
    DENY,
    /** It is made as far as the proxy, which decides for each request. */
    INSPECT,
    /** It is made, and reported as what would have been refused. */
    AUDIT
  }
}
