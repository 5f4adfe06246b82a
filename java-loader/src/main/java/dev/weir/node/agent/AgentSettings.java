// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.agent;

import dev.weir.node.kernel.Places;
import dev.weir.node.telemetry.KernelMetrics;
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
 * @param telemetry what is told
 * @param auditInterval how often the kernel is compared with the plan
 */
public record AgentSettings(
    Places places,
    Path directory,
    ProxyCommand proxy,
    InetAddress scrapeAddress,
    boolean downOnExit,
    Duration quiet,
    Telemetry telemetry,
    Duration auditInterval) {

  /** Long enough for an editor to write a file in several steps. */
  public static final Duration DEFAULT_QUIET = Duration.ofMillis(10);

  /** What differs is found, and repaired, within this time. */
  public static final Duration DEFAULT_AUDIT_INTERVAL = Duration.ofSeconds(10);

  /** With what is told unless somebody says otherwise. */
  public AgentSettings(
      Places places,
      Path directory,
      ProxyCommand proxy,
      InetAddress scrapeAddress,
      boolean downOnExit,
      Duration quiet) {
    this(
        places,
        directory,
        proxy,
        scrapeAddress,
        downOnExit,
        quiet,
        Telemetry.DEFAULT,
        DEFAULT_AUDIT_INTERVAL);
  }

  /**
   * How much is told.
   *
   * @param series pairs, and kinds of refusals, with series of their own
   * @param flowLogBytes that the flow log may take in the state directory; 0 for none
   * @param flowInterval how often it is written
   */
  public record Telemetry(int series, long flowLogBytes, Duration flowInterval) {

    /** 500 series, 16 MiB, each ten seconds. */
    public static final Telemetry DEFAULT =
        new Telemetry(KernelMetrics.DEFAULT_SERIES, 16L << 20, Duration.ofSeconds(10));
  }
}
