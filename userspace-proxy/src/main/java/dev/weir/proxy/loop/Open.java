// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.loop;

/**
 * A connection that is open, as the status tells it.
 *
 * @param kind what it is to the proxy
 * @param at of a client's, the listener it came in by; of a tunnel, the other node
 * @param what of a client's, the protocol that it speaks; of a tunnel, the principal in whose name
 *     it is
 */
public record Open(Kind kind, String at, String what) {

  /** What a connection is to the proxy. */
  public enum Kind {
    /** Somebody who asks for something. */
    CLIENT,
    /** A tunnel that another node has made. */
    TUNNEL_IN,
    /** A tunnel to another node. */
    TUNNEL_OUT
  }

  /** A client's. */
  public static Open client(String listener, String protocol) {
    return new Open(Kind.CLIENT, listener, protocol);
  }
}
