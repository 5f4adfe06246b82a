// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.observe;

/**
 * What connections that are led on as they are are told apart by.
 *
 * @param source who connects
 * @param destination who accepts, or the service when no backend was reached
 * @param service host name of the service asked for
 * @param serviceName first part of it
 * @param serviceNamespace namespace of it
 * @param flags Envoy's response flags; {@code -} when none
 * @param reporter whose side this is
 */
public record StreamKey(
    Peer source,
    Peer destination,
    String service,
    String serviceName,
    String serviceNamespace,
    String flags,
    Reporter reporter) {

  /** Where connections are counted when there are too many kinds of them. */
  static final StreamKey OVERFLOW =
      new StreamKey(
          new Peer("overflow", "overflow", "overflow", "overflow"),
          new Peer("overflow", "overflow", "overflow", "overflow"),
          "overflow",
          "overflow",
          "overflow",
          "-",
          Reporter.SOURCE);
}
