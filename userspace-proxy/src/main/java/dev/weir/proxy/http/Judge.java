// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.http;

import dev.weir.policy.plan.Address;
import dev.weir.policy.rbac.AccessRules;
import dev.weir.policy.rbac.Attributes;
import dev.weir.policy.route.RequestTarget;
import dev.weir.proxy.observe.Counter;
import dev.weir.proxy.outbound.Admission;
import dev.weir.proxy.outbound.Entrance;
import dev.weir.proxy.outbound.Generation;
import dev.weir.proxy.outbound.Source;
import dev.weir.proxy.outbound.Target;
import io.netty.handler.codec.http.HttpRequest;
import org.jspecify.annotations.Nullable;

/**
 * Asks who may, about one request in one generation. What is refused, or would be if a policy in
 * audit were enforced, is counted and told to the log. For the request's event loop.
 */
final class Judge implements Admission.Question {

  private final Client client;
  private final HttpRequest request;
  private final Source asks;
  private final Generation within;
  private final boolean leaving;
  private final Address originalClient;
  private RequestTarget target;

  /**
   * The judge of a request as it came.
   *
   * @param leaving whether its routes are an older generation's ({@link Client#leaving})
   */
  Judge(
      Client client,
      HttpRequest request,
      RequestTarget target,
      Source asks,
      Generation within,
      boolean leaving) {
    this.client = client;
    this.request = request;
    this.target = target;
    this.asks = asks;
    this.within = within;
    this.leaving = leaving;
    this.originalClient =
        client.behindProxy()
            ? ForwardedHeaders.originalClient(request.headers(), client, within)
            : asks.address().orElse(client.origin().peer());
  }

  /** From now on it is about the request as its backend gets it: no rewrite leads past a policy. */
  void forwardedTo(RequestTarget rewritten) {
    target = rewritten;
  }

  /**
   * Whether the policies about requests through a Gateway refuse it.
   *
   * @return the decision and its rule, or null when it may pass
   */
  @Nullable String refusalAt(Entrance in) {
    if (in.guards().isEmpty()) {
      return null;
    }
    AskedOfBackend asked = asked(request, Attributes.NOWHERE, client.localPort());
    String gateway = "Gateway " + in.service().host();
    for (AccessRules guard : in.guards()) {
      switch (Admission.by(guard, within, asked)) {
        case Admission.Allowed allowed -> {}
        case Admission.Audited(String rule) -> audited(gateway, rule);
        case Admission.Refused(boolean asking, String decision, String rule) -> {
          return forbidden(asking() + " of " + gateway, decision, rule);
        }
      }
    }
    return null;
  }

  /**
   * A target as the generation numbers it that decides; null when it has no such target.
   *
   * @param routed as the request's route has it
   */
  @Nullable Target inForce(Target routed) {
    return leaving ? within.target(routed.endpoint()).orElse(null) : routed;
  }

  /**
   * Whether the source may not reach a backend, or ask this of it.
   *
   * @return the decision and its rule, or null when it may
   */
  @Nullable String refusal(Target backend) {
    return switch (Admission.to(backend, asks, within, this)) {
      case Admission.Allowed allowed -> null;
      case Admission.Audited(String rule) -> {
        audited(reached(backend), rule);
        yield null;
      }
      case Admission.Refused(boolean asked, String decision, String rule) ->
          forbidden((asked ? asking() + " of " : "reach ") + reached(backend), decision, rule);
    };
  }

  /** Whether a mirror may have its copy: whether the source might have sent it itself. */
  boolean allowsMirror(Target mirror, HttpRequest copy) {
    if (Admission.to(mirror, asks, within, to -> asked(copy, to.address(), to.port()))
        instanceof Admission.Refused(boolean asked, String decision, String rule)) {
      client.worker().metrics().count(Counter.MIRROR_LOST);
      client
          .worker()
          .log()
          .refused(
              "not mirrored: "
                  + asks.description()
                  + " may not reach "
                  + reached(mirror)
                  + ": "
                  + rule);
      return false;
    }
    return true;
  }

  @Override
  public Attributes asked(Target to) {
    return asked(request, to.address(), to.port());
  }

  private AskedOfBackend asked(HttpRequest copy, Address address, int port) {
    return new AskedOfBackend(
        copy,
        target,
        asks,
        client.origin().peer(),
        originalClient,
        address,
        port,
        client.serverName());
  }

  private void audited(String what, String rule) {
    client.worker().metrics().count(Counter.AUDITED);
    client
        .worker()
        .log()
        .refused(
            "audit: "
                + asks.description()
                + " may "
                + asking()
                + " of "
                + what
                + " only until "
                + rule
                + " is enforced");
  }

  private String forbidden(String what, String decision, String rule) {
    client.worker().metrics().count(Counter.FORBIDDEN);
    client
        .worker()
        .log()
        .refused(
            "403 " + asks.description() + " may not " + what + ": " + decision + " by " + rule);
    return decision + " by " + rule;
  }

  private String asking() {
    return "ask " + request.method().name() + " " + target.path();
  }

  private static String reached(Target picked) {
    return picked.description() + " (" + picked.endpoint() + ")";
  }
}
