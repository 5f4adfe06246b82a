// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.http;

import dev.weir.policy.plan.Address;
import dev.weir.proxy.outbound.Generation;
import dev.weir.proxy.outbound.Source;
import io.netty.handler.codec.http.HttpHeaders;
import io.netty.util.AsciiString;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * The headers that tell a backend about the client. What a client says of others counts where it is
 * a workload of this mesh or a trusted proxy before a Gateway; from anybody else it is dropped.
 */
final class ForwardedHeaders {

  private static final AsciiString X_FORWARDED_FOR = AsciiString.cached("x-forwarded-for");
  private static final AsciiString X_FORWARDED_PROTO = AsciiString.cached("x-forwarded-proto");
  private static final AsciiString X_FORWARDED_CLIENT_CERT =
      AsciiString.cached("x-forwarded-client-cert");

  /** The same to a backend that makes variables of headers (RFC 3875 4.1.18). */
  private static final List<AsciiString> CLIENT_CERT_ALIKE =
      Stream.of(
              "x_forwarded-client-cert",
              "x-forwarded_client-cert",
              "x-forwarded-client_cert",
              "x_forwarded_client-cert",
              "x_forwarded-client_cert",
              "x-forwarded_client_cert",
              "x_forwarded_client_cert")
          .map(AsciiString::cached)
          .toList();

  private static final AsciiString HTTP = AsciiString.cached("http");
  private static final AsciiString HTTPS = AsciiString.cached("https");

  private ForwardedHeaders() {}

  /**
   * Makes those of a request that goes on.
   *
   * @param certificate what is told of the client's certificate, if it showed one that is believed
   */
  static void write(
      HttpHeaders headers, Client client, Source asks, Optional<AsciiString> certificate) {
    AsciiString peer = client.peerText();
    boolean told = (asks.workload() || client.behindProxy()) && headers.contains(X_FORWARDED_FOR);
    headers.set(
        X_FORWARDED_FOR,
        told ? String.join(", ", headers.getAll(X_FORWARDED_FOR)) + ", " + peer : peer);
    headers.set(X_FORWARDED_PROTO, proto(headers, client));
    if (certificate.isPresent()) {
      headers.set(X_FORWARDED_CLIENT_CERT, certificate.get());
    } else {
      headers.remove(X_FORWARDED_CLIENT_CERT);
    }
    for (int i = 0; i < CLIENT_CERT_ALIKE.size(); i++) {
      headers.remove(CLIENT_CERT_ALIKE.get(i));
    }
  }

  private static AsciiString proto(HttpHeaders headers, Client client) {
    List<String> told = client.behindProxy() ? headers.getAll(X_FORWARDED_PROTO) : List.of();
    boolean https =
        told.size() == 1 && (told.getFirst().equals("http") || told.getFirst().equals("https"))
            ? told.getFirst().equals("https")
            : client.tls();
    return https ? HTTPS : HTTP;
  }

  /**
   * The original client of what a trusted proxy asks, before {@link #write}: the last address of
   * {@code x-forwarded-for} that is not a trusted proxy's. Each of those appended what it saw
   * itself, so nobody before them can put himself there. Where one wrote what is no address, it is
   * that proxy: nobody knows of anybody else.
   */
  static Address originalClient(HttpHeaders headers, Client client, Generation within) {
    Address known = client.origin().peer();
    List<String> fields = headers.getAll(X_FORWARDED_FOR);
    for (int i = fields.size() - 1; i >= 0; i--) {
      String[] told = fields.get(i).split(",", -1);
      for (int j = told.length - 1; j >= 0; j--) {
        Optional<Address> next = address(told[j].strip());
        if (next.isEmpty()) {
          return known;
        }
        known = next.get();
        if (!within.trustsProxy(known)) {
          return known;
        }
      }
    }
    return known;
  }

  /** An address as proxies write it: with or without a port, of IPv6 in brackets if with one. */
  private static Optional<Address> address(String text) {
    if (text.startsWith("[")) {
      int end = text.indexOf(']');
      return end < 0 ? Optional.empty() : Address.parse(text.substring(1, end));
    }
    int colon = text.indexOf(':');
    return Address.parse(
        colon >= 0 && colon == text.lastIndexOf(':') ? text.substring(0, colon) : text);
  }
}
