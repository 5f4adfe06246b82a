// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.http;

import dev.weir.proxy.outbound.Source;
import io.netty.handler.codec.http.HttpHeaders;
import io.netty.util.AsciiString;

/**
 * The headers that tell a backend about the client. What a client says of itself counts only where
 * it is a workload of this mesh, and then only of whom it speaks for.
 */
final class ForwardedHeaders {

  private static final AsciiString X_FORWARDED_FOR = AsciiString.cached("x-forwarded-for");
  private static final AsciiString X_FORWARDED_PROTO = AsciiString.cached("x-forwarded-proto");
  private static final AsciiString X_FORWARDED_CLIENT_CERT =
      AsciiString.cached("x-forwarded-client-cert");
  private static final AsciiString HTTP = AsciiString.cached("http");
  private static final AsciiString HTTPS = AsciiString.cached("https");

  private ForwardedHeaders() {}

  /** Makes those of a request that goes on. */
  static void write(HttpHeaders headers, Client client, Source asks) {
    AsciiString peer = client.peerText();
    boolean told = asks.workload() && headers.contains(X_FORWARDED_FOR);
    headers.set(
        X_FORWARDED_FOR,
        told ? String.join(", ", headers.getAll(X_FORWARDED_FOR)) + ", " + peer : peer);
    headers.set(X_FORWARDED_PROTO, client.tls() ? HTTPS : HTTP);
    headers.remove(X_FORWARDED_CLIENT_CERT);
  }
}
