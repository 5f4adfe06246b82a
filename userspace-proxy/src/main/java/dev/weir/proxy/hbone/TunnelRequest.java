// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.hbone;

import dev.weir.policy.plan.Address;
import dev.weir.proxy.outbound.BindAddress;
import dev.weir.proxy.upstream.Baggage;
import io.netty.handler.codec.http.HttpMethod;
import io.netty.handler.codec.http2.Http2Headers;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/**
 * What a peer asks of a tunnel: HTTP/2 CONNECT (RFC 9113 8.5).
 *
 * @param destination of the connection: the address of a workload, never a name or a service's
 * @param forwardedFor whose connection it is, by address (RFC 7239 5.2); empty when it does not say
 * @param baggageFields whose it is, unread: few of those who are asked want to know
 */
record TunnelRequest(
    BindAddress destination, Optional<Address> forwardedFor, List<CharSequence> baggageFields) {

  private static final int MAX_AUTHORITY = 64;
  private static final int MAX_FORWARDED = 512;

  /**
   * Why one is refused.
   *
   * @param status of HTTP
   * @param why for people
   */
  record Refused(int status, String why) {}

  /** What came of reading one. */
  sealed interface Result {}

  /** It is one. */
  record Good(TunnelRequest request) implements Result {}

  /** It is none. */
  record Bad(Refused refused) implements Result {}

  /** Whose it is, for metrics; empty when it does not say so that it can be read. */
  Optional<Baggage> baggage() {
    return Baggage.read(baggageFields);
  }

  static Result read(Http2Headers headers) {
    CharSequence method = headers.method();
    if (method == null || !HttpMethod.CONNECT.asciiName().contentEquals(method)) {
      return bad(404, "only CONNECT is served here");
    }
    if (headers.scheme() != null
        || headers.path() != null
        || headers.contains(":protocol")
        || headers.getAll(":authority").size() != 1) {
      return bad(400, "CONNECT has an authority, and neither scheme, path nor protocol");
    }
    Optional<BindAddress> destination = destination(headers.authority());
    if (destination.isEmpty()) {
      return bad(400, "the authority is no address with a port");
    }
    List<CharSequence> baggage = headers.getAll("baggage");
    List<CharSequence> forwarded = headers.getAll("forwarded");
    if (forwarded.isEmpty()) {
      return new Good(new TunnelRequest(destination.get(), Optional.empty(), baggage));
    }
    // Only one who speaks of one client is understood: whoever says more is not guessed at.
    Optional<Address> client =
        forwarded.size() == 1 ? forwardedFor(forwarded.getFirst().toString()) : Optional.empty();
    return client.isPresent()
        ? new Good(new TunnelRequest(destination.get(), client, baggage))
        : bad(400, "the forwarded header does not say for=ADDRESS");
  }

  private static Result bad(int status, String why) {
    return new Bad(new Refused(status, why));
  }

  private static Optional<BindAddress> destination(CharSequence authority) {
    if (authority.length() > MAX_AUTHORITY) {
      return Optional.empty();
    }
    String text = authority.toString();
    int colon = text.lastIndexOf(':');
    if (colon < 1) {
      return Optional.empty();
    }
    Optional<Address> address = address(text.substring(0, colon));
    String digits = text.substring(colon + 1);
    if (address.isEmpty()
        || digits.isEmpty()
        || digits.length() > 5
        || !digits.chars().allMatch(c -> c >= '0' && c <= '9')) {
      return Optional.empty();
    }
    int port = Integer.parseInt(digits);
    return port >= 1 && port <= 65535
        ? Optional.of(new BindAddress(address, port))
        : Optional.empty();
  }

  /** RFC 7239 4: {@code for="[2001:db8::1]:4711";by=...}; only for is looked at. */
  private static Optional<Address> forwardedFor(String value) {
    if (value.length() > MAX_FORWARDED || value.indexOf(',') >= 0) {
      return Optional.empty();
    }
    for (String pair : value.split(";", -1)) {
      int equals = pair.indexOf('=');
      if (equals > 0 && pair.substring(0, equals).strip().toLowerCase(Locale.ROOT).equals("for")) {
        String node = pair.substring(equals + 1).strip();
        if (node.length() >= 2 && node.startsWith("\"") && node.endsWith("\"")) {
          node = node.substring(1, node.length() - 1);
        }
        // IPv6 is in brackets there, or its end could be taken for a port.
        Optional<Address> whole = address(node);
        int colon = node.lastIndexOf(':');
        return whole.isPresent() || colon < 0 ? whole : address(node.substring(0, colon));
      }
    }
    return Optional.empty();
  }

  private static Optional<Address> address(String text) {
    String bare = text;
    if (text.startsWith("[") && text.endsWith("]")) {
      bare = text.substring(1, text.length() - 1);
      if (bare.indexOf(':') < 0) {
        return Optional.empty();
      }
    } else if (text.indexOf(':') >= 0) {
      return Optional.empty();
    }
    return Address.parse(bare);
  }
}
