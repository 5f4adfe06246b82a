// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.source.Node;
import dev.weir.policy.source.Node.Scalar;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/** Reads {@code v1 Service}. */
final class ServiceReader {

  /** What an API server writes where nothing is said, and the most that it takes. */
  private static final int AFFINITY_SECONDS = 10_800;

  private static final int MOST_AFFINITY_SECONDS = 86_400;

  static final Map<String, Protocol> PROTOCOLS =
      Map.of("TCP", Protocol.TCP, "UDP", Protocol.UDP, "SCTP", Protocol.SCTP);

  private ServiceReader() {}

  static Optional<Resource> read(Meta meta, Fields object) {
    object.ignore("status");
    Optional<Fields> found = object.mapping("spec");
    if (found.isEmpty()) {
      object.error("spec", "is missing", "");
      return Optional.empty();
    }
    Fields spec = found.get();
    spec.ignore(
        "ipFamilies",
        "ipFamilyPolicy",
        "externalTrafficPolicy",
        "allocateLoadBalancerNodePorts",
        "healthCheckNodePort",
        "loadBalancerClass",
        "loadBalancerIP",
        "loadBalancerSourceRanges",
        "trafficDistribution");
    String type =
        spec.choice(
                "type",
                Map.of(
                    "ClusterIP", "ClusterIP",
                    "NodePort", "NodePort",
                    "LoadBalancer", "LoadBalancer",
                    "ExternalName", "ExternalName"))
            .orElse("ClusterIP");
    if (type.equals("NodePort") || type.equals("LoadBalancer")) {
      spec.warning(
          "type",
          "is " + type + ": node ports and load balancers are not served, only cluster addresses",
          "to serve it to the outside, put a Gateway in front of it");
    }
    if (type.equals("ExternalName")) {
      Located<String> name = spec.required("externalName");
      String host =
          name.value().endsWith(".") ? name.value().replaceFirst("\\.$", "") : name.value();
      if (!host.isEmpty() && !Labels.isSubdomain(host.toLowerCase(Locale.ROOT))) {
        spec.error(name, "\"" + name.value() + "\" is no host name", "as db.example.com");
      }
    } else {
      spec.ignore("externalName");
    }
    boolean local =
        spec.choice("internalTrafficPolicy", Map.of("Cluster", false, "Local", true)).orElse(false);
    boolean notReady = spec.bool("publishNotReadyAddresses", false);
    if (!spec.strings("externalIPs").isEmpty()) {
      spec.warning("externalIPs", "only the cluster addresses are served", "");
    }
    List<Located<Address>> addresses = new ArrayList<>();
    boolean headless = addresses(spec, addresses);
    if (type.equals("ExternalName") && !addresses.isEmpty()) {
      spec.error(addresses.getFirst(), "does not go with type ExternalName", "remove it");
    } else if (type.equals("LoadBalancer") && headless) {
      spec.warning(
          "type", "is LoadBalancer, which cannot be headless by an API server", "use ClusterIP");
    }
    List<Service.Port> ports = ports(spec);
    if (ports.isEmpty() && !spec.has("ports") && !headless && !type.equals("ExternalName")) {
      spec.error("ports", "is missing or empty", "name at least one port");
    }
    Optional<Located<String>> affinity =
        spec.string("sessionAffinity").filter(a -> !a.value().equals("None"));
    if (affinity.isPresent() && !affinity.get().value().equals("ClientIP")) {
      spec.error("sessionAffinity", "is \"" + affinity.get().value() + "\"", "None or ClientIP");
    }
    int affinitySeconds = affinitySeconds(spec, affinity.isPresent());
    Map<String, String> selector = Labels.selecting(spec, "selector");
    spec.finish();
    object.ignore("apiVersion", "kind", "metadata");
    object.finish();
    return Optional.of(
        new Service(
            meta,
            type.equals("ExternalName"),
            addresses,
            headless,
            selector,
            ports,
            affinity,
            affinitySeconds,
            notReady,
            local));
  }

  /** For how long a client keeps to its backend; 0 without affinity. */
  private static int affinitySeconds(Fields spec, boolean affinity) {
    Optional<Fields> config = spec.mapping("sessionAffinityConfig");
    if (config.isPresent() && !affinity) {
      spec.error("sessionAffinityConfig", "goes only with sessionAffinity: ClientIP", "remove it");
    }
    int seconds = AFFINITY_SECONDS;
    if (config.isPresent()) {
      Optional<Fields> clientIp = config.get().mapping("clientIP");
      if (clientIp.isPresent()) {
        seconds =
            clientIp
                .get()
                .number("timeoutSeconds", 1, MOST_AFFINITY_SECONDS)
                .orElse(AFFINITY_SECONDS);
        clientIp.get().finish();
      }
      config.get().finish();
    }
    return affinity ? seconds : 0;
  }

  /** Returns whether the service is headless. */
  private static boolean addresses(Fields spec, List<Located<Address>> addresses) {
    List<Located<String>> texts = spec.strings("clusterIPs");
    Optional<Located<String>> single = spec.string("clusterIP").filter(t -> !t.value().isEmpty());
    if (texts.isEmpty()) {
      texts = single.stream().toList();
    } else if (single.isPresent() && !single.get().value().equals(texts.getFirst().value())) {
      spec.error("clusterIP", "is not the first of clusterIPs", "write the same address in both");
    }
    if (texts.size() == 1 && texts.getFirst().value().equals("None")) {
      return true;
    }
    for (Located<String> text : texts) {
      Optional<Address> address = Address.parse(text.value());
      if (address.isEmpty() || address.get().isLoopback()) {
        spec.error(
            text,
            "\"" + text.value() + "\" is not an address a service can have",
            "an IPv4 or IPv6 address that is not loopback, or None");
      } else {
        addresses.add(new Located<>(address.get(), text.at(), text.field()));
      }
    }
    if (texts.size() > 2) {
      spec.error("clusterIPs", "has more than two addresses", "one of each family");
    } else if (addresses.size() == 2
        && addresses.getFirst().value().isV4() == addresses.getLast().value().isV4()) {
      spec.error("clusterIPs", "has two addresses of one family", "one of each family");
    }
    return false;
  }

  private static List<Service.Port> ports(Fields spec) {
    List<Service.Port> ports = new ArrayList<>();
    Set<String> names = new HashSet<>();
    Set<String> numbers = new HashSet<>();
    List<Fields> items = spec.mappings("ports");
    for (Fields item : items) {
      item.ignore("nodePort");
      String name = item.text("name", "");
      if (!name.isEmpty() && !ResourceReader.isLabel(name)) {
        item.error(
            "name",
            "\"" + name + "\" is not a port name",
            "at most 63 lower-case letters, digits and '-', alphanumeric at both ends");
      }
      String protocolName = item.text("appProtocol", "");
      if (!protocolName.isEmpty() && !Labels.isKey(protocolName)) {
        item.error(
            "appProtocol",
            "\"" + protocolName + "\" is no protocol name",
            "as http, or kubernetes.io/h2c");
      }
      if (name.isEmpty() && items.size() > 1) {
        item.warning("name", "is missing", "an API server refuses several ports without names");
      }
      if (!names.add(name) && !name.isEmpty()) {
        item.error("name", "\"" + name + "\" occurs twice", "rename one of the two");
      }
      Protocol protocol = item.choice("protocol", PROTOCOLS).orElse(Protocol.TCP);
      if (!item.has("port")) {
        item.error("port", "is missing", "");
      }
      Optional<Located<Integer>> port = item.integer("port", 1, 65535);
      if (port.isPresent()) {
        if (!numbers.add(protocol + " " + port.get().value())) {
          item.error(
              "port",
              protocol + " " + port.get().value() + " occurs twice",
              "remove one of the two");
        }
        PortReference target =
            reference(item, "targetPort")
                .orElse(new PortReference.Numbers(port.get().value(), port.get().value()));
        ports.add(
            new Service.Port(
                name, port.get().value(), protocol, target, protocolName, item.at(), item.path()));
      }
      item.finish();
    }
    return ports;
  }

  /** A port by number or name. */
  static Optional<PortReference> reference(Fields fields, String key) {
    Optional<Node> node = fields.node(key);
    if (node.isPresent()
        && node.get() instanceof Scalar scalar
        && scalar.type() == Scalar.Type.STRING) {
      String name = scalar.text();
      if (!portName(name)) {
        fields.error(
            key,
            "\"" + name + "\" is not a port name",
            "a number without quotes, or at most 15 lower-case letters, digits and '-', one of"
                + " them a letter");
        return Optional.empty();
      }
      return Optional.of(new PortReference.Named(name));
    }
    return fields.number(key, 1, 65535).map(n -> new PortReference.Numbers(n, n));
  }

  /** IANA_SVC_NAME, RFC 6335 5.1. */
  static boolean portName(String name) {
    if (name.isEmpty()
        || name.length() > 15
        || name.startsWith("-")
        || name.endsWith("-")
        || name.contains("--")) {
      return false;
    }
    return name.chars().anyMatch(ServiceReader::letter)
        && name.chars().allMatch(c -> letter(c) || c >= '0' && c <= '9' || c == '-');
  }

  private static boolean letter(int c) {
    return c >= 'a' && c <= 'z';
  }
}
