// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.agent;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/**
 * The proxy's status for people: what it has open and what it serves. Bounded, whatever the proxy
 * tells; all of that is in the JSON.
 */
final class ProxyLines {

  private static final int SHOWN = 20;
  private static final int PARTS_SHOWN = 4;

  /**
   * A line.
   *
   * @param what it is about, in a word
   * @param text the rest of it
   */
  record Line(String what, String text) {}

  private final Map<?, ?> status;
  private final List<Line> lines = new ArrayList<>();

  private ProxyLines(Map<?, ?> status) {
    this.status = status;
  }

  /** Of a status as the proxy tells it; of what it does not tell there is no line. */
  static List<Line> of(Map<?, ?> status) {
    ProxyLines all = new ProxyLines(status);
    all.listeners();
    all.clients();
    all.each("tunnel", "tunnel_peers", ProxyLines::tunnel, 0);
    all.each("identity", "identities", ProxyLines::identity, 0);
    all.each("route", "routes", ProxyLines::route, number(status, "routes_total"));
    all.each("backend", "pools", ProxyLines::pool, 0);
    all.each("ejected", "ejected", ProxyLines::endpoint, 0);
    all.each("ill", "ill", ProxyLines::endpoint, 0);
    return List.copyOf(all.lines);
  }

  private interface Words {
    String of(Map<?, ?> member);
  }

  /** A line for each element of a member, as far as they are shown. */
  private void each(String what, String member, Words words, int total) {
    List<?> all = list(status, member);
    all.stream()
        .limit(SHOWN)
        .forEach(
            one -> {
              if (one instanceof Map<?, ?> object) {
                lines.add(new Line(what, words.of(object)));
              }
            });
    int more = Math.max(total, all.size()) - Math.min(SHOWN, all.size());
    if (more > 0) {
      lines.add(new Line(what, "and " + more + " more: weir status -o json"));
    }
  }

  private void listeners() {
    if (status.get("listeners") instanceof List<?> listeners) {
      lines.add(
          new Line(
              "listeners",
              listeners.stream().map(String::valueOf).sorted().collect(Collectors.joining(", "))
                  + "; client connections: "
                  + status.get("connections")));
    }
  }

  /** A line for each listener, with its protocols. */
  private void clients() {
    Map<String, List<String>> byListener = new LinkedHashMap<>();
    for (Object one : list(status, "clients")) {
      if (one instanceof Map<?, ?> client) {
        byListener
            .computeIfAbsent(text(client, "listener"), l -> new ArrayList<>())
            .add(text(client, "protocol") + " " + text(client, "open"));
      }
    }
    byListener.entrySet().stream()
        .limit(SHOWN)
        .forEach(
            e ->
                lines.add(
                    new Line("clients", e.getKey() + ": " + String.join(", ", e.getValue()))));
    if (byListener.size() > SHOWN) {
      lines.add(
          new Line("clients", "and " + (byListener.size() - SHOWN) + " more: weir status -o json"));
    }
  }

  private static String tunnel(Map<?, ?> tunnel) {
    boolean in = text(tunnel, "direction").equals("in");
    return (in ? "from " : "to ")
        + text(tunnel, "peer")
        + " as "
        + text(tunnel, "principal")
        + ": "
        + text(tunnel, "open");
  }

  private static String identity(Map<?, ?> identity) {
    String problem = text(identity, "problem");
    return "spiffe://"
        + text(identity, "principal")
        + " until "
        + text(identity, "ends")
        + (problem.isEmpty() ? "" : ": " + problem);
  }

  private static String route(Map<?, ?> route) {
    String source = text(route, "source");
    String head =
        text(route, "kind")
            + " "
            + text(route, "name")
            + (source.isEmpty() ? "" : " (" + source + ")")
            + " at "
            + some(list(route, "parents"), ProxyLines::parent, ", ");
    // Of connections nobody counts which route they took.
    String requests =
        text(route, "kind").equals("HTTPRoute") || text(route, "kind").equals("GRPCRoute")
            ? "; requests: " + text(route, "requests")
            : "";
    return head + ": " + some(list(route, "rules"), ProxyLines::rule, "; ") + requests;
  }

  private static String parent(Map<?, ?> parent) {
    List<?> hostnames = list(parent, "hostnames");
    return text(parent, "name")
        + (hostnames.isEmpty()
            ? ""
            : " for "
                + hostnames.stream()
                    .limit(PARTS_SHOWN)
                    .map(String::valueOf)
                    .collect(Collectors.joining(", "))
                + (hostnames.size() > PARTS_SHOWN ? ", ..." : ""));
  }

  private static String rule(Map<?, ?> rule) {
    List<?> matches = list(rule, "matches");
    String when =
        matches.stream().limit(2).map(String::valueOf).collect(Collectors.joining(" or "))
            + (matches.size() > 2 ? " or " + (matches.size() - 2) + " more" : "");
    List<?> backends = list(rule, "backends");
    return (when.isEmpty() ? "" : when + " ")
        + "-> "
        + (backends.isEmpty() ? "no backend" : some(backends, ProxyLines::backend, ", "));
  }

  private static String backend(Map<?, ?> backend) {
    String cluster = text(backend, "cluster");
    String weight = text(backend, "weight");
    String now = text(backend, "weight_now");
    return (cluster.isEmpty() ? "(invalid)" : cluster)
        + " "
        + weight
        + (now.equals(weight) ? "" : " (now " + now + ": rolled back)");
  }

  private static String pool(Map<?, ?> pool) {
    return text(pool, "endpoint")
        + ": connections open "
        + text(pool, "open")
        + ", of them idle "
        + text(pool, "idle");
  }

  private static String endpoint(Map<?, ?> endpoint) {
    return text(endpoint, "endpoint") + " of " + text(endpoint, "cluster");
  }

  private static String some(List<?> all, Words words, String between) {
    return all.stream()
            .limit(PARTS_SHOWN)
            .map(one -> one instanceof Map<?, ?> object ? words.of(object) : String.valueOf(one))
            .collect(Collectors.joining(between))
        + (all.size() > PARTS_SHOWN ? between + (all.size() - PARTS_SHOWN) + " more" : "");
  }

  private static String text(Map<?, ?> object, String member) {
    Object value = object.get(member);
    return value == null ? "" : value.toString();
  }

  private static int number(Map<?, ?> object, String member) {
    return object.get(member) instanceof Number number ? number.intValue() : 0;
  }

  private static List<?> list(Map<?, ?> object, String member) {
    return object.get(member) instanceof List<?> list ? list : List.of();
  }
}
