// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import dev.weir.policy.plan.ProxyPlan.SubjectAltName;
import java.net.URI;
import java.net.URISyntaxException;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/** Reads {@code gateway.networking.k8s.io BackendTLSPolicy}. */
final class BackendTlsPolicyReader {

  private BackendTlsPolicyReader() {}

  static Resource read(Meta meta, Fields object) {
    object.ignore("apiVersion", "kind", "metadata", "status");
    Fields spec = object.mapping("spec").orElseGet(() -> object.empty("spec"));
    object.finish();
    List<Reference> targets = new ArrayList<>();
    Set<String> distinct = new HashSet<>();
    for (Fields item : spec.mappings("targetRefs")) {
      Reference target = GatewayReader.reference(item, "", "");
      item.finish();
      if (target.kind().isEmpty()) {
        item.error("kind", "is missing", "Service");
      }
      if (!distinct.add(target.kind() + " " + target.name() + " " + target.sectionName())) {
        item.error("the same target occurs twice", "remove one of the two");
      }
      targets.add(target);
    }
    if (targets.isEmpty()) {
      spec.error("targetRefs", "is missing or empty", "name a Service");
    }
    if (spec.has("options")) {
      spec.error("options", "are not known to Weir", "leave them out");
    }
    Fields validation = spec.mapping("validation").orElseGet(() -> spec.empty("validation"));
    Located<String> name = validation.required("hostname");
    String hostname =
        name.value().isEmpty() ? "" : GatewayReader.hostname(validation, "hostname", name);
    if (hostname.startsWith("*")) {
      validation.error("hostname", "a wildcard is no server name", "name one host");
    }
    List<SubjectAltName> names = new ArrayList<>();
    for (Fields item : validation.mappings("subjectAltNames")) {
      alternative(item).ifPresent(names::add);
    }
    List<Reference> authorities = new ArrayList<>();
    for (Fields item : validation.mappings("caCertificateRefs")) {
      authorities.add(GatewayReader.reference(item, "", ""));
      item.finish();
    }
    String wellKnown = validation.text("wellKnownCACertificates", "");
    if (!wellKnown.isEmpty() && !wellKnown.equals("System")) {
      validation.error("wellKnownCACertificates", "is \"" + wellKnown + "\"", "System");
    }
    if (wellKnown.isEmpty() == authorities.isEmpty()) {
      validation.error(
          "caCertificateRefs",
          authorities.isEmpty()
              ? "nothing says which authorities are trusted"
              : "stands beside wellKnownCACertificates",
          "either caCertificateRefs or wellKnownCACertificates: System");
    }
    validation.finish();
    spec.finish();
    return new BackendTlsPolicy(meta, targets, hostname, names, !wellKnown.isEmpty(), authorities);
  }

  private static Optional<SubjectAltName> alternative(Fields item) {
    String type = item.required("type").value();
    Optional<Located<String>> hostname = item.string("hostname").filter(h -> !h.value().isEmpty());
    Optional<Located<String>> uri = item.string("uri").filter(u -> !u.value().isEmpty());
    item.finish();
    if (type.equals("Hostname") && hostname.isPresent() && uri.isEmpty()) {
      return Optional.of(
          new SubjectAltName(false, GatewayReader.hostname(item, "hostname", hostname.get())));
    }
    if (type.equals("URI") && uri.isPresent() && hostname.isEmpty()) {
      if (!absolute(uri.get().value())) {
        item.error("uri", "\"" + uri.get().value() + "\" is no absolute URI", "as spiffe://a/b");
      }
      return Optional.of(new SubjectAltName(true, uri.get().value()));
    }
    item.error(
        "type",
        "is \"" + type + "\", which does not go with the fields beside it",
        "Hostname with hostname, or URI with uri");
    return Optional.empty();
  }

  private static boolean absolute(String text) {
    try {
      return new URI(text).isAbsolute();
    } catch (URISyntaxException e) {
      return false;
    }
  }
}
