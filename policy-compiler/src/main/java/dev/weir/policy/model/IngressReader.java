// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import dev.weir.policy.model.Ingress.Backend;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** Reads {@code networking.k8s.io/v1 Ingress}. */
final class IngressReader {

  private IngressReader() {}

  static Resource read(Meta meta, Fields object) {
    object.ignore("apiVersion", "kind", "metadata", "status");
    Fields spec = object.mapping("spec").orElseGet(() -> object.empty("spec"));
    object.finish();
    spec.ignore("ingressClassName", "tls");
    List<Backend> backends = new ArrayList<>();
    spec.mapping("defaultBackend").flatMap(IngressReader::backend).ifPresent(backends::add);
    for (Fields rule : spec.mappings("rules")) {
      rule.ignore("host");
      Fields http = rule.mapping("http").orElseGet(() -> rule.empty("http"));
      for (Fields path : http.mappings("paths")) {
        path.ignore("path", "pathType");
        if (!path.has("backend")) {
          path.error("backend", "is missing", "name a service");
        }
        path.mapping("backend").flatMap(IngressReader::backend).ifPresent(backends::add);
        path.finish();
      }
      http.finish();
      rule.finish();
    }
    spec.finish();
    object.warning(
        "kind",
        "an Ingress is not served by Weir: it only says whom its controller dials",
        "to serve it here, write it as Gateway and HTTPRoute");
    return new Ingress(meta, backends);
  }

  private static Optional<Backend> backend(Fields fields) {
    if (fields.has("resource")) {
      fields.warning("resource", "is passed over: only a service says who is dialled", "");
    }
    Optional<Fields> service = fields.mapping("service");
    fields.finish();
    if (service.isEmpty()) {
      return Optional.empty();
    }
    String name = service.get().required("name").value();
    Optional<Fields> port = service.get().mapping("port");
    service.get().finish();
    if (port.isEmpty()) {
      service.get().error("port", "is missing", "name or number of a port of the Service");
      return Optional.empty();
    }
    Fields fieldsOfPort = port.get();
    if (fieldsOfPort.has("name") == fieldsOfPort.has("number")) {
      fieldsOfPort.error("must have one of name and number", "");
    }
    Optional<PortReference> reference =
        fieldsOfPort.has("name")
            ? fieldsOfPort.string("name").map(n -> new PortReference.Named(n.value()))
            : fieldsOfPort
                .integer("number", 1, 65535)
                .map(n -> new PortReference.Numbers(n.value(), n.value()));
    fieldsOfPort.finish();
    return reference.map(r -> new Backend(name, r, fields.at()));
  }
}
