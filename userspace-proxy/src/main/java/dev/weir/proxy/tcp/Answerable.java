// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.tcp;

/**
 * A client's connection that waits for an answer before anything goes over it, as a stream of a
 * tunnel does. Closing it before it is accepted refuses it.
 */
public interface Answerable {

  /** There is somebody at the other end. */
  void accept();

  /**
   * Says why it will be closed.
   *
   * @param status of HTTP
   */
  void refuse(int status);
}
