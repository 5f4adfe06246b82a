// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import dev.weir.policy.model.PeerAuthentication.Mode;
import dev.weir.policy.source.Node;
import dev.weir.policy.source.Node.Entry;
import dev.weir.policy.source.Node.Mapping;
import dev.weir.policy.source.Node.Scalar;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;

/**
 * Reads {@code security.istio.io PeerAuthentication}, and says of {@code RequestAuthentication}
 * that it is not served.
 *
 * <p>Source: Istio, PeerAuthentication reference, and the rules of its validating webhook.
 */
final class PeerAuthenticationReader {

  private static final Map<String, Mode> MODES =
      Map.of(
          "UNSET", Mode.UNSET,
          "DISABLE", Mode.DISABLE,
          "PERMISSIVE", Mode.PERMISSIVE,
          "STRICT", Mode.STRICT);

  private PeerAuthenticationReader() {}

  static Resource read(Meta meta, Fields object) {
    object.ignore("apiVersion", "kind", "metadata", "status");
    Fields spec = object.mapping("spec").orElseGet(() -> object.empty("spec"));
    object.finish();
    Optional<LabelSelector> selector =
        spec.mapping("selector").map(AuthorizationPolicyReader.TargetReader::selector);
    Mode mode = spec.mapping("mtls").map(PeerAuthenticationReader::mode).orElse(Mode.UNSET);
    Map<Integer, Mode> ports = ports(spec);
    if (!ports.isEmpty() && selector.filter(s -> !s.isEmpty()).isEmpty()) {
      spec.error(
          "portLevelMtls",
          "needs a selector: only workloads have ports, a namespace has none",
          "name the workloads, or use mtls");
    }
    spec.finish();
    return new PeerAuthentication(meta, selector, mode, ports);
  }

  private static Mode mode(Fields mtls) {
    Mode mode = mtls.choice("mode", MODES).orElse(Mode.UNSET);
    mtls.finish();
    return mode;
  }

  private static Map<Integer, Mode> ports(Fields spec) {
    Map<Integer, Mode> ports = new TreeMap<>();
    Optional<Fields> fields = spec.mapping("portLevelMtls");
    if (fields.isEmpty()) {
      return ports;
    }
    Node node = spec.node("portLevelMtls").orElseThrow();
    if (node instanceof Mapping mapping) {
      if (mapping.entries().isEmpty()) {
        spec.error("portLevelMtls", "is empty", "name a port, or leave it out");
      }
      for (Entry entry : mapping.entries()) {
        Scalar key = entry.key();
        int port = key.text().matches("[0-9]{1,5}") ? Integer.parseInt(key.text()) : 0;
        if (port < 1 || port > 65535) {
          fields.get().error(key.text(), "is no port of a workload", "a number from 1 to 65535");
          continue;
        }
        fields.get().mapping(key.text()).ifPresent(mtls -> ports.put(port, mode(mtls)));
      }
    }
    return ports;
  }

  /**
   * Tokens are not verified yet. Left out, rules about {@code requestPrincipals} and {@code
   * request.auth} would judge every request as one without a token, and a bad token would pass.
   */
  static void requestAuthentication(Fields object) {
    object.unserved(
        "kind",
        "tokens of requests are not verified: rules about requestPrincipals and request.auth see"
            + " none");
  }
}
