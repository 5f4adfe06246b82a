// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.observe;

/** Which side of a connection counts, and what it knows of its protection, in Istio's words. */
public enum Reporter {
  /** Whoever asks is of this node; how the other side takes it is not his to say. */
  SOURCE("source", Peer.UNKNOWN),
  /** It came by a tunnel of another node: both sides have shown a certificate. */
  DESTINATION("destination", "mutual_tls");

  private final String text;
  private final String securityPolicy;

  Reporter(String text, String securityPolicy) {
    this.text = text;
    this.securityPolicy = securityPolicy;
  }

  String text() {
    return text;
  }

  String securityPolicy() {
    return securityPolicy;
  }
}
