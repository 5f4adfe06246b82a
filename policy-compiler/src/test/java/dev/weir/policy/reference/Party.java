// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.reference;

import dev.weir.policy.model.Workload;
import dev.weir.policy.plan.Address;

/** One end of a connection. */
public sealed interface Party {

  /** A workload that is known by its cgroup or by mutual TLS. */
  record Declared(Workload workload) implements Party {
    @Override
    public String toString() {
      return workload.meta().namespace() + "/" + workload.meta().name();
    }
  }

  /** The address of a workload elsewhere, which {@code Mesh.trustPodAddresses} tells to believe. */
  record TrustedAddress(Workload workload, Address address) implements Party {}

  /** Any other address. */
  record Outside(Address address) implements Party {}

  /** Undeclared, below a governed cgroup. */
  record Unknown() implements Party {}

  /** The node's other processes. */
  record Host() implements Party {}
}
