// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import dev.weir.policy.model.EndpointSlice.Endpoint;
import dev.weir.policy.model.EndpointSlice.Port;
import dev.weir.policy.model.EndpointSlice.Subset;
import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Protocol;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;

/** Reads {@code discovery.k8s.io/v1 EndpointSlice} and {@code v1 Endpoints}. */
final class EndpointSliceReader {

  /** Whose slice it is (Kubernetes, EndpointSlices: Ownership). */
  private static final String SERVICE_NAME = "kubernetes.io/service-name";

  private static final String MANAGED_BY = "endpointslice.kubernetes.io/managed-by";

  /** Makes slices of Services with a selector. */
  private static final String CONTROLLER = "endpointslice-controller.k8s.io";

  /** Makes slices of Endpoints; when the Endpoints are in the folder too, they say the same. */
  private static final String MIRROR = "endpointslicemirroring-controller.k8s.io";

  private enum Family {
    V4,
    V6,
    NAMES,
    ANY
  }

  private EndpointSliceReader() {}

  static Optional<Resource> slice(Meta meta, Fields object) {
    object.ignore("apiVersion", "kind", "metadata");
    if (!object.has("addressType")) {
      object.error("addressType", "is missing", "IPv4 or IPv6");
    }
    Family family =
        object
            .choice(
                "addressType", Map.of("IPv4", Family.V4, "IPv6", Family.V6, "FQDN", Family.NAMES))
            .orElse(Family.ANY);
    if (family == Family.NAMES) {
      object.warning(
          "addressType",
          "names are not resolved: nobody is behind this slice",
          "write addresses, with addressType IPv4 or IPv6");
    }
    List<Port> ports = ports(object);
    List<Endpoint> endpoints = new ArrayList<>();
    for (Fields item : object.mappings("endpoints")) {
      item.ignore("deprecatedTopology", "hints", "hostname", "nodeName", "zone");
      Fields conditions = item.mapping("conditions").orElseGet(() -> item.empty("conditions"));
      // EndpointConditions: an unknown state of readiness is to be understood as ready, of serving
      // as the same as ready, of terminating as not.
      boolean ready = conditions.bool("ready", true);
      boolean serving = conditions.bool("serving", ready);
      boolean terminating = conditions.bool("terminating", false);
      conditions.finish();
      List<Located<Address>> addresses = new ArrayList<>();
      List<Located<String>> texts = item.strings("addresses");
      if (texts.isEmpty()) {
        item.error("addresses", "is missing or empty", "one address");
      }
      for (Located<String> text : texts) {
        if (family != Family.NAMES) {
          address(item, "addresses", text, family).ifPresent(addresses::add);
        }
      }
      Optional<String> pod = pod(meta, item);
      item.finish();
      if (!addresses.isEmpty()) {
        endpoints.add(new Endpoint(addresses, ready, serving, terminating, pod, item.at()));
      }
    }
    object.finish();
    String service = meta.labels().getOrDefault(SERVICE_NAME, "");
    if (service.isEmpty()) {
      object.warning(
          "metadata",
          "has no label " + SERVICE_NAME + ": the slice belongs to no Service and is passed over",
          "add the label with the Service's name");
      return Optional.empty();
    }
    String manager = meta.labels().getOrDefault(MANAGED_BY, "");
    return Optional.of(
        new EndpointSlice(
            meta,
            "EndpointSlice",
            service,
            manager.equals(CONTROLLER) || manager.equals(MIRROR),
            List.of(new Subset(ports, endpoints))));
  }

  /**
   * Endpoints are served as Kubernetes mirrors them into slices: not when they say that they are
   * not to be, or when they only hold the lock of an election.
   */
  static Optional<Resource> endpoints(Meta meta, Fields object) {
    object.ignore("apiVersion", "kind", "metadata");
    List<Subset> subsets = new ArrayList<>();
    for (Fields item : object.mappings("subsets")) {
      List<Endpoint> endpoints = new ArrayList<>();
      for (Fields address : item.mappings("addresses")) {
        endpoint(meta, address, true).ifPresent(endpoints::add);
      }
      for (Fields address : item.mappings("notReadyAddresses")) {
        endpoint(meta, address, false).ifPresent(endpoints::add);
      }
      subsets.add(new Subset(ports(item), endpoints));
      item.finish();
    }
    object.finish();
    if (meta.labels().getOrDefault("endpointslice.kubernetes.io/skip-mirror", "").equals("true")
        || meta.annotations().containsKey("control-plane.alpha.kubernetes.io/leader")) {
      return Optional.empty();
    }
    return Optional.of(new EndpointSlice(meta, "Endpoints", meta.name(), false, subsets));
  }

  private static Optional<Endpoint> endpoint(Meta meta, Fields item, boolean ready) {
    item.ignore("hostname", "nodeName");
    Located<String> text = item.required("ip");
    Optional<Located<Address>> address =
        text.value().isEmpty() ? Optional.empty() : address(item, "ip", text, Family.ANY);
    Optional<String> pod = pod(meta, item);
    item.finish();
    return address.map(a -> new Endpoint(List.of(a), ready, ready, false, pod, item.at()));
  }

  private static Optional<Located<Address>> address(
      Fields fields, String key, Located<String> text, Family family) {
    Optional<Address> address = Address.parse(text.value());
    if (address.isEmpty()
        || family == Family.V4 && !address.get().isV4()
        || family == Family.V6 && address.get().isV4()) {
      fields.error(
          key,
          "\"" + text.value() + "\" is no address" + (family == Family.ANY ? "" : " of this type"),
          "IPv4 addresses with addressType IPv4, IPv6 ones with IPv6");
      return Optional.empty();
    }
    if (address.get().isLoopback() || text.value().equals("0.0.0.0") || text.value().equals("::")) {
      fields.error(
          key,
          text.value() + " cannot be an endpoint",
          "the address of its own that the backend listens on; for what shares this node's"
              + " loopback, declare a Workload and select it");
      return Optional.empty();
    }
    return Optional.of(new Located<>(address.get(), text.at(), text.field()));
  }

  private static Optional<String> pod(Meta meta, Fields item) {
    Optional<Fields> reference = item.mapping("targetRef");
    if (reference.isEmpty() || !reference.get().text("kind", "").equals("Pod")) {
      return Optional.empty();
    }
    String namespace = reference.get().text("namespace", meta.namespace());
    return reference.get().string("name").map(name -> namespace + "/" + name.value());
  }

  private static List<Port> ports(Fields fields) {
    List<Port> ports = new ArrayList<>();
    Set<String> seen = new HashSet<>();
    for (Fields item : fields.mappings("ports")) {
      item.ignore("appProtocol");
      String name = item.text("name", "");
      if (!name.isEmpty() && !ResourceReader.isLabel(name)) {
        item.error(
            "name",
            "\"" + name + "\" is not the name of a port",
            "at most 63 lower-case letters, digits and '-'");
      }
      Protocol protocol = item.choice("protocol", ServiceReader.PROTOCOLS).orElse(Protocol.TCP);
      OptionalInt port =
          item.integer("port", 1, 65535)
              .map(p -> OptionalInt.of(p.value()))
              .orElse(OptionalInt.empty());
      if (!seen.add(name + " " + protocol + " " + port)) {
        item.error("occurs twice", "remove one of the two");
      }
      ports.add(new Port(name, port, protocol));
      item.finish();
    }
    return ports;
  }
}
