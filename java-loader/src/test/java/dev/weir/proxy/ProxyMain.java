// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import dev.weir.node.agent.StandInProxy;
import java.io.IOException;
import java.nio.file.Path;

/** Bears the name of the real proxy's main class, for tests of the agent: see StandInProxy. */
public final class ProxyMain {

  private ProxyMain() {}

  public static void main(String[] arguments) throws IOException, InterruptedException {
    StandInProxy.serve(Path.of(arguments[1]));
  }
}
