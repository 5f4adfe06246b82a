// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.answer;

import dev.weir.policy.plan.ProxyPlan.Retry;
import dev.weir.policy.plan.ProxyPlan.SessionPersistence;
import dev.weir.policy.plan.Rule;
import dev.weir.policy.route.LocalReply;
import dev.weir.policy.route.Location;
import dev.weir.policy.route.RouteAction;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;

/**
 * What becomes of a request, backends willing.
 *
 * @param entrance where it comes in
 * @param meets the rule it meets, with its place; empty when it meets none
 * @param name of that rule, empty when it has none
 * @param match index of the match of that rule that holds; -1 for none
 * @param connection what becomes of the connection
 * @param status what the client gets: the proxy's own, or 200 where a backend answers; 0 without a
 *     connection
 * @param grpcStatus the same for a call of gRPC
 * @param reply why the proxy answers by itself
 * @param why for people
 * @param shares where it goes, largest first
 * @param failing shares that are answered without a backend
 * @param redirect where the client is sent
 * @param response headers of what the proxy answers by itself
 * @param mirrors who gets a copy
 * @param action of the rule
 * @param retry when a try that failed is repeated
 * @param session which requests stay with one backend
 */
public record Routed(
    Entrance entrance,
    Optional<Rule> meets,
    String name,
    int match,
    Connection connection,
    int status,
    OptionalInt grpcStatus,
    Optional<LocalReply> reply,
    String why,
    List<Share> shares,
    List<Failing> failing,
    Optional<Location> redirect,
    Map<String, String> response,
    List<Mirror> mirrors,
    Optional<RouteAction> action,
    Optional<Retry> retry,
    Optional<SessionPersistence> session) {

  /** Copies the lists. */
  public Routed {
    shares = List.copyOf(shares);
    failing = List.copyOf(failing);
    mirrors = List.copyOf(mirrors);
  }

  /** What becomes of the connection that a request would come over. */
  public enum Connection {
    /** It is made. */
    MADE,
    /** The proxy takes it and closes it, since nobody is there for it. */
    CLOSED,
    /** {@code connect()} fails, since nobody is there for it. */
    REFUSED
  }

  /**
   * Where a request comes in.
   *
   * @param kind {@code Gateway}, {@code Service} or the kind of a workload that is called directly
   * @param name {@code namespace/name}
   * @param listener of a Gateway; empty when no listener is for the request, and for others
   * @param port that was called
   * @param place of the listener or route; empty for others
   */
  public record Entrance(
      String kind, String name, String listener, int port, Optional<Rule> place) {}

  /**
   * A part of the requests.
   *
   * @param kind {@code Service}, or that of a workload that is called directly
   * @param namespace of it
   * @param name of it
   * @param port of it
   * @param fraction from 0 to 1
   * @param workloads who is behind it, as people know them
   * @param request what it gets
   * @param response what the client gets of it, backend headers included
   */
  public record Share(
      String kind,
      String namespace,
      String name,
      int port,
      double fraction,
      List<String> workloads,
      BackendRequest request,
      Map<String, String> response) {
    /** Copies the list. */
    public Share {
      workloads = List.copyOf(workloads);
    }
  }

  /**
   * What a backend gets.
   *
   * @param method of HTTP
   * @param host with port if it was called with one; empty when it is the gateway's address
   * @param path with query
   * @param headers by name, several of one name joined with a comma
   */
  public record BackendRequest(
      String method, String host, String path, Map<String, String> headers) {}

  /**
   * A part of the requests or connections that no backend gets.
   *
   * @param connection {@code MADE} for requests, which are answered; else connections are split,
   *     and this is what becomes of these
   * @param reply what is answered instead, and why there is no backend
   * @param backend {@code namespace/name:port}; empty for an invalid reference
   * @param fraction from 0 to 1
   */
  public record Failing(Connection connection, LocalReply reply, String backend, double fraction) {

    /** What the client gets; 0 when its connection ends. */
    public int status() {
      return connection == Connection.MADE ? reply.status() : 0;
    }

    /** For people. */
    public String why() {
      return switch (connection) {
        case MADE -> reply.text();
        case CLOSED -> reply.text() + ": the connection is closed";
        case REFUSED -> reply.text() + ": connect() is refused";
      };
    }
  }

  /**
   * Who gets a copy.
   *
   * @param namespace of the Service
   * @param name of the Service
   * @param port of the Service
   * @param percent of the requests, from 0 to 100
   */
  public record Mirror(String namespace, String name, int port, double percent) {}
}
