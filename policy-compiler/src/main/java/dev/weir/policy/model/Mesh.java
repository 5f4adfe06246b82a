// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Block;
import dev.weir.policy.plan.Settings;
import dev.weir.policy.plan.Settings.Icmp;
import dev.weir.policy.plan.Settings.ManagementRule;
import dev.weir.policy.plan.Telemetry;
import dev.weir.policy.source.Position;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * A {@code weir.dev/v1alpha1 Mesh}: settings of this node.
 *
 * @param meta name and place
 * @param defaultDeny every workload is isolated both ways
 * @param hostGoverned processes outside every declared cgroup are judged like anybody
 * @param management what the governed host may always do
 * @param governedCgroups below these an undeclared process is unknown
 * @param audit nothing is refused, everything that would be is reported
 * @param refuseWithEperm connect fails with EPERM
 * @param icmp which governed workloads may have a ping socket
 * @param outboundPort the proxy's capture port
 * @param proxyCgroup where the proxy lives
 * @param metricsPort the node's scrape port
 * @param healthPort the node's health port
 * @param trustDomain first part of every principal, as {@code
 *     cluster.local/ns/NAMESPACE/sa/ACCOUNT}
 * @param rootNamespace whose AuthorizationPolicies and PeerAuthentications are about every
 *     namespace
 * @param trustPodAddresses whoever has the address of a pod elsewhere counts as that pod for
 *     NetworkPolicies; it still has no principal by it
 * @param telemetry what the proxy tells of each request
 * @param trustedProxies from where {@code x-forwarded-for} is believed at Gateways
 * @param tunnels how connections go from node to node; empty when they go as they are
 * @param budget what a plan may take
 */
public record Mesh(
    Meta meta,
    boolean defaultDeny,
    boolean hostGoverned,
    List<ManagementRule> management,
    List<Located<String>> governedCgroups,
    boolean audit,
    boolean refuseWithEperm,
    Icmp icmp,
    Located<Integer> outboundPort,
    Located<String> proxyCgroup,
    Located<Integer> metricsPort,
    Located<Integer> healthPort,
    String trustDomain,
    String rootNamespace,
    boolean trustPodAddresses,
    Telemetry telemetry,
    List<Block> trustedProxies,
    Optional<Tunnels> tunnels,
    Budget budget)
    implements Resource {
  /** Default of {@code proxy.outboundPort}. */
  public static final int OUTBOUND_PORT = 15001;

  /** Default of {@code metricsPort}. */
  public static final int METRICS_PORT = 15020;

  /** Default of {@code healthPort}. */
  public static final int HEALTH_PORT = 15021;

  /** Default of {@code proxy.cgroup}. */
  public static final String PROXY_CGROUP = "/weir-proxy";

  /** Default of {@code trustDomain}, Kubernetes' and Istio's. */
  public static final String TRUST_DOMAIN = Settings.TRUST_DOMAIN;

  /** Default of {@code rootNamespace}, Istio's. */
  public static final String ROOT_NAMESPACE = "istio-system";

  /** What holds when no file says anything. */
  public static Mesh defaults() {
    Position nowhere = new Position("", 0, 0);
    return new Mesh(
        new Meta("", "(default)", Map.of(), Map.of(), "", nowhere),
        false,
        false,
        List.of(),
        List.of(),
        false,
        false,
        Icmp.POLICY,
        new Located<>(OUTBOUND_PORT, nowhere, ""),
        new Located<>(PROXY_CGROUP, nowhere, ""),
        new Located<>(METRICS_PORT, nowhere, ""),
        new Located<>(HEALTH_PORT, nowhere, ""),
        TRUST_DOMAIN,
        ROOT_NAMESPACE,
        false,
        Telemetry.DEFAULT,
        List.of(),
        Optional.empty(),
        Budget.NONE);
  }

  /**
   * Connections from node to node within mutual TLS (HBONE).
   *
   * @param port at which those of other nodes are awaited
   * @param account {@code NAMESPACE/ACCOUNT} that this node shows; empty for each workload's own
   * @param peers other nodes
   * @param ambient whether pods that an ambient mesh has captured are reached by tunnels to their
   *     own addresses
   * @param authorities ConfigMaps or Secrets with {@code ca.crt}: whom to believe besides the files
   *     of identities
   */
  public record Tunnels(
      Located<Integer> port,
      String account,
      List<Peer> peers,
      boolean ambient,
      List<Reference> authorities) {
    /** Copies the lists. */
    public Tunnels {
      peers = List.copyOf(peers);
      authorities = List.copyOf(authorities);
    }
  }

  /**
   * A node to which connections go by tunnel.
   *
   * @param name of the node
   * @param address at which it awaits them
   * @param port at which it awaits them
   * @param account {@code NAMESPACE/ACCOUNT} that it shows; empty for each workload's own
   * @param workloads addresses of the workloads there; without any, its own
   */
  public record Peer(
      String name, Address address, int port, String account, List<Block> workloads) {
    /** Copies the list. */
    public Peer {
      workloads = List.copyOf(workloads);
    }

    /** Whether a workload with this address is there. */
    public boolean has(Address workload) {
      return workloads.isEmpty()
          ? address.equals(workload)
          : workloads.stream().anyMatch(block -> block.contains(workload));
    }
  }

  /** Copies the lists. */
  public Mesh {
    management = List.copyOf(management);
    governedCgroups = List.copyOf(governedCgroups);
    trustedProxies = List.copyOf(trustedProxies);
  }

  @Override
  public String kind() {
    return "Mesh";
  }
}
