// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import dev.weir.policy.plan.AccessPlan;
import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Backend;
import dev.weir.policy.plan.Endpoint;
import dev.weir.policy.plan.Hbone;
import dev.weir.policy.plan.Identity;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.PortOwner;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.ProxyPlan;
import dev.weir.policy.plan.ProxyPlan.Cluster;
import dev.weir.policy.plan.ProxyPlan.L4Route;
import dev.weir.policy.plan.ProxyPlan.VirtualService;
import dev.weir.policy.plan.ProxyPlan.WeightedBackend;
import dev.weir.policy.plan.ProxyUpdate;
import dev.weir.policy.plan.Rule;
import dev.weir.policy.plan.Settings;
import dev.weir.policy.plan.TlsKeyPair;
import dev.weir.policy.plan.Verdict;
import dev.weir.policy.plan.Workload;
import dev.weir.proxy.identity.IdentityStore;
import dev.weir.proxy.listen.OriginSource;
import dev.weir.proxy.observe.AccessLog;
import dev.weir.proxy.observe.Log;
import dev.weir.proxy.outbound.SessionKeyFile;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;

/**
 * A node's proxy with tunnels: {@code shop/web} (number 16) lives on one node and {@code shop/cart}
 * (number 18) on another, at 127.0.0.1. The same policies hold on both.
 */
final class TunnelNode implements AutoCloseable {

  static final Address VIP = Address.ofV4(0x0a600005);
  static final int WEB_IDENTITY = 8;
  static final int CART_IDENTITY = 9;

  private static final int WEB = 5;
  private static final int CART = 7;

  final Proxy proxy;
  final int capture;
  final int tunnels;
  private final ByteArrayOutputStream log = new ByteArrayOutputStream();
  private final Log lines = new Log(new PrintStream(log, true, StandardCharsets.UTF_8));
  private long generation;

  /** What its policies say. */
  static final class Policy {
    /** Where tunnels lead; empty account: who is there shows the destination's. */
    Optional<Hbone.Peer> peer = Optional.empty();

    /** Where tunnels for other addresses of cart lead, before that peer and after it. */
    List<Hbone.Peer> elsewhere = List.of();

    /** Port of cart. */
    int port;

    /** This node has cart, else web. */
    boolean cart;

    /** Cart takes connections only by these. */
    List<Verdict> verdicts = List.of();

    AccessPlan access = AccessPlan.NONE;
    String account = "";

    /** The service's routes look at requests. */
    boolean requests;

    /** Workloads elsewhere that have web's service account, by address. */
    List<Address> webs = List.of(Address.ofV4(0x0a090001));

    /** Certificates that come with the plan, and whom it says to believe. */
    List<TlsKeyPair> secrets = List.of();

    List<String> authorities = List.of();

    boolean apartWebs;

    /** The last of them is the first that the plan names. */
    boolean lastWebFirst;

    boolean hbone = true;
  }

  /** Where the client's connections want to go. */
  volatile OriginSource.Handover origin = new OriginSource.Handover(VIP, 80, 16);

  TunnelNode(Identities identities) throws IOException {
    this(identities, InstantSource.system());
  }

  TunnelNode(Identities identities, InstantSource clock) throws IOException {
    this(identities, clock, FreePorts.next());
  }

  TunnelNode(Identities identities, InstantSource clock, int tunnels) throws IOException {
    this.capture = FreePorts.next();
    this.tunnels = tunnels;
    this.proxy =
        new Proxy(
            1,
            channel -> Optional.of(origin),
            System::nanoTime,
            lines,
            new AccessLog(OutputStream.nullOutputStream()),
            new SessionKeyFile(Optional.empty()),
            new IdentityStore(Optional.of(identities.directory()), clock, lines));
  }

  String log() {
    return log.toString(StandardCharsets.UTF_8);
  }

  Client client() throws IOException {
    return new Client(capture);
  }

  /** This node as those see it who make tunnels to it. */
  Hbone.Peer peer(String account) {
    return new Hbone.Peer("west", Address.LOOPBACK4, tunnels, account);
  }

  void apply(Policy policy) throws Exception {
    proxy.update(update(policy));
  }

  ProxyUpdate update(Policy policy) {
    List<Workload> workloads = new ArrayList<>();
    for (String reserved : List.of("any", "unknown", "host", "outside", "proxy")) {
      workloads.add(
          new Workload("", reserved, "Reserved", workloads.size(), List.of(), false, "", "", ""));
    }
    workloads.add(workload("web", "Workload", WEB_IDENTITY, "web"));
    workloads.add(workload("cart", "Service", 10, ""));
    workloads.add(workload("cart", "Workload", CART_IDENTITY, "cart"));
    List<Endpoint> endpoints = new ArrayList<>();
    if (policy.cart) {
      for (int i = 0; i < policy.webs.size(); i++) {
        int index = WEB;
        if (i > 0) {
          index = workloads.size();
          workloads.add(
              workload("web-" + i, "Workload", policy.apartWebs ? 11 : WEB_IDENTITY, "web"));
        }
        endpoints.add(new Endpoint(policy.webs.get(i), index, true));
      }
      if (policy.lastWebFirst) {
        Collections.reverse(endpoints);
      }
    } else {
      endpoints.add(new Endpoint(Address.LOOPBACK4, CART, true));
    }
    boolean isolated = !policy.verdicts.isEmpty();
    List<Identity> identities = new ArrayList<>();
    for (int i = 0; i < Identity.FIRST; i++) {
      identities.add(new Identity("reserved " + i, false, false, 0, 0));
    }
    identities.add(new Identity("web", false, false, 0, 0));
    identities.add(new Identity("cart", isolated, false, isolated ? 2 : 0, 0));
    identities.add(new Identity("cart service", false, false, 0, 0));
    identities.add(new Identity("other webs", false, false, 0, 0));
    WeightedBackend all = new WeightedBackend(0, 1, List.of());
    VirtualService service =
        new VirtualService(
            6,
            List.of(VIP),
            80,
            policy.requests ? List.of(Mesh.route(Mesh.weighted(Mesh.any(), 1))) : List.of(),
            policy.requests
                ? List.of()
                : List.of(new L4Route("shop/cart", 1, List.of(), List.of(all))),
            List.of());
    Cluster cluster =
        new Cluster(6, 80, "shop/cart:80", List.of(1), List.of(CART), "", Optional.empty());
    List<Hbone.Peer> peers = new ArrayList<>(policy.elsewhere);
    policy.peer.ifPresent(peers::add);
    peers.addAll(policy.elsewhere);
    Hbone hbone =
        new Hbone(
            tunnels,
            policy.account,
            peers,
            IntStream.range(0, peers.size()).mapToObj(i -> new Hbone.Through(CART, i)).toList(),
            policy.secrets.stream().map(TlsKeyPair::name).toList(),
            policy.authorities);
    Plan plan =
        new Plan(
            new Settings(
                "(default)",
                false,
                false,
                List.of(),
                List.of(),
                false,
                false,
                capture,
                0,
                0,
                "/proxy"),
            workloads,
            identities,
            List.of(
                new Rule("Mesh", "", "default", "", "", 0),
                new Rule("HTTPRoute", "shop", "cart", "", "route.yaml", 1),
                new Rule("NetworkPolicy", "shop", "cart", "", "policy.yaml", 12)),
            policy.verdicts,
            List.of(),
            List.of(),
            List.of(
                new Backend(Address.LOOPBACK4, 0, 0, 0),
                new Backend(Address.LOOPBACK4, policy.port, CART, CART_IDENTITY)),
            endpoints,
            List.of(),
            policy.cart ? List.of(new PortOwner(Protocol.TCP, policy.port, CART)) : List.of(),
            new ProxyPlan(
                List.of(),
                policy.cart ? List.of() : List.of(service),
                List.of(cluster),
                policy.access,
                policy.hbone ? Optional.of(hbone) : Optional.empty()));
    return new ProxyUpdate(
        ++generation,
        plan,
        IntStream.range(0, workloads.size())
            .mapToObj(i -> i < Workload.RESERVED ? i : i + 11)
            .toList(),
        policy.secrets);
  }

  private static Workload workload(String name, String kind, int identity, String account) {
    return new Workload("shop", name, kind, identity, List.of(), false, account, name, "");
  }

  /** A row about cart's port. */
  static Verdict verdict(int source, int port, Verdict.Decision decision) {
    return new Verdict(source, CART_IDENTITY, Protocol.TCP, port, decision, 2);
  }

  /** The value of a metric's sample; -1 without it. */
  long sample(String name) {
    return proxy
        .metrics()
        .lines()
        .filter(line -> line.startsWith(name + " "))
        .findFirst()
        .map(line -> Long.parseLong(line.substring(line.lastIndexOf(' ') + 1)))
        .orElse(-1L);
  }

  @Override
  public void close() {
    proxy.close();
  }
}
