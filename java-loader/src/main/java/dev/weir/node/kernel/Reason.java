// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

/** Why a connection was refused; the ordinal is {@code enum weir_reason}. */
public enum Reason {
  /** Not refused. */
  NONE,
  /** A rule says refuse. */
  POLICY,
  /** Isolated, and no rule allows it. */
  DEFAULT_DENY,
  /** The socket was made by another workload. */
  BIRTH,
  /** The service has no ready backend. */
  NO_BACKEND,
  /** The port was declared by another workload. */
  PORT_OWNED,
  /** No generation is readable. */
  NO_GENERATION,
  /** A protocol that cannot be governed. */
  PROTOCOL,
  /** Allowed, but more than a TrafficPolicy lets through. */
  RATE_LIMIT,
  /** No proxy listens in the network namespace that asked. */
  NO_PROXY
}
