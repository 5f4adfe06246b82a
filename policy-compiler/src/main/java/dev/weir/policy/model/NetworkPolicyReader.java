// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import dev.weir.policy.model.LabelSelector.Operator;
import dev.weir.policy.model.LabelSelector.Requirement;
import dev.weir.policy.model.NetworkPolicy.Clause;
import dev.weir.policy.model.NetworkPolicy.Peer;
import dev.weir.policy.model.NetworkPolicy.Port;
import dev.weir.policy.plan.Block;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.source.Lint;
import dev.weir.policy.source.Node.Sequence;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** Reads {@code networking.k8s.io/v1 NetworkPolicy} and label selectors. */
final class NetworkPolicyReader {

  private static final Map<String, Operator> OPERATORS =
      Map.of(
          "In", Operator.IN,
          "NotIn", Operator.NOT_IN,
          "Exists", Operator.EXISTS,
          "DoesNotExist", Operator.DOES_NOT_EXIST);

  private final Fields object;

  NetworkPolicyReader(Fields object) {
    this.object = object;
  }

  Resource read(Meta meta) {
    object.ignore("apiVersion", "kind", "metadata", "status");
    Optional<Fields> found = object.mapping("spec");
    boolean audit = Annotations.audit(object);
    object.finish();
    if (found.isEmpty()) {
      // As the API has it: no spec selects every pod and isolates it for ingress.
      return new NetworkPolicy(
          meta,
          new LabelSelector(Map.of(), List.of(), meta.at()),
          true,
          false,
          List.of(),
          List.of(),
          audit);
    }
    Fields spec = found.get();
    LabelSelector pods =
        spec.mapping("podSelector")
            .map(NetworkPolicyReader::selector)
            .orElse(new LabelSelector(Map.of(), List.of(), spec.at()));
    List<Clause> ingress = clauses(meta, spec, "ingress", "from");
    List<Clause> egress = clauses(meta, spec, "egress", "to");
    List<Located<String>> types = spec.strings("policyTypes");
    boolean isolatesIngress = types.isEmpty();
    boolean isolatesEgress = types.isEmpty() && !egress.isEmpty();
    for (Located<String> type : types) {
      switch (type.value()) {
        case "Ingress" -> isolatesIngress = true;
        case "Egress" -> isolatesEgress = true;
        default ->
            spec.error(
                "policyTypes", "\"" + type.value() + "\" is no policy type", "Ingress or Egress");
      }
    }
    if (types.size() > 2) {
      spec.warning("policyTypes", "an API server refuses more than two", "name each of them once");
    }
    if (!isolatesEgress && !egress.isEmpty()) {
      spec.lint(
          Lint.NEVER_MATCHES,
          meta,
          "egress",
          "has no effect: policyTypes does not name Egress",
          "add Egress to it");
    }
    if (!isolatesIngress && !ingress.isEmpty()) {
      spec.lint(
          Lint.NEVER_MATCHES,
          meta,
          "ingress",
          "has no effect: policyTypes does not name Ingress",
          "add Ingress to it");
    }
    spec.finish();
    return new NetworkPolicy(meta, pods, isolatesIngress, isolatesEgress, ingress, egress, audit);
  }

  private static List<Clause> clauses(Meta meta, Fields spec, String key, String peersKey) {
    List<Clause> clauses = new ArrayList<>();
    for (Fields item : spec.mappings(key)) {
      List<Peer> peers = new ArrayList<>();
      for (Fields peer : item.mappings(peersKey)) {
        peer(peer).ifPresent(peers::add);
      }
      List<Port> ports = new ArrayList<>();
      for (Fields port : item.mappings("ports")) {
        port(port).ifPresent(ports::add);
      }
      if (key.equals("egress")
          && !peers.isEmpty()
          && peers.stream().allMatch(Peer.Addresses.class::isInstance)) {
        for (Port port : ports) {
          if (port.port().isPresent() && port.port().get() instanceof PortReference.Named named) {
            item.error(
                "ports",
                "an ipBlock has no port named \""
                    + named.name()
                    + "\": names are given by workloads, and addresses of workloads are in no"
                    + " block",
                "write its number, or two rules, one for the ipBlock and one for selectors");
          }
        }
      }
      for (String list : List.of(peersKey, "ports")) {
        if (item.node(list)
            .filter(n -> n instanceof Sequence s && s.items().isEmpty())
            .isPresent()) {
          item.lint(
              Lint.WIDE,
              meta,
              list,
              "is an empty list, which means " + (list.equals("ports") ? "any port" : "anybody"),
              "leave it out if that is meant");
        }
      }
      item.finish();
      clauses.add(new Clause(peers, ports, item.at()));
    }
    return clauses;
  }

  private static Optional<Peer> peer(Fields peer) {
    Optional<Fields> block = peer.mapping("ipBlock");
    Optional<LabelSelector> pods = peer.mapping("podSelector").map(NetworkPolicyReader::selector);
    Optional<LabelSelector> namespaces =
        peer.mapping("namespaceSelector").map(NetworkPolicyReader::selector);
    peer.finish();
    if (block.isPresent()) {
      if (pods.isPresent() || namespaces.isPresent()) {
        peer.error(
            "has ipBlock beside a selector", "write two peers, one with each, to allow both");
        return Optional.empty();
      }
      return addresses(block.get());
    }
    if (pods.isEmpty() && namespaces.isEmpty()) {
      peer.error(
          "has neither podSelector, namespaceSelector nor ipBlock",
          "to allow everybody, leave out the whole list");
      return Optional.empty();
    }
    return Optional.of(new Peer.Pods(namespaces, pods, peer.at()));
  }

  private static Optional<Peer> addresses(Fields fields) {
    Located<String> cidr = fields.required("cidr");
    Optional<Block> block = cidr.value().isEmpty() ? Optional.empty() : Block.parse(cidr.value());
    if (block.isEmpty() && !cidr.value().isEmpty()) {
      fields.error(
          "cidr", "\"" + cidr.value() + "\" is no address block", "as 10.0.0.0/8 or fd00::/8");
    }
    List<Block> except = new ArrayList<>();
    for (Located<String> text : fields.strings("except")) {
      Optional<Block> hole = Block.parse(text.value());
      if (hole.isEmpty()) {
        fields.error(
            "except", "\"" + text.value() + "\" is no address block", "as 10.0.0.0/8 or fd00::/8");
      } else if (block.isPresent()
          && (!block.get().contains(hole.get()) || block.get().equals(hole.get()))) {
        fields.error(
            "except",
            text.value() + " does not lie strictly within " + cidr.value(),
            "name a smaller block of it");
      }
      hole.ifPresent(except::add);
    }
    fields.finish();
    return block.map(b -> new Peer.Addresses(b, except, fields.at()));
  }

  private static Optional<Port> port(Fields fields) {
    Protocol protocol = fields.choice("protocol", ServiceReader.PROTOCOLS).orElse(Protocol.TCP);
    Optional<PortReference> port = ServiceReader.reference(fields, "port");
    boolean bad = fields.has("port") && port.isEmpty();
    Optional<Located<Integer>> end = fields.integer("endPort", 1, 65535);
    if (end.isPresent()) {
      if (port.isPresent() && port.get() instanceof PortReference.Numbers numbers) {
        if (end.get().value() < numbers.first()) {
          fields.error("endPort", "is smaller than port", "");
          bad = true;
        } else {
          port = Optional.of(new PortReference.Numbers(numbers.first(), end.get().value()));
        }
      } else if (!bad) {
        fields.error("endPort", "needs a port that is a number", "");
        bad = true;
      }
    }
    fields.finish();
    return bad ? Optional.empty() : Optional.of(new Port(protocol, port, fields.at()));
  }

  /** A label selector. */
  static LabelSelector selector(Fields fields) {
    Map<String, String> labels = Labels.selecting(fields, "matchLabels");
    List<Requirement> requirements = new ArrayList<>();
    for (Fields item : fields.mappings("matchExpressions")) {
      Located<String> key = item.required("key");
      if (!key.value().isEmpty()) {
        Labels.checkKey(item, key.value());
      }
      if (!item.has("operator")) {
        item.error("operator", "is missing", "In, NotIn, Exists or DoesNotExist");
      }
      Optional<Operator> operator = item.choice("operator", OPERATORS);
      List<String> values = item.strings("values").stream().map(Located::value).toList();
      if (operator.isPresent()) {
        boolean wants = operator.get() == Operator.IN || operator.get() == Operator.NOT_IN;
        if (wants && values.isEmpty()) {
          item.error("values", "is missing or empty", "In and NotIn need values");
        } else if (!wants && !values.isEmpty()) {
          item.error("values", "must be empty for Exists and DoesNotExist", "");
        }
        values.forEach(value -> Labels.checkValue(item, "values", value));
        requirements.add(new Requirement(key.value(), operator.get(), values));
      }
      item.finish();
    }
    fields.finish();
    return new LabelSelector(labels, requirements, fields.at());
  }
}
