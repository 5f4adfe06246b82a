// SPDX-License-Identifier: Apache-2.0
package dev.weir.perf.proxy;

/** What clients speak with the proxies under test; backends are always asked in plain HTTP/1.1. */
public enum Front {
  /** HTTP/1.1 with keep-alive. */
  PLAIN("plain", "plain HTTP"),
  /** The same within TLS 1.3. */
  TLS("tls", "TLS 1.3"),
  /** The same, and clients show certificates. */
  MUTUAL_TLS("mutual-tls", "mutual TLS 1.3"),
  /** HTTP/2 in plain text, several requests at once on each connection. */
  HTTP_2("http2", "HTTP/2");

  private final String id;
  private final String text;

  Front(String id, String text) {
    this.id = id;
    this.text = text;
  }

  String id() {
    return id;
  }

  String text() {
    return text;
  }

  /** Whether clients begin with a handshake. */
  boolean encrypted() {
    return this == TLS || this == MUTUAL_TLS;
  }
}
