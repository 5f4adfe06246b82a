// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Block;
import dev.weir.policy.plan.Hbone;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.Settings.Direction;
import dev.weir.policy.plan.Settings.Icmp;
import dev.weir.policy.plan.Settings.ManagementRule;
import dev.weir.policy.plan.Telemetry;
import dev.weir.policy.plan.Telemetry.AccessLog;
import dev.weir.policy.plan.Telemetry.Tracing;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import java.util.regex.Pattern;

/** Reads our own kinds: {@code Workload} and {@code Mesh}. */
final class NodeReader {

  /** Longest path from the cgroup2 root: the kernel's table holds 256 bytes with a final NUL. */
  private static final int MAX_CGROUP = 255;

  private static final Pattern UNIT =
      Pattern.compile("[A-Za-z0-9:_.\\\\-]+(@[A-Za-z0-9:_.\\\\-]*)?\\.(service|scope|slice)");
  private static final Pattern SOCKET =
      Pattern.compile("[A-Za-z0-9:_.\\\\-]+(@[A-Za-z0-9:_.\\\\-]*)?\\.socket");
  private static final Pattern SLICE = Pattern.compile("[A-Za-z0-9:_.\\\\-]+\\.slice");

  /** SPIFFE ID, 2.1: the characters of a trust domain. */
  private static final Pattern TRUST_DOMAIN = Pattern.compile("[a-z0-9._-]+");

  private static final Pattern ACCOUNT =
      Pattern.compile("[a-z0-9]([-a-z0-9]*[a-z0-9])?/[a-z0-9]([-a-z0-9.]*[a-z0-9])?");

  private NodeReader() {}

  static Optional<Resource> workload(Meta meta, Fields object) {
    object.ignore("apiVersion", "kind", "metadata", "status");
    Optional<Fields> found = object.mapping("spec");
    object.finish();
    if (found.isEmpty()) {
      object.error("spec", "is missing", "say where it lives: cgroup or systemdUnit");
      return Optional.empty();
    }
    Fields spec = found.get();
    boolean remote =
        !spec.has("cgroup")
            && !spec.has("systemdUnit")
            && (spec.has("address") || spec.has("addresses"));
    Optional<Located<String>> cgroup = remote ? Optional.empty() : home(spec);
    List<Located<Address>> addresses = addresses(spec);
    if (remote && spec.has("slice")) {
      spec.error("slice", "means nothing without systemdUnit", "remove it");
    }
    List<Located<String>> sockets = sockets(spec);
    if (remote && spec.has("systemdSockets")) {
      spec.error("systemdSockets", "means nothing without systemdUnit or cgroup", "remove it");
    }
    spec.unsupported("node", "a workload without cgroup and systemdUnit runs elsewhere");
    List<Workload.Port> ports = ports(spec);
    String serviceAccount = spec.text("serviceAccountName", "");
    boolean handsOut = spec.bool("handsOutSockets", false);
    spec.finish();
    if (cgroup.isEmpty() && !remote) {
      return Optional.empty();
    }
    if (remote && handsOut) {
      spec.error(
          "handsOutSockets", "means nothing for a workload that runs elsewhere", "remove it");
    }
    return Optional.of(
        new Workload(
            meta,
            "Workload",
            Optional.empty(),
            serviceAccount,
            cgroup,
            sockets,
            addresses,
            ports,
            handsOut,
            false));
  }

  /** {@code address}, or {@code addresses} of one or two families. */
  private static List<Located<Address>> addresses(Fields spec) {
    List<Located<Address>> addresses = new ArrayList<>();
    Optional<Located<String>> single = spec.string("address");
    List<Located<String>> several = spec.strings("addresses");
    if (single.isPresent() && !several.isEmpty()) {
      spec.error("addresses", "stands beside address", "write one of the two");
    }
    for (Located<String> text : single.map(List::of).orElse(several)) {
      Optional<Address> parsed = Address.parse(text.value());
      if (parsed.isEmpty() || parsed.get().isLoopback()) {
        spec.error(
            single.isPresent() ? "address" : "addresses",
            "\"" + text.value() + "\" is not an address of its own",
            "leave it out for a workload on this node's loopback");
      } else {
        addresses.add(new Located<>(parsed.get(), text.at(), text.field()));
      }
    }
    return addresses;
  }

  private static Optional<Located<String>> home(Fields spec) {
    Optional<Located<String>> path = cgroup(spec, "cgroup");
    Optional<Located<String>> unit = spec.string("systemdUnit");
    Optional<Located<String>> slice = spec.string("slice");
    if (slice.isPresent() && unit.isEmpty()) {
      spec.error("slice", "means nothing without systemdUnit", "remove it");
    }
    if (spec.has("cgroup") == spec.has("systemdUnit")) {
      spec.error(
          spec.has("cgroup") ? "has both cgroup and systemdUnit" : "does not say where it lives",
          "write one of: cgroup: /path from the cgroup2 root, or systemdUnit: name.service; only"
              + " address: for what runs elsewhere");
      return Optional.empty();
    }
    if (unit.isEmpty()) {
      return path;
    }
    Located<String> name = unit.get();
    if (!UNIT.matcher(name.value()).matches()) {
      spec.error(
          "systemdUnit",
          "\"" + name.value() + "\" is no unit that has a cgroup",
          "as name.service or name@instance.service");
      return Optional.empty();
    }
    if (slice.isPresent() && !SLICE.matcher(slice.get().value()).matches()) {
      spec.error("slice", "\"" + slice.get().value() + "\" is no slice", "as name.slice");
      return Optional.empty();
    }
    String own = UnitCgroups.path(name.value(), slice.map(Located::value));
    return Optional.of(new Located<>(own, name.at(), name.field()));
  }

  /** The cgroups of the socket units that make a workload's sockets. */
  private static List<Located<String>> sockets(Fields spec) {
    List<Located<String>> units = spec.strings("systemdSockets");
    Optional<Located<String>> slice = spec.string("socketSlice");
    if (slice.isPresent() && units.isEmpty()) {
      spec.error("socketSlice", "means nothing without systemdSockets", "remove it");
    }
    if (slice.isPresent() && !SLICE.matcher(slice.get().value()).matches()) {
      spec.error("socketSlice", "\"" + slice.get().value() + "\" is no slice", "as name.slice");
      units = List.of();
    }
    List<Located<String>> cgroups = new ArrayList<>();
    for (Located<String> unit : units) {
      if (SOCKET.matcher(unit.value()).matches()) {
        cgroups.add(
            new Located<>(
                UnitCgroups.path(unit.value(), slice.map(Located::value)),
                unit.at(),
                unit.field()));
      } else {
        spec.error(
            "systemdSockets",
            "\"" + unit.value() + "\" is no socket unit",
            "as name.socket or name@instance.socket");
      }
    }
    return cgroups;
  }

  /** A path from the cgroup2 root. */
  static Optional<Located<String>> cgroup(Fields fields, String key) {
    Optional<Located<String>> path = fields.string(key);
    path.ifPresent(p -> checkCgroup(fields, key, p.value()));
    return path;
  }

  private static void checkCgroup(Fields fields, String key, String path) {
    boolean bad = !path.startsWith("/") || path.length() == 1;
    for (String part : path.substring(Math.min(1, path.length())).split("/", -1)) {
      bad |= part.isEmpty() || part.equals(".") || part.equals("..");
    }
    bad |= path.chars().anyMatch(c -> c < ' ' || c == 0x7f);
    if (bad) {
      fields.error(
          key,
          "\"" + path + "\" is no path of a cgroup",
          "the path from the cgroup2 root, as /shop/web, without a final slash");
    } else if (path.getBytes(java.nio.charset.StandardCharsets.UTF_8).length > MAX_CGROUP) {
      fields.error(key, "is longer than " + MAX_CGROUP + " bytes", "use a shorter path");
    }
  }

  private static List<Workload.Port> ports(Fields spec) {
    List<Workload.Port> ports = new ArrayList<>();
    Set<String> seen = new HashSet<>();
    for (Fields item : spec.mappings("ports")) {
      String name = item.text("name", "");
      if (!name.isEmpty() && !ServiceReader.portName(name)) {
        item.error(
            "name", "\"" + name + "\" is not a port name", "lower-case letters, digits and '-'");
      }
      if (!item.has("port")) {
        item.error("port", "is missing", "");
      }
      Protocol protocol = item.choice("protocol", ServiceReader.PROTOCOLS).orElse(Protocol.TCP);
      Optional<Located<Integer>> port = item.integer("port", 1, 65535);
      if (port.isPresent()) {
        if (!seen.add(protocol + " " + port.get().value())) {
          item.error(
              "port",
              protocol + " " + port.get().value() + " occurs twice",
              "remove one of the two");
        }
        if (!name.isEmpty() && !seen.add(protocol + " " + name)) {
          item.error("name", protocol + " \"" + name + "\" occurs twice", "rename one of the two");
        }
        ports.add(new Workload.Port(name, port.get().value(), protocol, item.at()));
      }
      item.finish();
    }
    return ports;
  }

  static Resource mesh(Meta meta, Fields object) {
    object.ignore("apiVersion", "kind", "metadata", "status");
    Optional<Fields> found = object.mapping("spec");
    object.finish();
    Fields spec = found.orElseGet(() -> object.empty("spec"));
    boolean defaultDeny = spec.bool("defaultDeny", false);
    boolean audit = spec.bool("audit", false);
    boolean eperm =
        spec.choice("refuseWith", Map.of("ECONNREFUSED", false, "EPERM", true)).orElse(false);
    Icmp icmp =
        spec.choice(
                "icmp", Map.of("Policy", Icmp.POLICY, "Allow", Icmp.ALLOW, "Refuse", Icmp.REFUSE))
            .orElse(Icmp.POLICY);
    Fields host = spec.mapping("host").orElseGet(() -> spec.empty("host"));
    boolean governed = host.bool("governed", false);
    List<ManagementRule> management = new ArrayList<>();
    for (Fields item : host.mappings("management")) {
      management(item).ifPresent(management::add);
    }
    if (governed && management.isEmpty()) {
      host.error(
          "management",
          "must not be empty when the host is governed: a mistake would lock you out",
          "allow at least your own way in, as {direction: Ingress, protocol: TCP, port: 22}");
    }
    host.finish();
    List<Located<String>> governedCgroups = spec.strings("governedCgroups");
    for (Located<String> path : governedCgroups) {
      checkCgroup(spec, "governedCgroups", path.value());
    }
    Fields proxy = spec.mapping("proxy").orElseGet(() -> spec.empty("proxy"));
    Located<Integer> outbound = port(proxy, "outboundPort", Mesh.OUTBOUND_PORT);
    Located<String> proxyCgroup =
        cgroup(proxy, "cgroup")
            .orElse(new Located<>(Mesh.PROXY_CGROUP, proxy.at(), proxy.path("cgroup")));
    proxy.finish();
    Located<Integer> metrics = port(spec, "metricsPort", Mesh.METRICS_PORT);
    Located<Integer> health = port(spec, "healthPort", Mesh.HEALTH_PORT);
    String trustDomain = spec.text("trustDomain", Mesh.TRUST_DOMAIN);
    if (trustDomain.length() > 253 || !TRUST_DOMAIN.matcher(trustDomain).matches()) {
      spec.error(
          "trustDomain",
          "\"" + trustDomain + "\" is no trust domain",
          "lower-case letters, digits, '-', '_' and '.', at most 253");
    }
    String rootNamespace = spec.text("rootNamespace", Mesh.ROOT_NAMESPACE);
    if (!ResourceReader.isLabel(rootNamespace)) {
      spec.error(
          "rootNamespace",
          "\"" + rootNamespace + "\" is not a namespace",
          "lower-case letters, digits and '-', at most 63");
    }
    boolean trustPodAddresses = spec.bool("trustPodAddresses", false);
    Telemetry telemetry =
        new Telemetry(
            spec.mapping("accessLog").map(NodeReader::accessLog).orElse(AccessLog.OFF),
            spec.mapping("tracing").map(NodeReader::tracing).orElse(Telemetry.DEFAULT.tracing()));
    List<Block> trustedProxies = blocks(spec, "trustedProxies");
    for (Block block : trustedProxies) {
      if (block.length() == 0 || block.address().isV4() && block.length() == 96) {
        spec.error(
            "trustedProxies",
            "\"" + block + "\" is everybody: whoever comes could say whose address he has",
            "the addresses of the proxies before this node");
      }
    }
    Optional<Mesh.Tunnels> tunnels = spec.mapping("hbone").map(NodeReader::tunnels);
    Budget budget = spec.mapping("budget").map(NodeReader::budget).orElse(Budget.NONE);
    spec.finish();
    return new Mesh(
        meta,
        defaultDeny,
        governed,
        management,
        governedCgroups,
        audit,
        eperm,
        icmp,
        outbound,
        proxyCgroup,
        metrics,
        health,
        trustDomain,
        rootNamespace,
        trustPodAddresses,
        telemetry,
        trustedProxies,
        tunnels,
        budget);
  }

  private static Mesh.Tunnels tunnels(Fields fields) {
    Located<Integer> port = port(fields, "port", Hbone.PORT);
    String account = account(fields);
    List<Mesh.Peer> peers = new ArrayList<>();
    Set<String> names = new HashSet<>();
    for (Fields item : fields.mappings("peers")) {
      peer(item, names).ifPresent(peers::add);
    }
    boolean ambient = fields.choice("discover", Map.of("Ambient", true)).orElse(false);
    List<Reference> authorities = new ArrayList<>();
    for (Fields item : fields.mappings("caCertificateRefs")) {
      Optional<String> namespace = item.string("namespace").map(Located::value);
      if (namespace.isPresent() && !ResourceReader.isLabel(namespace.get())) {
        item.error(
            "namespace",
            "\"" + namespace.get() + "\" is not a namespace",
            "lower-case letters, digits and '-', at most 63");
      }
      authorities.add(
          new Reference(
              item.choice("group", Map.of("", "")).orElse(""),
              item.choice("kind", Map.of("ConfigMap", "ConfigMap", "Secret", "Secret"))
                  .orElse("ConfigMap"),
              namespace,
              item.required("name").value(),
              Optional.empty(),
              OptionalInt.empty(),
              item.at(),
              item.path()));
      item.finish();
    }
    fields.finish();
    return new Mesh.Tunnels(port, account, peers, ambient, authorities);
  }

  private static Optional<Mesh.Peer> peer(Fields item, Set<String> names) {
    Located<String> name = item.required("name");
    if (!name.value().isEmpty() && !ResourceReader.isLabel(name.value())) {
      item.error(
          "name",
          "\"" + name.value() + "\" is no name",
          "lower-case letters, digits and '-', at most 63");
    } else if (!names.add(name.value())) {
      item.error("name", "\"" + name.value() + "\" occurs twice", "rename one of the two");
    }
    Located<String> text = item.required("address");
    Optional<Address> address = Address.parse(text.value());
    if (!text.value().isEmpty() && address.filter(a -> !a.isLoopback()).isEmpty()) {
      item.error(
          "address", "\"" + text.value() + "\" is no address of another node", "as 192.0.2.7");
    }
    int port = port(item, "port", Hbone.PORT).value();
    String account = account(item);
    List<Block> workloads = blocks(item, "workloads");
    item.finish();
    return address.map(a -> new Mesh.Peer(name.value(), a, port, account, workloads));
  }

  private static List<Block> blocks(Fields fields, String key) {
    List<Block> blocks = new ArrayList<>();
    for (Located<String> block : fields.strings(key)) {
      Optional<Block> parsed = Block.parse(block.value());
      if (parsed.isEmpty()) {
        fields.error(key, "\"" + block.value() + "\" is no block of addresses", "as 10.42.1.0/24");
      }
      parsed.ifPresent(blocks::add);
    }
    return blocks;
  }

  /** {@code NAMESPACE/ACCOUNT}; empty when left out. */
  private static String account(Fields fields) {
    Optional<Located<String>> found = fields.string("serviceAccount");
    String account = found.map(Located::value).orElse("");
    if (found.isPresent() && !ACCOUNT.matcher(account).matches()) {
      fields.error(
          "serviceAccount", "\"" + account + "\" names no service account", "NAMESPACE/ACCOUNT");
      return "";
    }
    return account;
  }

  private static AccessLog accessLog(Fields fields) {
    AccessLog log =
        new AccessLog(
            fields.integer("oneIn", 0, Integer.MAX_VALUE).map(Located::value).orElse(1),
            fields.bool("errors", true),
            fields
                .integer("perSecond", 1, Integer.MAX_VALUE)
                .map(Located::value)
                .orElse(AccessLog.PER_SECOND),
            fields.bool("query", false));
    fields.finish();
    return log;
  }

  private static Tracing tracing(Fields fields) {
    Tracing usual = Telemetry.DEFAULT.tracing();
    Tracing tracing =
        new Tracing(
            fields.bool("begin", usual.begin()),
            fields
                .integer("sampledPercent", 0, 100)
                .map(Located::value)
                .orElse(usual.sampledPercent()));
    fields.finish();
    return tracing;
  }

  private static Budget budget(Fields fields) {
    Budget budget =
        new Budget(
            fields.integer("mapEntries", 1, Integer.MAX_VALUE),
            fields.integer("mapBytes", 1, Integer.MAX_VALUE),
            fields.integer("proxyBytes", 1, Integer.MAX_VALUE));
    fields.finish();
    return budget;
  }

  private static Located<Integer> port(Fields fields, String key, int otherwise) {
    return fields
        .integer(key, 1, 65535)
        .orElse(new Located<>(otherwise, fields.at(), fields.path(key)));
  }

  private static Optional<ManagementRule> management(Fields item) {
    if (!item.has("direction")) {
      item.error("direction", "is missing", "Ingress or Egress");
    }
    Optional<Direction> direction =
        item.choice("direction", Map.of("Ingress", Direction.INGRESS, "Egress", Direction.EGRESS));
    Protocol protocol = item.choice("protocol", ServiceReader.PROTOCOLS).orElse(Protocol.TCP);
    int port = item.integer("port", 1, 65535).map(Located::value).orElse(0);
    item.finish();
    return direction.map(d -> new ManagementRule(d, protocol, port));
  }
}
