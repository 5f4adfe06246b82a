// SPDX-License-Identifier: Apache-2.0
package dev.weir.node;

import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * Ports that nobody listens on yet. They are not from the range of connections' own ports (32768
 * and up, {@code ip_local_port_range}): one of those may be some client's by the time it is bound.
 */
public final class FreePorts {

  private static final int FIRST = 12_000;
  private static final int COUNT = 20_000;

  // Where tests that run beside these have not begun as well.
  private static final AtomicInteger NEXT =
      new AtomicInteger(ThreadLocalRandom.current().nextInt(COUNT));

  private FreePorts() {}

  /** One that no other call gave. */
  public static int next() throws IOException {
    for (int tries = 0; tries < 1000; tries++) {
      int port = FIRST + Math.floorMod(NEXT.getAndIncrement(), COUNT);
      try (ServerSocket probe = new ServerSocket()) {
        probe.bind(new InetSocketAddress(port));
        return port;
      } catch (IOException inUse) {
        // Then the next one.
      }
    }
    throw new IOException("no free port between " + FIRST + " and " + (FIRST + COUNT - 1));
  }
}
