// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.agent;

import dev.weir.node.kernel.Places;
import java.net.InetAddress;
import java.nio.file.Path;
import java.time.Duration;

/**
 * How an agent runs; what it enforces is in the policy files.
 *
 * @param places of the mesh
 * @param directory with the policy files
 * @param proxy how the proxy is started
 * @param scrapeAddress where metrics and health are served; ports are the policy's
 * @param downOnExit whether everything is removed when the agent is told to end, instead of left in
 *     force
 * @param quiet how long no file may have changed before the files are read again
 */
public record AgentSettings(
    Places places,
    Path directory,
    ProxyCommand proxy,
    InetAddress scrapeAddress,
    boolean downOnExit,
    Duration quiet) {

  /** Long enough for an editor to write a file in several steps. */
  public static final Duration DEFAULT_QUIET = Duration.ofMillis(30);
}
