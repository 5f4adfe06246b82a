// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.outbound;

import dev.weir.policy.route.HeaderEditor;
import dev.weir.policy.route.RequestView;
import dev.weir.policy.route.RouteMatch;
import dev.weir.policy.route.SessionKey;
import dev.weir.policy.route.SessionKey.Session;
import dev.weir.policy.route.SessionRule;
import dev.weir.proxy.upstream.Endpoint;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/** The sessions of a rule, with its backends in one generation. Immutable. */
public final class Sessions {

  private final SessionRule rule;
  private final SessionKey key;
  private final Map<String, Place> places = new HashMap<>();
  private final Map<Endpoint, String> tags = new HashMap<>();
  private final List<Optional<Cluster>> clusters;

  /**
   * Where a session's requests go.
   *
   * @param choice index of the backend reference
   * @param target one of its endpoints
   */
  public record Place(int choice, Target target) {}

  /**
   * A session of which a request is.
   *
   * @param session as its token tells it
   * @param place where it goes
   */
  public record Held(Session session, Place place) {}

  /**
   * Of a rule. Backends whose weight is 0 get no traffic, and keep no session.
   *
   * @param weights of the backend references
   * @param clusters of the backend references
   */
  Sessions(
      SessionRule rule, SessionKey key, List<Integer> weights, List<Optional<Cluster>> clusters) {
    this.rule = rule;
    this.key = key;
    this.clusters = clusters;
    for (int choice = 0; choice < clusters.size(); choice++) {
      if (clusters.get(choice).isPresent() && weights.get(choice) > 0) {
        for (Target target : clusters.get(choice).get().targets()) {
          String tag =
              tags.computeIfAbsent(
                  target.endpoint(), endpoint -> key.tag(rule.scope(), endpoint.toString()));
          places.putIfAbsent(tag, new Place(choice, target));
        }
      }
    }
  }

  /**
   * The session that a request is of.
   *
   * @return empty when it is of none, or its backend is gone or gets no requests for now
   */
  public Optional<Held> of(RequestView request) {
    Optional<Session> session = rule.of(request, key, System.currentTimeMillis());
    if (session.isEmpty()) {
      return Optional.empty();
    }
    Place place = places.get(session.get().tag());
    if (place == null) {
      return Optional.empty();
    }
    boolean usable =
        clusters
            .get(place.choice())
            .map(cluster -> cluster.health().usable(place.target().endpoint()))
            .orElse(false);
    return usable ? Optional.of(new Held(session.get(), place)) : Optional.empty();
  }

  /**
   * Tells the client in a response which session it has from now on, where it does not know.
   *
   * @param held which one the request was of; null when of none
   * @param answered the backend
   * @param match that the request met
   * @param secure whether the client came by TLS
   */
  public <H> void write(
      H headers,
      HeaderEditor<H> editor,
      @Nullable Held held,
      Endpoint answered,
      RouteMatch match,
      boolean secure) {
    String tag = tags.get(answered);
    if (tag == null) {
      return;
    }
    boolean goesOn = held != null && held.session().tag().equals(tag);
    if (goesOn && !rule.renews()) {
      return;
    }
    long now = System.currentTimeMillis();
    long begun = goesOn && held != null ? held.session().begunMillis() : now;
    rule.write(headers, editor, key, new Session(tag, begun, now), match, secure, now);
  }
}
