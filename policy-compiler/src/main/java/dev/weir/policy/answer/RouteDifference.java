// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.answer;

import dev.weir.policy.answer.Routing.Connection;
import dev.weir.policy.answer.Routing.Decision;
import dev.weir.policy.answer.Routing.Entrance;
import dev.weir.policy.answer.Routing.Share;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.ProxyPlan.Match;
import dev.weir.policy.plan.ProxyPlan.PathMatch;
import dev.weir.policy.plan.ProxyPlan.Route;
import dev.weir.policy.plan.ProxyPlan.RouteRule;
import dev.weir.policy.plan.ProxyPlan.ValueMatch;
import dev.weir.policy.steer.Steering;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Consumer;

/**
 * How what two plans make of requests differs, by meaning and not by text.
 *
 * <p>Both are asked the same requests: for every host, path, method, set of headers and set of
 * query parameters that a match of either names, and for one of each that none names, in every
 * combination. Two plans that treat all of these alike treat every request alike, but for what only
 * a regular expression tells apart, of which one text is asked each.
 */
public final class RouteDifference {

  /** Most requests that are asked at one entrance; beyond it, sets of headers are not joined. */
  private static final int MOST_REQUESTS = 200_000;

  private static final int MOST_JOINED = 12;

  private static final String NO_ROUTE = "No Route";
  private static final String NO_LISTENER = "No Listener";
  private static final String OTHER = "weir-probe";

  private final Routing older;
  private final Routing newer;
  private boolean widened;
  private boolean narrowed;
  private boolean changed;

  /**
   * Requests or connections that are treated unlike before.
   *
   * @param entrance where they come in
   * @param connections whether nobody looks at requests there, before and after
   * @param host or server name; {@code *} for any that no route names
   * @param path {@code /a/*} for what is below, {@code *} for any that no route names
   * @param method {@code *} for any that no route names
   * @param headers that they have
   * @param query parameters that they have
   * @param older what became of them: shares of services, a status, {@code No Route} or {@code No
   *     Listener}
   * @param newer what becomes of them
   */
  public record Row(
      Entrance entrance,
      boolean connections,
      String host,
      String path,
      String method,
      Map<String, String> headers,
      Map<String, String> query,
      String older,
      String newer) {
    /** Copies the maps. */
    public Row {
      headers = Map.copyOf(headers);
      query = Map.copyOf(query);
    }

    /** {@code added} when there was no route, {@code removed} when there is none, or changed. */
    public String change() {
      return nothing(older) > nothing(newer)
          ? "added"
          : nothing(older) < nothing(newer) ? "removed" : "changed";
    }

    private static int nothing(String answer) {
      return answer.startsWith(NO_LISTENER) ? 2 : answer.startsWith(NO_ROUTE) ? 1 : 0;
    }

    /** The requests in a line. */
    public String requests() {
      if (connections) {
        return host;
      }
      StringBuilder text = new StringBuilder(method.equals("*") ? "" : method + " ");
      text.append(host.equals("*") ? "" : host).append(path.equals("*") ? "/*" : path);
      query.forEach((name, value) -> text.append(" ?").append(name).append('=').append(value));
      headers.forEach((name, value) -> text.append(' ').append(name).append(": ").append(value));
      return text.toString();
    }
  }

  /**
   * What the newer routes do.
   *
   * @param widened some request reaches a service that it did not reach
   * @param narrowed some request does not reach a service that it reached
   * @param changed anything differs, if only shares, filters or listeners
   */
  public record Direction(boolean widened, boolean narrowed, boolean changed) {}

  /**
   * One of the values that a dimension of requests takes; the first of each is the ordinary one.
   */
  private record Sample<T>(T value, String label) {}

  /**
   * What becomes of a request or connection.
   *
   * @param text of it
   * @param details that are told only where they differ
   * @param services who gets it, or a copy
   * @param connection whether nobody looks at requests; also where nobody is at all
   */
  private record Answer(
      String text, List<String> details, Set<String> services, boolean connection) {

    static final Answer NOBODY = new Answer(NO_LISTENER, List.of(), Set.of(), true);

    String text(Answer other) {
      if (other.text.equals(NO_LISTENER)) {
        return text;
      }
      List<String> own = new ArrayList<>(details);
      own.removeAll(other.details());
      return text + (own.isEmpty() ? "" : "; " + String.join(", ", own));
    }
  }

  private record Pair(Answer older, Answer newer) {
    boolean same() {
      return older.text().equals(newer.text()) && older.details().equals(newer.details());
    }

    boolean connections() {
      return older.connection() && newer.connection();
    }
  }

  private RouteDifference(Routing older, Routing newer) {
    this.older = older;
    this.newer = newer;
  }

  /** Gives the requests that are treated unlike before. */
  public static Direction between(
      Plan older, Steering olderSteering, Plan newer, Steering newerSteering, Consumer<Row> rows) {
    RouteDifference difference =
        new RouteDifference(new Routing(older, olderSteering), new Routing(newer, newerSteering));
    Set<Entrance> entrances = new TreeSet<>(difference.older.entrances());
    entrances.addAll(difference.newer.entrances());
    entrances.forEach(entrance -> difference.compare(entrance, rows));
    return new Direction(difference.widened, difference.narrowed, difference.changed);
  }

  private void compare(Entrance entrance, Consumer<Row> rows) {
    List<Match> matches = new ArrayList<>();
    Set<String> hostnames = new LinkedHashSet<>();
    for (Routing routing : List.of(older, newer)) {
      for (Route route : routing.routes(routing.of(base(entrance), entrance.client()))) {
        hostnames.addAll(route.hostnames());
        route.rules().stream().map(RouteRule::matches).forEach(matches::addAll);
      }
    }
    for (Routing routing : List.of(older, newer)) {
      hostnames.addAll(routing.hostnames(routing.of(base(entrance), entrance.client())));
    }
    List<Sample<String>> hosts = hosts(hostnames);
    List<Sample<String>> paths = paths(matches);
    List<Sample<String>> methods = new ArrayList<>(List.of(new Sample<>("PROBE", "*")));
    matches.stream()
        .flatMap(m -> m.method().stream())
        .distinct()
        .forEach(m -> methods.add(new Sample<>(m, m)));
    List<Sample<Map<String, String>>> headers =
        values(matches.stream().map(Match::headers).toList(), true);
    List<Sample<Map<String, String>>> queries =
        values(matches.stream().map(Match::query).toList(), true);
    if ((long) hosts.size() * paths.size() * methods.size() * headers.size() * queries.size()
        > MOST_REQUESTS) {
      headers = values(matches.stream().map(Match::headers).toList(), false);
      queries = values(matches.stream().map(Match::query).toList(), false);
    }
    Map<List<Integer>, Pair> different = new HashMap<>();
    for (int h = 0; h < hosts.size(); h++) {
      for (int p = 0; p < paths.size(); p++) {
        for (int m = 0; m < methods.size(); m++) {
          for (int d = 0; d < headers.size(); d++) {
            for (int q = 0; q < queries.size(); q++) {
              Request request =
                  new Request(
                      methods.get(m).value(),
                      hosts.get(h).value(),
                      paths.get(p).value(),
                      queryText(queries.get(q).value()),
                      headers.get(d).value());
              Pair pair = new Pair(ask(older, entrance, request), ask(newer, entrance, request));
              if (pair.same()) {
                continue;
              }
              note(pair);
              List<Integer> place = List.of(h, p, m, d, q);
              different.put(place, pair);
              if (!saidByMoreGeneral(different, place, pair)) {
                rows.accept(
                    new Row(
                        entrance,
                        pair.connections(),
                        hosts.get(h).label(),
                        paths.get(p).label(),
                        methods.get(m).label(),
                        headers.get(d).value(),
                        queries.get(q).value(),
                        pair.older().text(pair.newer()),
                        pair.newer().text(pair.older())));
              }
            }
          }
        }
      }
    }
  }

  private void note(Pair pair) {
    changed = true;
    widened |= !pair.older().services().containsAll(pair.newer().services());
    narrowed |= !pair.newer().services().containsAll(pair.older().services());
  }

  /** Whether the same is already said of requests that are ordinary where these are special. */
  private static boolean saidByMoreGeneral(
      Map<List<Integer>, Pair> different, List<Integer> place, Pair pair) {
    for (int mask = 1; mask < 1 << place.size(); mask++) {
      List<Integer> general = new ArrayList<>(place);
      for (int i = 0; i < place.size(); i++) {
        if ((mask & 1 << i) != 0) {
          general.set(i, 0);
        }
      }
      Pair other = different.get(general);
      if (!general.equals(place) && other != null && other.equals(pair)) {
        return true;
      }
    }
    return false;
  }

  private static Entrance base(Entrance entrance) {
    return new Entrance(entrance.kind(), entrance.name(), entrance.port(), "");
  }

  private static Answer ask(Routing routing, Entrance entrance, Request request) {
    Entrance here = routing.of(base(entrance), entrance.client());
    if (!routing.has(here)) {
      if (here.kind().equals("Gateway")) {
        return Answer.NOBODY;
      }
      // A service without routes leads to its own workloads.
      return routing.plainService(here)
          ? new Answer(
              here.name() + ":" + here.port() + " 100%", List.of(), Set.of(service(here)), true)
          : new Answer(NO_ROUTE, List.of(), Set.of(), true);
    }
    if (!routing.open(here, request.host())) {
      return Answer.NOBODY;
    }
    List<String> details = new ArrayList<>(routing.entry(here, request.host()));
    Set<String> services = new TreeSet<>();
    Optional<Connection> connection = routing.connection(here, request.host());
    if (connection.isPresent()) {
      Connection found = connection.get();
      found.shares().stream().filter(Share::served).forEach(s -> services.add(s.target()));
      details.addAll(routing.dialled(found.shares()));
      return new Answer(
          found.route().isEmpty() ? NO_ROUTE : found.toString(), details, services, true);
    }
    Decision decision = routing.ask(here, request);
    if (decision.match().isEmpty()) {
      return new Answer(NO_ROUTE, details, services, false);
    }
    decision.shares().stream().filter(Share::served).forEach(s -> services.add(s.target()));
    services.addAll(routing.mirrored(decision));
    details.addAll(routing.dialled(decision.shares()));
    String text =
        decision.status() != 0
            ? "status " + decision.status()
            : String.join(", ", decision.shares().stream().map(Share::toString).toList());
    List<String> effects = routing.effects(decision);
    return new Answer(
        text + (effects.isEmpty() ? "" : "; " + String.join(", ", effects)),
        details,
        services,
        false);
  }

  private static String service(Entrance entrance) {
    return entrance.name() + ":" + entrance.port();
  }

  private static List<Sample<String>> hosts(Set<String> hostnames) {
    List<Sample<String>> samples = new ArrayList<>(List.of(new Sample<>(OTHER + ".invalid", "*")));
    for (String hostname : hostnames) {
      if (!hostname.isEmpty()) {
        String host = hostname.toLowerCase(Locale.ROOT);
        samples.add(new Sample<>(host.startsWith("*.") ? OTHER + host.substring(1) : host, host));
      }
    }
    return samples;
  }

  private static List<Sample<String>> paths(List<Match> matches) {
    Map<String, String> samples = new LinkedHashMap<>();
    samples.put("/" + OTHER, "*");
    for (Match match : matches) {
      switch (match.path()) {
        case PathMatch.Exact(String path) -> samples.putIfAbsent(path, path);
        case PathMatch.Prefix(String path) -> {
          String prefix = path.endsWith("/") ? path.substring(0, path.length() - 1) : path;
          if (!prefix.isEmpty()) {
            samples.putIfAbsent(prefix + "/" + OTHER, prefix + "/*");
            samples.putIfAbsent(prefix, prefix);
          } else {
            samples.putIfAbsent("/", "/");
          }
        }
        case PathMatch.Regex(String pattern) ->
            PatternSample.of(pattern).ifPresent(s -> samples.putIfAbsent(s, s + " ~ " + pattern));
        case PathMatch.Grpc(String service, String method, boolean regex) ->
            part(service, regex)
                .flatMap(s -> part(method, regex).map(m -> "/" + s + "/" + m))
                .ifPresent(s -> samples.putIfAbsent(s, s));
      }
    }
    return samples.entrySet().stream().map(e -> new Sample<>(e.getKey(), e.getValue())).toList();
  }

  private static Optional<String> part(String text, boolean regex) {
    return text.isEmpty() ? Optional.of(OTHER) : regex ? PatternSample.of(text) : Optional.of(text);
  }

  private static List<Sample<Map<String, String>>> values(
      List<List<ValueMatch>> lists, boolean joined) {
    Set<Map<String, String>> sets = new LinkedHashSet<>();
    sets.add(Map.of());
    for (List<ValueMatch> list : lists) {
      Map<String, String> set = new LinkedHashMap<>();
      for (ValueMatch value : list) {
        (value.regex() ? PatternSample.of(value.value()) : Optional.of(value.value()))
            .ifPresent(v -> set.put(value.name(), v));
      }
      if (set.size() == list.size()) {
        sets.add(set);
      }
    }
    if (joined && sets.size() <= MOST_JOINED) {
      for (Map<String, String> one : List.copyOf(sets)) {
        for (Map<String, String> other : List.copyOf(sets)) {
          Map<String, String> both = new LinkedHashMap<>(one);
          other.forEach(both::putIfAbsent);
          sets.add(both);
        }
      }
    }
    return sets.stream().map(s -> new Sample<>(s, "")).toList();
  }

  private static String queryText(Map<String, String> query) {
    List<String> parts = new ArrayList<>();
    query.forEach((name, value) -> parts.add(encode(name) + "=" + encode(value)));
    return String.join("&", parts);
  }

  private static String encode(String text) {
    return URLEncoder.encode(text, StandardCharsets.UTF_8);
  }
}
