// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.plan;

import java.util.List;

/**
 * What {@code Mesh} says about this node.
 *
 * @param mesh {@code namespace/name} of the Mesh, or {@code (default)}
 * @param defaultDeny every workload is isolated both ways unless a rule allows
 * @param hostGoverned processes outside every declared cgroup are judged like anybody
 * @param managementAllow with {@code hostGoverned}: what the host may always do; not empty then
 * @param governedCgroups paths from the cgroup2 root below which an undeclared process is unknown
 * @param audit nothing is refused, everything that would be is reported
 * @param refuseWithEperm connect fails with EPERM instead of ECONNREFUSED
 * @param outboundPort the proxy's capture port on loopback
 * @param metricsPort the node's scrape port
 * @param healthPort the node's health port
 * @param proxyCgroup path from the cgroup2 root in which the proxy lives
 * @param mapBytes what all kernel maps together are to take at most; those that fill up at run time
 *     are sized by it
 * @param icmp which governed workloads may have a ping socket
 * @param trustDomain first part of every principal
 * @param telemetry what the proxy tells of each request
 * @param trustedProxies from where {@code x-forwarded-for} is believed at Gateways
 */
public record Settings(
    String mesh,
    boolean defaultDeny,
    boolean hostGoverned,
    List<ManagementRule> managementAllow,
    List<String> governedCgroups,
    boolean audit,
    boolean refuseWithEperm,
    int outboundPort,
    int metricsPort,
    int healthPort,
    String proxyCgroup,
    int mapBytes,
    Icmp icmp,
    String trustDomain,
    Telemetry telemetry,
    List<Block> trustedProxies) {

  /** What all kernel maps together may take, unless the Mesh says otherwise. */
  public static final int MAP_BYTES = 8 << 20;

  /** Default of {@code trustDomain}, Kubernetes' and Istio's. */
  public static final String TRUST_DOMAIN = "cluster.local";

  /** Which governed workloads may have a ping socket (ICMP echo without privilege). */
  public enum Icmp {
    /** Those that may go anywhere: no policy in force isolates them for egress. */
    POLICY,
    /** All. */
    ALLOW,
    /** None. */
    REFUSE
  }

  /**
   * With the usual {@link #MAP_BYTES}, no trusted proxies, and the defaults of {@code icmp}, {@code
   * trustDomain} and {@code telemetry}.
   */
  public Settings(
      String mesh,
      boolean defaultDeny,
      boolean hostGoverned,
      List<ManagementRule> managementAllow,
      List<String> governedCgroups,
      boolean audit,
      boolean refuseWithEperm,
      int outboundPort,
      int metricsPort,
      int healthPort,
      String proxyCgroup) {
    this(
        mesh,
        defaultDeny,
        hostGoverned,
        managementAllow,
        governedCgroups,
        audit,
        refuseWithEperm,
        outboundPort,
        metricsPort,
        healthPort,
        proxyCgroup,
        MAP_BYTES,
        Icmp.POLICY,
        TRUST_DOMAIN,
        Telemetry.DEFAULT,
        List.of());
  }

  /** Copies the lists. */
  public Settings {
    managementAllow = List.copyOf(managementAllow);
    governedCgroups = List.copyOf(governedCgroups);
    trustedProxies = List.copyOf(trustedProxies);
  }

  /**
   * Whether a port is the agent's own: for scrapes and probes of the host, and of no workload. It
   * is judged as the proxy's own ports are.
   */
  public boolean servedByAgent(PortOwner owner) {
    return owner.workload() == Reserved.HOST.index()
        && !owner.apart()
        && owner.protocol() == Protocol.TCP
        && (owner.port() == metricsPort || owner.port() == healthPort);
  }

  /**
   * One thing the governed host may do.
   *
   * @param direction to or from this node
   * @param protocol transport
   * @param port destination port, 0 for any
   */
  public record ManagementRule(Direction direction, Protocol protocol, int port) {}

  /** Seen from this node. */
  public enum Direction {
    /** Connections others make to the host. */
    INGRESS,
    /** Connections the host makes. */
    EGRESS
  }
}
