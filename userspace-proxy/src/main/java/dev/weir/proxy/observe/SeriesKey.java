// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.observe;

/**
 * What requests are told apart by.
 *
 * @param route {@code namespace/name}; empty when none
 * @param source who asked
 * @param destination who answered, or the service when no backend was chosen
 * @param service host name of the service asked for
 * @param serviceName first part of it
 * @param serviceNamespace namespace of it
 * @param code status
 * @param grpcStatus of a call of gRPC, 0 to 16; -1 of any other request
 * @param flags Envoy's response flags; {@code -} when none
 * @param reporter whose side this is
 */
public record SeriesKey(
    String route,
    Peer source,
    Peer destination,
    String service,
    String serviceName,
    String serviceNamespace,
    int code,
    int grpcStatus,
    String flags,
    Reporter reporter) {

  /** Where requests are counted when there are too many kinds of them. */
  static final SeriesKey OVERFLOW =
      new SeriesKey(
          "overflow",
          new Peer("overflow", "overflow", "overflow", "overflow"),
          new Peer("overflow", "overflow", "overflow", "overflow"),
          "overflow",
          "overflow",
          "overflow",
          0,
          -1,
          "-",
          Reporter.SOURCE);
}
