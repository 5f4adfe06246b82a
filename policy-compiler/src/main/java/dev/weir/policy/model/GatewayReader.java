// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import dev.weir.policy.model.Gateway.AllowedRoutes;
import dev.weir.policy.model.Gateway.ClientValidation;
import dev.weir.policy.model.Gateway.Listener;
import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.ProxyPlan.ListenerProtocol;
import dev.weir.policy.source.Position;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import java.util.regex.Pattern;

/** Reads {@code Gateway} and {@code ReferenceGrant}, and what they share with routes. */
final class GatewayReader {

  static final String GROUP = "gateway.networking.k8s.io";

  private static final Pattern HOSTNAME =
      Pattern.compile("(\\*\\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*");

  /** Kinds of route that each protocol can have. */
  private static final Map<ListenerProtocol, Set<String>> KINDS =
      Map.of(
          ListenerProtocol.HTTP, Set.of("HTTPRoute", "GRPCRoute"),
          ListenerProtocol.HTTPS, Set.of("HTTPRoute", "GRPCRoute"),
          ListenerProtocol.TLS_PASSTHROUGH, Set.of("TLSRoute"),
          ListenerProtocol.TLS_TERMINATE, Set.of("TLSRoute", "TCPRoute"),
          ListenerProtocol.TCP, Set.of("TCPRoute"));

  private static final int MAX_LISTENERS = 64;

  private static final int MAX_AUTHORITIES = 8;

  private static final Pattern PROTOCOL =
      Pattern.compile("([-a-z0-9.]+/)?[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?");

  private static final Pattern KIND = Pattern.compile("[A-Za-z]([-A-Za-z0-9]*[A-Za-z0-9])?");

  private final RouteReader limits = new RouteReader();

  private GatewayReader() {}

  static Resource read(Meta meta, Fields object) {
    return new GatewayReader().gateway(meta, object);
  }

  private Resource gateway(Meta meta, Fields object) {
    object.ignore("apiVersion", "kind", "metadata", "status");
    Fields spec = object.mapping("spec").orElseGet(() -> object.empty("spec"));
    object.finish();
    String className = spec.required("gatewayClassName").value();
    if (!className.equals(Gateway.CLASS)) {
      // Somebody else's: what it says is between the two of them.
      return new Gateway(meta, className, List.of(), List.of(), List.of());
    }
    List<Located<Address>> addresses = addresses(spec);
    spec.ignore("infrastructure", "allowedListeners", "defaultScope");
    if (spec.has("backendTLS")) {
      limits.unserved(spec, "backendTLS", "client certificates for backends are not served yet");
    }
    Frontend frontend = spec.mapping("tls").map(this::gatewayTls).orElse(Frontend.NONE);
    List<Listener> listeners = new ArrayList<>();
    Set<String> names = new HashSet<>();
    Map<String, String> places = new HashMap<>();
    for (Fields item : spec.mappings("listeners")) {
      Optional<Listener> found = listener(item, frontend);
      if (found.isEmpty()) {
        continue;
      }
      Listener listener = found.get();
      if (!names.add(listener.name().value())) {
        item.error("name", "\"" + listener.name().value() + "\" occurs twice", "rename one");
      }
      String place = listener.port() + " " + listener.protocol() + " " + listener.hostname();
      String other = places.putIfAbsent(place, listener.name().value());
      if (other != null) {
        item.error(
            "name",
            "port, protocol and hostname are also those of listener " + other,
            "change one of them");
      }
      listeners.add(listener);
    }
    frontend.ports().forEach((port, at) -> requireListener(port, at, listeners));
    spec.atMost("listeners", MAX_LISTENERS);
    if (spec.mappings("listeners").isEmpty()) {
      spec.error("listeners", "is missing or empty", "name at least one listener");
    }
    spec.finish();
    return new Gateway(meta, className, addresses, listeners, limits.limits());
  }

  private List<Located<Address>> addresses(Fields spec) {
    List<Located<Address>> addresses = new ArrayList<>();
    for (Fields item : spec.mappings("addresses")) {
      String type = item.text("type", "IPAddress");
      Optional<Located<String>> value = item.string("value").filter(v -> !v.value().isEmpty());
      item.finish();
      Optional<Address> address = value.flatMap(v -> Address.parse(v.value()));
      if (!type.equals("IPAddress") || value.isEmpty()) {
        limits.never(
            item,
            "value",
            "Weir finds no address by type " + type + (value.isEmpty() ? " without a value" : ""),
            "type IPAddress with an address of this node, or no addresses for all of them");
      } else if (address.isEmpty()) {
        item.error("value", "is no IP address", "an address of this node");
      } else {
        if (addresses.stream().anyMatch(a -> a.value().equals(address.get()))) {
          item.warning(
              "value",
              "\"" + value.get().value() + "\" occurs twice, which an API server refuses",
              "");
        }
        addresses.add(new Located<>(address.get(), value.get().at(), value.get().field()));
      }
    }
    return addresses;
  }

  /** What holds for all listeners that end TLS. */
  private Frontend gatewayTls(Fields tls) {
    if (tls.has("backend")) {
      limits.unserved(tls, "backend", "client certificates for backends are not served yet");
    }
    Frontend frontend = tls.mapping("frontend").map(GatewayReader::frontend).orElse(Frontend.NONE);
    tls.finish();
    return frontend;
  }

  /**
   * {@code spec.tls.frontend} (GEP-91): what clients show.
   *
   * @param other of ports that are not named
   * @param ports each with what it says, if it asks for certificates, and where
   */
  private record Frontend(Optional<ClientValidation> other, Map<Integer, PortClients> ports) {
    static final Frontend NONE = new Frontend(Optional.empty(), Map.of());

    Optional<ClientValidation> of(int port) {
      PortClients own = ports.get(port);
      return own == null ? other : own.clients();
    }
  }

  private record PortClients(Optional<ClientValidation> clients, Fields at) {}

  private static Frontend frontend(Fields fields) {
    if (!fields.has("default")) {
      fields.error(
          "default", "is missing", "{} asks for no certificates where perPort says nothing");
    }
    Optional<ClientValidation> other = fields.mapping("default").flatMap(GatewayReader::validation);
    Map<Integer, PortClients> ports = new LinkedHashMap<>();
    for (Fields item : fields.mappings("perPort")) {
      if (!item.has("port")) {
        item.error("port", "is missing", "");
      }
      Optional<Located<Integer>> port = item.integer("port", 1, 65535);
      if (!item.has("tls")) {
        item.error("tls", "is missing", "{} asks for no certificates at this port");
      }
      Optional<ClientValidation> clients = item.mapping("tls").flatMap(GatewayReader::validation);
      item.finish();
      if (port.isPresent()
          && ports.putIfAbsent(port.get().value(), new PortClients(clients, item)) != null) {
        item.error("port", port.get().value() + " occurs twice", "remove one");
      }
    }
    fields.atMost("perPort", MAX_LISTENERS);
    fields.finish();
    return new Frontend(other, ports);
  }

  private static Optional<ClientValidation> validation(Fields tls) {
    Optional<ClientValidation> found =
        tls.mapping("validation")
            .map(
                validation -> {
                  boolean required =
                      validation
                          .choice(
                              "mode",
                              Map.of("AllowValidOnly", true, "AllowInsecureFallback", false))
                          .orElse(true);
                  return new ClientValidation(authorities(validation), required);
                });
    tls.finish();
    return found;
  }

  /** The authorities of clients; an error when there are none. */
  private static List<Reference> authorities(Fields validation) {
    List<Reference> references = new ArrayList<>();
    for (Fields item : validation.mappings("caCertificateRefs")) {
      for (String key : List.of("group", "kind")) {
        if (!item.has(key)) {
          item.error(key, "is missing", "group: \"\" and kind: ConfigMap, whose ca.crt is meant");
        }
      }
      references.add(reference(item, "", "ConfigMap"));
      item.finish();
    }
    validation.atMost("caCertificateRefs", MAX_AUTHORITIES);
    if (references.isEmpty()) {
      validation.error(
          "caCertificateRefs",
          "is missing or empty",
          "name a ConfigMap with the authorities of clients in ca.crt");
    }
    validation.finish();
    return references;
  }

  /** What is said of a port that asks nobody for anything was meant for another one. */
  private static void requireListener(int port, PortClients said, List<Listener> listeners) {
    if (listeners.stream().noneMatch(l -> l.port() == port && endsTls(l.protocol()))) {
      said.at()
          .warning("port", "no listener that ends TLS has port " + port, "name the port of one");
    }
  }

  private static boolean endsTls(ListenerProtocol protocol) {
    return protocol == ListenerProtocol.HTTPS || protocol == ListenerProtocol.TLS_TERMINATE;
  }

  private Optional<Listener> listener(Fields item, Frontend frontend) {
    Located<String> name = item.required("name");
    sectionName(item, "name", name.value());
    Optional<Located<String>> host = item.string("hostname").filter(h -> !h.value().isEmpty());
    String hostname = host.map(h -> hostname(item, "hostname", h)).orElse("");
    if (!item.has("port")) {
      item.error("port", "is missing", "");
    }
    Optional<Located<Integer>> port = item.integer("port", 1, 65535);
    String text = item.required("protocol").value();
    Optional<Fields> tls = item.mapping("tls");
    Optional<ListenerProtocol> protocol =
        switch (text) {
          case "HTTP" -> Optional.of(ListenerProtocol.HTTP);
          case "HTTPS" -> Optional.of(ListenerProtocol.HTTPS);
          case "TCP" -> Optional.of(ListenerProtocol.TCP);
          case "TLS" -> Optional.of(mode(item, tls));
          case "" -> Optional.empty();
          default -> {
            if (!PROTOCOL.matcher(text).matches()) {
              item.error("protocol", "\"" + text + "\" is no protocol", "as HTTP or HTTPS");
            }
            limits.unserved(item, "protocol", "listeners of protocol " + text + " are not served");
            item.ignore("tls", "allowedRoutes");
            yield Optional.empty();
          }
        };
    List<Reference> certificates = List.of();
    Optional<ClientValidation> clients = Optional.empty();
    Set<String> kinds = Set.of();
    AllowedRoutes allowed = new AllowedRoutes.Same();
    if (protocol.isPresent()) {
      switch (protocol.get()) {
        case HTTP, TCP -> {
          if (tls.isPresent()) {
            item.error("tls", "means nothing on a listener of protocol " + text, "remove it");
          }
        }
        case HTTPS, TLS_TERMINATE -> {
          // The listener's own is how the API said it before v1.4.
          Optional<Fields> own = tls.flatMap(t -> t.mapping("frontendValidation"));
          clients =
              own.isPresent()
                  ? own.map(v -> new ClientValidation(authorities(v), true))
                  : port.flatMap(p -> frontend.of(p.value()));
          certificates = certificates(item, text, tls);
        }
        case TLS_PASSTHROUGH -> tls.ifPresent(this::passthrough);
      }
      if (protocol.get() == ListenerProtocol.TCP && host.isPresent()) {
        item.error("hostname", "means nothing on a listener of protocol TCP", "remove it");
      }
      Set<String> possible = KINDS.getOrDefault(protocol.get(), Set.of());
      Optional<Fields> routes = item.mapping("allowedRoutes");
      allowed = routes.map(GatewayReader::allowed).orElse(allowed);
      kinds = routes.map(r -> kinds(r, possible)).orElse(possible);
      routes.ifPresent(Fields::finish);
    }
    item.finish();
    if (port.isEmpty() || protocol.isEmpty()) {
      return Optional.empty();
    }
    return Optional.of(
        new Listener(
            name,
            hostname,
            port.get().value(),
            protocol.get(),
            certificates,
            clients,
            allowed,
            kinds));
  }

  private static ListenerProtocol mode(Fields item, Optional<Fields> tls) {
    if (tls.isEmpty()) {
      item.error("tls", "is missing", "a TLS listener says its mode: Passthrough or Terminate");
      return ListenerProtocol.TLS_PASSTHROUGH;
    }
    return tls.get()
        .choice(
            "mode",
            Map.of(
                "Passthrough",
                ListenerProtocol.TLS_PASSTHROUGH,
                "Terminate",
                ListenerProtocol.TLS_TERMINATE))
        .orElse(ListenerProtocol.TLS_TERMINATE);
  }

  private void passthrough(Fields tls) {
    // The API says that certificates mean nothing here.
    tls.ignore("mode", "certificateRefs", "options", "frontendValidation");
    tls.finish();
  }

  private List<Reference> certificates(Fields item, String protocol, Optional<Fields> tls) {
    List<Reference> references = new ArrayList<>();
    if (tls.isPresent()) {
      Fields fields = tls.get();
      if (!fields.text("mode", "Terminate").equals("Terminate")) {
        fields.error("mode", "must be Terminate on a listener of protocol " + protocol, "");
      }
      if (fields.has("options")) {
        limits.never(fields, "options", "are not known to Weir", "leave them out");
      }
      for (Fields reference : fields.mappings("certificateRefs")) {
        references.add(reference(reference, "", "Secret"));
        reference.finish();
      }
      fields.finish();
    }
    if (references.isEmpty()) {
      item.error(
          "tls",
          "a listener that ends TLS needs certificateRefs",
          "name a Secret of type kubernetes.io/tls");
    }
    return references;
  }

  private static Set<String> kinds(Fields routes, Set<String> possible) {
    List<Fields> items = routes.mappings("kinds");
    Set<String> kinds = new HashSet<>();
    for (Fields item : items) {
      String group = item.text("group", GROUP);
      String kind = item.required("kind").value();
      item.finish();
      if (group.equals(GROUP) && possible.contains(kind)) {
        kinds.add(kind);
      } else {
        item.warning(
            "kind",
            "routes of kind " + kind + " cannot attach to a listener of this protocol",
            "one of: " + String.join(", ", possible.stream().sorted().toList()));
      }
    }
    return items.isEmpty() ? possible : kinds;
  }

  private static AllowedRoutes allowed(Fields fields) {
    AllowedRoutes allowed = new AllowedRoutes.Same();
    Optional<Fields> namespaces = fields.mapping("namespaces");
    if (namespaces.isPresent()) {
      Fields from = namespaces.get();
      Optional<LabelSelector> selector =
          from.mapping("selector").map(NetworkPolicyReader::selector);
      String choice =
          from.choice("from", Map.of("All", "All", "Same", "Same", "Selector", "Selector"))
              .orElse("Same");
      if (choice.equals("Selector") && selector.isEmpty()) {
        from.error("selector", "is missing", "from: Selector needs one");
      }
      allowed =
          switch (choice) {
            case "All" -> new AllowedRoutes.All();
            case "Selector" ->
                selector
                    .<AllowedRoutes>map(AllowedRoutes.Selected::new)
                    .orElse(new AllowedRoutes.Same());
            default -> new AllowedRoutes.Same();
          };
      from.finish();
    }
    return allowed;
  }

  /** A host name in lower case, perhaps with {@code *.} before it; an error when it is none. */
  static String hostname(Fields fields, String key, Located<String> text) {
    String hostname = text.value().toLowerCase(Locale.ROOT);
    if (hostname.length() > 253
        || !HOSTNAME.matcher(hostname).matches()
        || Address.parse(hostname).isPresent()) {
      fields.error(key, "\"" + text.value() + "\" is no host name", "as shop.example or *.example");
    }
    return hostname;
  }

  /** Notes an error when a text is no name of a listener or rule; none at all is not judged. */
  private static void sectionName(Fields fields, String key, String name) {
    if (!name.isEmpty() && !Labels.isSubdomain(name)) {
      fields.error(key, "\"" + name + "\" is no name", "lower-case letters, digits, '-' and '.'");
    }
  }

  /**
   * Whom something names.
   *
   * @param otherGroup of who says none
   * @param otherKind of who says none
   */
  static Reference reference(Fields fields, String otherGroup, String otherKind) {
    OptionalInt port =
        fields
            .integer("port", 1, 65535)
            .map(p -> OptionalInt.of(p.value()))
            .orElse(OptionalInt.empty());
    String group = fields.text("group", otherGroup);
    if (!group.isEmpty() && !Labels.isSubdomain(group)) {
      fields.error("group", "\"" + group + "\" is no group", "as gateway.networking.k8s.io");
    }
    String kind = fields.text("kind", otherKind);
    if (!kind.isEmpty() && (kind.length() > 63 || !KIND.matcher(kind).matches())) {
      fields.error("kind", "\"" + kind + "\" is no kind", "as Service");
    }
    Optional<Located<String>> namespace = fields.string("namespace");
    if (namespace.isPresent() && !ResourceReader.isLabel(namespace.get().value())) {
      fields.error(
          "namespace",
          "\"" + namespace.get().value() + "\" is not a namespace",
          "lower-case letters, digits and '-', at most 63");
    }
    Optional<String> section = fields.string("sectionName").map(Located::value);
    sectionName(fields, "sectionName", section.orElse(""));
    Position at = fields.at();
    return new Reference(
        group,
        kind,
        namespace.map(Located::value),
        fields.required("name").value(),
        section,
        port,
        at,
        fields.path());
  }

  static Resource grant(Meta meta, Fields object) {
    object.ignore("apiVersion", "kind", "metadata", "status");
    Fields spec = object.mapping("spec").orElseGet(() -> object.empty("spec"));
    object.finish();
    List<ReferenceGrant.From> from = new ArrayList<>();
    for (Fields item : spec.mappings("from")) {
      from.add(
          new ReferenceGrant.From(
              item.text("group", ""),
              item.required("kind").value(),
              item.required("namespace").value()));
      item.finish();
    }
    List<ReferenceGrant.To> to = new ArrayList<>();
    for (Fields item : spec.mappings("to")) {
      to.add(
          new ReferenceGrant.To(
              item.text("group", ""),
              item.required("kind").value(),
              item.string("name").map(Located::value).filter(n -> !n.isEmpty())));
      item.finish();
    }
    spec.finish();
    return new ReferenceGrant(meta, from, to);
  }
}
