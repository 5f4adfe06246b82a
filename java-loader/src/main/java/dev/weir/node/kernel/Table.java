// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import dev.weir.node.bpf.BpfMap;

/** The tables of a generation: arrays of two maps, by the names of {@code weir/maps.h}. */
enum Table {
  /** What holds for the whole generation. */
  GENERATIONS(BpfMap.Type.ARRAY),
  /** By stable number. */
  WORKLOADS(BpfMap.Type.ARRAY),
  /** By index. */
  IDENTITIES(BpfMap.Type.ARRAY),
  /** Buckets. */
  VERDICTS(BpfMap.Type.ARRAY),
  /** Stable numbers by index. */
  RULES(BpfMap.Type.ARRAY),
  /** By virtual address. */
  SERVICES(BpfMap.Type.HASH),
  /** Backends by slot, in chunks. */
  SLOTS(BpfMap.Type.ARRAY),
  /** By index. */
  BACKENDS(BpfMap.Type.ARRAY),
  /** By address. */
  ENDPOINTS(BpfMap.Type.HASH),
  /** By prefix. */
  CIDRS(BpfMap.Type.LPM_TRIE),
  /** By network namespace, protocol and port. */
  PORTS(BpfMap.Type.HASH),
  /** Classes by port, in chunks. */
  PORT_CLASSES(BpfMap.Type.ARRAY),
  /** By destination, port and protocol. */
  LIMITS(BpfMap.Type.HASH),
  /** By identity and the beginning of a port. */
  STRICT_PORTS(BpfMap.Type.LPM_TRIE);

  private final BpfMap.Type type;

  Table(BpfMap.Type type) {
    this.type = type;
  }

  /** Name of the outer map. */
  String map() {
    return name().toLowerCase(java.util.Locale.ROOT);
  }

  /** Of the inner maps. */
  BpfMap.Type type() {
    return type;
  }

  /** Of the inner maps: the kernel takes only maps like the template of {@code weir/maps.h}. */
  int flags() {
    return type == BpfMap.Type.ARRAY ? BpfMap.INNER_MAP : BpfMap.NO_PREALLOC;
  }
}
