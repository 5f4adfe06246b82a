// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.http;

import dev.weir.proxy.outbound.Action;
import dev.weir.proxy.outbound.Cluster;
import dev.weir.proxy.outbound.Source;
import dev.weir.proxy.outbound.Target;
import dev.weir.proxy.upstream.Endpoint;
import io.netty.handler.codec.http.DefaultHttpRequest;
import io.netty.handler.codec.http.HttpContent;
import io.netty.handler.codec.http.HttpHeaders;
import io.netty.handler.codec.http.HttpRequest;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;

/** The copies of one request whose bodies are not complete yet. For the request's event loop. */
final class Mirrors {

  /** Of a request that is not copied, or has no body. */
  static final Mirrors NONE = new Mirrors(List.of());

  private final List<MirroredRequest> open;

  private Mirrors(List<MirroredRequest> open) {
    this.open = open;
  }

  /**
   * Sends copies to the mirrors of a rule whose turn it is, and who may have them.
   *
   * @param request as the backend gets it
   * @param headers that mirrors get instead of its own
   * @param version of HTTP that a cluster is spoken to in
   */
  static Mirrors send(
      Action action,
      HttpRequest request,
      HttpHeaders headers,
      boolean bodyless,
      Client client,
      Source asks,
      Judge judge,
      Function<Cluster, Endpoint.Version> version) {
    List<MirroredRequest> open = List.of();
    for (Action.Mirror mirror : action.mirrors()) {
      if (mirror.share().next() != 0) {
        continue;
      }
      HttpRequest copy =
          new DefaultHttpRequest(
              request.protocolVersion(), request.method(), request.uri(), headers.copy());
      Target to = judge.inForce(mirror.cluster().pick(client.worker().loop()));
      if (to == null || !judge.allowsMirror(to, copy)) {
        continue;
      }
      MirroredRequest sending =
          MirroredRequest.send(
              client.worker(),
              to.endpoint().by(asks.caller()),
              version.apply(mirror.cluster()),
              copy,
              bodyless,
              client.allocator());
      if (sending != null && !bodyless) {
        if (open.isEmpty()) {
          open = new ArrayList<>(1);
        }
        open.add(sending);
      }
    }
    return open.isEmpty() ? NONE : new Mirrors(open);
  }

  /** Part of the request's body, which stays the caller's. */
  void requestContent(HttpContent content) {
    for (int i = 0; i < open.size(); i++) {
      open.get(i).requestContent(content);
    }
  }

  void flush() {
    for (int i = 0; i < open.size(); i++) {
      open.get(i).flush();
    }
  }

  /** Nothing more of the request comes. */
  void requestEnded() {
    for (int i = 0; i < open.size(); i++) {
      open.get(i).requestEnded();
    }
  }
}
