// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.rbac;

import dev.weir.policy.plan.Address;
import java.util.Optional;

/**
 * What is known of one connection or request. Text that is absent is empty, an address that is
 * absent is {@link #NOWHERE}; what is absent matches no value and every not-value passes it by.
 */
public interface Attributes {

  /** No address: the unspecified one, which no peer has. */
  Address NOWHERE = new Address(0, 0);

  /** No port. */
  int NO_PORT = -1;

  /** Whether this is an HTTP request; a connection has nothing of what only requests have. */
  boolean isRequest();

  /** Who the peer is authenticated as. */
  Principal principal();

  /** Address of the peer. */
  Address sourceAddress();

  /** Address of the original client; the peer's where no proxy is trusted to tell. */
  Address remoteAddress();

  /** Address of the destination workload. */
  Address destinationAddress();

  /** Port of the destination workload, or {@link #NO_PORT}. */
  int destinationPort();

  /** Server name of the TLS client hello. */
  String serverName();

  /** Authority as the request has it, with its port if it has one. */
  String host();

  /** Method; of gRPC always POST. */
  String method();

  /** Normalised path without query. */
  String path();

  /** Normalised path with query. */
  String target();

  /**
   * A header's value; several fields of the name joined with commas, as Envoy compares them.
   *
   * @param name in lower case
   */
  Optional<String> header(String name);

  /** The verified token of the request. */
  Token token();
}
