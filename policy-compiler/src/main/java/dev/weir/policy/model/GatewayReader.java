// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import dev.weir.policy.model.Gateway.AllowedRoutes;
import dev.weir.policy.model.Gateway.Listener;
import dev.weir.policy.plan.Address;
import dev.weir.policy.source.Position;
import java.util.ArrayList;
import java.util.HashSet;
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

  private GatewayReader() {}

  static Resource read(Meta meta, Fields object) {
    object.ignore("apiVersion", "kind", "metadata", "status");
    Fields spec = object.mapping("spec").orElseGet(() -> object.empty("spec"));
    object.finish();
    String className = spec.required("gatewayClassName").value();
    List<Located<Address>> addresses = new ArrayList<>();
    for (Fields item : spec.mappings("addresses")) {
      String type = item.text("type", "IPAddress");
      Located<String> value = item.required("value");
      Optional<Address> address = Address.parse(value.value());
      if (!type.equals("IPAddress") || address.isEmpty()) {
        item.error("value", "is no IP address", "type IPAddress with an address of this node");
      } else {
        addresses.add(new Located<>(address.get(), value.at(), value.field()));
      }
      item.finish();
    }
    spec.ignore("infrastructure");
    spec.unsupported("backendTLS", "leave it out until it is");
    spec.unsupported("tls", "leave it out until it is");
    spec.unsupported("allowedListeners", "leave it out until it is");
    List<Listener> listeners = new ArrayList<>();
    Set<String> names = new HashSet<>();
    for (Fields item : spec.mappings("listeners")) {
      Optional<Listener> listener = listener(item);
      if (listener.isPresent()) {
        if (!names.add(listener.get().name().value())) {
          item.error(
              "name", "\"" + listener.get().name().value() + "\" occurs twice", "rename one");
        }
        listeners.add(listener.get());
      }
    }
    if (listeners.isEmpty() && !spec.has("listeners")) {
      spec.error("listeners", "is missing or empty", "name at least one listener");
    }
    spec.finish();
    return new Gateway(meta, className, addresses, listeners);
  }

  private static Optional<Listener> listener(Fields item) {
    Located<String> name = item.required("name");
    String hostname = item.string("hostname").map(h -> hostname(item, "hostname", h)).orElse("");
    if (!item.has("port")) {
      item.error("port", "is missing", "");
    }
    Optional<Located<Integer>> port = item.integer("port", 1, 65535);
    String protocol = item.required("protocol").value();
    Optional<List<Reference>> certificates = Optional.empty();
    Optional<Fields> tls = item.mapping("tls");
    switch (protocol) {
      case "HTTP" -> {
        if (tls.isPresent()) {
          item.error("tls", "means nothing on an HTTP listener", "remove it, or use HTTPS");
        }
      }
      case "HTTPS" -> certificates = Optional.of(certificates(item, tls));
      case "" -> {}
      default ->
          item.error(
              "protocol",
              "listeners of protocol " + protocol + " are not honoured yet",
              "HTTP or HTTPS");
    }
    AllowedRoutes allowed =
        item.mapping("allowedRoutes").map(GatewayReader::allowed).orElse(new AllowedRoutes.Same());
    item.finish();
    Optional<List<Reference>> found = certificates;
    return port.map(p -> new Listener(name, hostname, p.value(), found, allowed));
  }

  private static List<Reference> certificates(Fields item, Optional<Fields> tls) {
    List<Reference> references = new ArrayList<>();
    if (tls.isPresent()) {
      Fields fields = tls.get();
      if (!fields.text("mode", "Terminate").equals("Terminate")) {
        fields.error("mode", "must be Terminate on an HTTPS listener", "");
      }
      fields.unsupported("frontendValidation", "leave it out until it is");
      fields.unsupported("options", "leave it out until it is");
      for (Fields reference : fields.mappings("certificateRefs")) {
        Reference found = reference(reference, "", "Secret");
        reference.finish();
        if (!found.group().isEmpty() || !found.kind().equals("Secret")) {
          reference.error("kind", "only core Secrets hold certificates", "");
        } else {
          references.add(found);
        }
      }
      fields.finish();
    }
    if (references.isEmpty()) {
      item.error(
          "tls",
          "an HTTPS listener needs certificateRefs",
          "name a Secret of type kubernetes.io/tls");
    }
    return references;
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
    for (Fields kind : fields.mappings("kinds")) {
      if (!kind.text("group", GROUP).equals(GROUP)
          || !kind.required("kind").value().equals("HTTPRoute")) {
        kind.error("kind", "routes of this kind are not honoured yet", "HTTPRoute");
      }
      kind.finish();
    }
    fields.finish();
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

  static Reference reference(Fields fields, String group, String kind) {
    OptionalInt port =
        fields
            .integer("port", 1, 65535)
            .map(p -> OptionalInt.of(p.value()))
            .orElse(OptionalInt.empty());
    Position at = fields.at();
    return new Reference(
        fields.text("group", group),
        fields.text("kind", kind),
        fields.string("namespace").map(Located::value),
        fields.required("name").value(),
        fields.string("sectionName").map(Located::value),
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
