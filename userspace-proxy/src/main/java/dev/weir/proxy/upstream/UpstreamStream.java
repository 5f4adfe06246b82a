// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.upstream;

import io.netty.handler.codec.http.HttpObject;

/**
 * One request at a backend: a connection of HTTP/1.1 for as long as it lasts, or one stream of
 * HTTP/2. For the event loop of the client connection that it serves. After {@link #release},
 * {@link #discard} or {@link #close} it is nobody's any more.
 */
public interface UpstreamStream {

  /** Where it leads. */
  Endpoint endpoint();

  /**
   * Whether the backend may have gone away since it was last heard of, without knowing of the
   * request: as one may that carried another one before.
   */
  boolean reused();

  /** Says whether the request is a HEAD, whose response has no body. */
  void expectHead(boolean head);

  /** Queues a part of the request; takes its reference. */
  void write(HttpObject object);

  /** Sends what is queued. */
  void flush();

  /** Whether more may be queued. */
  boolean isWritable();

  /** Reads on or pauses: backpressure from a slow client. */
  void reading(boolean on);

  /**
   * The backend has switched protocols: from here on content is bytes of another one, both ways.
   *
   * @param told tells whoever asked; what he sends with it may go out then, and nothing comes
   *     before
   */
  void upgrade(Runnable told);

  /** The request and its response are complete. */
  void release();

  /**
   * The request is complete and its response is not wanted.
   *
   * @param keepAlive whether the connection may serve others, as far as is known
   */
  void discard(boolean keepAlive);

  /** Something is left unfinished, and will be. */
  void close();
}
