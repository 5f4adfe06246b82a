// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import dev.weir.policy.model.Workload.Controller;
import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Protocol;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/**
 * Reads Pod and the kinds that make pods. Of a pod's many fields only those that say something
 * about traffic are looked at; the others are passed over.
 */
final class PodReader {

  /** Phases of a Pod whose containers have all ended and will not be started again. */
  private static final Set<String> ENDED = Set.of("Succeeded", "Failed");

  private PodReader() {}

  /** Empty when nobody runs or will run: a Pod that has ended, a ReplicaSet rolled over. */
  static Optional<Resource> read(Meta meta, String kind, Fields object) {
    object.ignore("apiVersion", "kind");
    Fields spec = object.mapping("spec").orElseGet(() -> object.empty("spec"));
    Optional<Controller> controller = controller(object);
    if (kind.equals("Pod")) {
      Fields status = object.mapping("status").orElseGet(() -> object.empty("status"));
      object.finish();
      if (ENDED.contains(status.text("phase", ""))) {
        return Optional.empty();
      }
      return Optional.of(pod(meta, kind, controller, spec, addresses(status)));
    }
    object.ignore("status");
    object.finish();
    Fields job =
        kind.equals("CronJob") ? part(part(spec, "jobTemplate", kind), "spec", kind) : spec;
    Fields template = part(job, "template", kind);
    Fields metadata = template.mapping("metadata").orElseGet(() -> template.empty("metadata"));
    Meta labelled =
        new Meta(
            meta.namespace(),
            meta.name(),
            Labels.of(metadata),
            meta.annotations(),
            meta.created(),
            meta.at());
    metadata.warnOfLookalikes("labels");
    Fields podSpec = part(template, "spec", kind);
    if (kind.equals("ReplicaSet") && controller.isPresent() && none(spec)) {
      // What a Deployment keeps to roll back to. Its labels may be those of long ago.
      return Optional.empty();
    }
    return Optional.of(pod(labelled, kind, controller, podSpec, List.of()));
  }

  private static boolean none(Fields spec) {
    return spec.integer("replicas", 0, Integer.MAX_VALUE).map(n -> n.value() == 0).orElse(false);
  }

  /**
   * What the kubelet says. Whether it is believed is not decided here; what is no address is none.
   */
  private static List<Located<Address>> addresses(Fields status) {
    List<Located<String>> texts = new ArrayList<>();
    for (Fields item : status.mappings("podIPs")) {
      item.string("ip").ifPresent(texts::add);
    }
    if (texts.isEmpty()) {
      status.string("podIP").ifPresent(texts::add);
    }
    List<Located<Address>> addresses = new ArrayList<>();
    for (Located<String> text : texts) {
      Address.parse(text.value())
          .filter(a -> !a.isLoopback())
          .ifPresent(a -> addresses.add(new Located<>(a, text.at(), text.field())));
    }
    return addresses;
  }

  private static Fields part(Fields fields, String key, String kind) {
    if (!fields.has(key)) {
      fields.error(key, "is missing: a " + kind + " says there what its pods are", "");
      return fields.empty(key);
    }
    return fields.mapping(key).orElseGet(() -> fields.empty(key));
  }

  /** A mirror pod is controlled by its Node, which is no workload. */
  private static Optional<Controller> controller(Fields object) {
    Fields metadata = object.mapping("metadata").orElseGet(() -> object.empty("metadata"));
    for (Fields owner : metadata.mappings("ownerReferences")) {
      String kind = owner.text("kind", "Pod");
      if (owner.bool("controller", false) && !kind.equals("Node")) {
        Located<String> name = owner.required("name");
        return name.value().isEmpty()
            ? Optional.empty()
            : Optional.of(new Controller(kind, name.value()));
      }
    }
    return Optional.empty();
  }

  private static Workload pod(
      Meta meta,
      String kind,
      Optional<Controller> controller,
      Fields spec,
      List<Located<Address>> addresses) {
    boolean hostNetwork = spec.bool("hostNetwork", false);
    List<Workload.Port> ports = new ArrayList<>();
    Set<String> seen = new HashSet<>();
    for (Fields container : spec.mappings("containers")) {
      ports(container, seen, ports);
    }
    // As Kubernetes looks a port's name up: sidecars after the containers. Other init containers
    // have ended when the pod is reached.
    for (Fields container : spec.mappings("initContainers")) {
      if (container.text("restartPolicy", "").equals("Always")) {
        ports(container, seen, ports);
      }
    }
    spec.warnOfLookalikes("serviceAccountName", "hostNetwork", "containers", "initContainers");
    return new Workload(
        meta,
        kind,
        controller,
        spec.text("serviceAccountName", spec.text("serviceAccount", "default")),
        Optional.empty(),
        List.of(),
        // With hostNetwork it is the node's address, which says nothing about this pod.
        hostNetwork ? List.of() : addresses,
        ports,
        false,
        hostNetwork);
  }

  private static void ports(Fields container, Set<String> seen, List<Workload.Port> ports) {
    container.warnOfLookalikes("ports");
    Set<String> here = new HashSet<>();
    for (Fields item : container.mappings("ports")) {
      item.ignore("hostPort", "hostIP");
      String name = item.text("name", "");
      if (!name.isEmpty() && !ServiceReader.portName(name)) {
        item.error(
            "name", "\"" + name + "\" is not a port name", "lower-case letters, digits and '-'");
      }
      if (!name.isEmpty() && !here.add(name)) {
        item.error(
            "name", "\"" + name + "\" occurs twice in the container", "rename one of the two");
      }
      if (!item.has("containerPort")) {
        item.error("containerPort", "is missing", "");
      }
      Protocol protocol = item.choice("protocol", ServiceReader.PROTOCOLS).orElse(Protocol.TCP);
      Optional<Located<Integer>> port = item.integer("containerPort", 1, 65535);
      // As Kubernetes resolves a name: the first container that has it says what it means.
      boolean first = name.isEmpty() || seen.add(protocol + " " + name);
      if (port.isPresent() && first) {
        ports.add(new Workload.Port(name, port.get().value(), protocol, item.at()));
      }
      item.finish();
    }
  }
}
