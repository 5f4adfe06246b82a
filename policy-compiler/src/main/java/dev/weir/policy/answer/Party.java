// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.answer;

import dev.weir.policy.plan.Address;

/** One side of a connection. */
public sealed interface Party {

  /** How people call it. */
  String name();

  /**
   * A declared workload.
   *
   * @param index in the cluster
   * @param name {@code namespace/name}
   */
  record Declared(int index, String name) implements Party {}

  /** The node's own processes. */
  record Host() implements Party {
    @Override
    public String name() {
      return "host";
    }
  }

  /** Processes in a governed part of the node that nobody declared. */
  record Unknown() implements Party {
    @Override
    public String name() {
      return "unknown";
    }
  }

  /** The proxy itself. */
  record Proxy() implements Party {
    @Override
    public String name() {
      return "proxy";
    }
  }

  /** An address that belongs to no workload. */
  record Outside(Address address) implements Party {
    @Override
    public String name() {
      return address.toString();
    }
  }

  /**
   * A service.
   *
   * @param index in the steering
   * @param name {@code namespace/name}
   */
  record Virtual(int index, String name) implements Party {}
}
