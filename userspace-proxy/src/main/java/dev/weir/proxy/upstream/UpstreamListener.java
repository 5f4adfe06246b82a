// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.upstream;

import io.netty.handler.codec.http.HttpContent;
import io.netty.handler.codec.http.HttpResponse;

/** Whose request an upstream connection carries. Called on the connection's event loop. */
public interface UpstreamListener {

  /** The connection is there; it is this listener's until released or closed. */
  void connected(UpstreamStream connection);

  /** There will be no connection; nothing was sent. */
  void connectFailed(Throwable cause);

  /** A response head, interim ones (1xx) included. */
  void response(HttpResponse response);

  /** Part of a response's body, with its reference. */
  void content(HttpContent content);

  /** Nothing more to read for now: what was written should be flushed. */
  void readComplete();

  /** {@link UpstreamStream#isWritable} changed. */
  void writabilityChanged();

  /** The connection ended. */
  void closed(Throwable cause);

  /** The backend did not look at the request: it may be sent again, whatever it is. */
  default void refused(Throwable cause) {
    closed(cause);
  }

  /**
   * The backend carries no other protocol in a stream of HTTP/2 (RFC 8441 3); nothing was sent to
   * it. HTTP/1.1 may be asked.
   */
  default void cannotSwitch() {
    closed(new Ended("the backend carries no WebSockets in HTTP/2", false));
  }

  /** What came is not HTTP as it should be; the connection is closed. */
  default void malformed(Throwable cause) {
    closed(cause);
  }
}
