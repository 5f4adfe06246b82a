// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import dev.weir.node.bpf.BpfProgram;

/**
 * Counts what open connections have carried, in the rows of their pairs, just before these are
 * read. The kernel does it ({@code weir_count_open}, one walk over the storage of all sockets, of
 * every network namespace) and remembers on each socket what it has counted, so that it is counted
 * once, whoever reads and however often, and the close adds the rest.
 */
final class OpenConnections {

  static final String PROGRAM = "weir_count_open";

  private OpenConnections() {}

  static void count(Mesh mesh, Pins pins) {
    try (BpfProgram program = BpfProgram.open(pins.program(PROGRAM))) {
      program.iterate(mesh.map(Mesh.SOCKETS));
    }
  }
}
