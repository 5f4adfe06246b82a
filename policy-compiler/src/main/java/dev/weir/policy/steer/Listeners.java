// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.steer;

import dev.weir.policy.cluster.Cluster;
import dev.weir.policy.identity.PemCertificates;
import dev.weir.policy.model.ConfigMap;
import dev.weir.policy.model.Gateway;
import dev.weir.policy.model.Reference;
import dev.weir.policy.model.Resource;
import dev.weir.policy.model.Secret;
import dev.weir.policy.plan.ProxyPlan.ClientTrust;
import dev.weir.policy.plan.ProxyPlan.ListenerProtocol;
import dev.weir.policy.plan.TlsKeyPair;
import dev.weir.policy.source.Diagnostics;
import dev.weir.policy.source.Purpose;
import java.security.cert.CertificateException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;

/** Our Gateways' listeners: which of them can be there together, and their certificates. */
final class Listeners {

  private final Cluster cluster;
  private final Grants grants;
  private final Diagnostics diagnostics;
  private final List<Placed> placed = new ArrayList<>();
  private final Map<String, TlsKeyPair> keyPairs = new TreeMap<>();

  /** A listener of a Gateway. */
  record Placed(Gateway gateway, Gateway.Listener listener) {
    String id() {
      return Attachment.id(gateway, listener);
    }
  }

  Listeners(Cluster cluster, Grants grants, Diagnostics diagnostics) {
    this.cluster = cluster;
    this.grants = grants;
    this.diagnostics = diagnostics;
    for (Gateway gateway : cluster.all(Gateway.class)) {
      if (!gateway.ours()) {
        diagnostics.warning(
            gateway.meta().at(),
            "spec.gatewayClassName",
            "is \"" + gateway.className() + "\": the Gateway is somebody else's and passed over",
            "\"" + Gateway.CLASS + "\" for a Gateway of Weir");
        continue;
      }
      Attachment.report(gateway.limits(), diagnostics);
      withoutConflicts(gateway);
    }
    findShared();
  }

  /** Listeners that can be served, by Gateway and in file order. */
  List<Placed> placed() {
    return placed;
  }

  /** Key pairs that listeners name, by name. */
  List<TlsKeyPair> keyPairs() {
    return List.copyOf(keyPairs.values());
  }

  private enum Transport {
    HTTP,
    TLS,
    TCP
  }

  private static Transport transport(ListenerProtocol protocol) {
    return switch (protocol) {
      case HTTP -> Transport.HTTP;
      case HTTPS, TLS_PASSTHROUGH, TLS_TERMINATE -> Transport.TLS;
      case TCP -> Transport.TCP;
    };
  }

  /**
   * Listeners of one port must be told apart by what a client sends first. Those that cannot are
   * all not there, as the API says: nobody can know which of them is meant.
   */
  private void withoutConflicts(Gateway gateway) {
    for (Gateway.Listener listener : gateway.listeners()) {
      Optional<Gateway.Listener> other =
          gateway.listeners().stream().filter(l -> conflict(l, listener)).findFirst();
      if (other.isEmpty()) {
        placed.add(new Placed(gateway, listener));
      } else {
        diagnostics.unserved(
            listener.name().at(),
            listener.name().field(),
            "port "
                + listener.port()
                + " cannot have both protocols, here and in listener "
                + other.get().name().value()
                + ": neither of the two is there");
      }
    }
  }

  private static boolean conflict(Gateway.Listener one, Gateway.Listener other) {
    if (one.equals(other) || one.port() != other.port()) {
      return false;
    }
    return transport(one.protocol()) != transport(other.protocol())
        || one.protocol() != other.protocol() && one.hostname().equals(other.hostname());
  }

  /** Two Gateways may say different things about one place, which can be asked but not served. */
  private void findShared() {
    Map<String, Placed> taken = new HashMap<>();
    Map<Integer, Placed> ports = new HashMap<>();
    for (Placed place : placed) {
      Gateway.Listener listener = place.listener();
      List<String> addresses =
          place.gateway().addresses().isEmpty()
              ? List.of("every address")
              : place.gateway().addresses().stream().map(a -> a.value().toString()).toList();
      Placed onPort = ports.putIfAbsent(listener.port(), place);
      boolean otherProtocol =
          onPort != null
              && !onPort.gateway().equals(place.gateway())
              && transport(onPort.listener().protocol()) != transport(listener.protocol());
      for (String address : addresses) {
        Placed other =
            taken.putIfAbsent(address + " " + listener.port() + " " + listener.hostname(), place);
        if (other == null && otherProtocol) {
          other = onPort;
        }
        if (other != null && !other.gateway().equals(place.gateway())) {
          diagnostics.unserved(
              listener.name().at(),
              listener.name().field(),
              "port "
                  + listener.port()
                  + " of "
                  + address
                  + " is also that of listener "
                  + other.id()
                  + ": two Gateways at one place need addresses of their own");
        }
      }
    }
  }

  /** Names of the key pairs of a listener. */
  List<String> certificates(Placed place) {
    List<String> names = new ArrayList<>();
    for (Reference reference : place.listener().certificates()) {
      certificate(place, reference).ifPresent(names::add);
    }
    return names;
  }

  private Optional<String> certificate(Placed place, Reference reference) {
    String own = place.gateway().meta().namespace();
    String namespace = reference.namespace().orElse(own);
    String name = namespace + "/" + reference.name();
    if (!reference.group().isEmpty() || !reference.kind().equals("Secret")) {
      problem(
          reference,
          "certificates of kind " + reference.kind() + " are not known",
          "a Secret of type kubernetes.io/tls");
      return Optional.empty();
    }
    if (!grants.allow("Gateway", own, "Secret", namespace, reference.name())) {
      problem(
          reference,
          "no ReferenceGrant of namespace " + namespace + " allows Secret " + name,
          "add one, or move the Secret");
      return Optional.empty();
    }
    Optional<Secret.KeyPair> pair = named(Secret.class, name).flatMap(Secret::keyPair);
    if (pair.isPresent()) {
      keyPairs.put(name, new TlsKeyPair(name, pair.get().certificatePem(), pair.get().keyPem()));
    } else {
      problem(
          reference,
          "Secret "
              + name
              + " of type kubernetes.io/tls is not among the files: listener "
              + place.listener().name().value()
              + " has no certificate",
          "add it: kubectl create secret tls "
              + reference.name()
              + " -n "
              + namespace
              + " --cert=CHAIN --key=KEY --dry-run=client -o yaml");
    }
    return Optional.of(name);
  }

  /** Whose certificates clients of a listener must show. */
  Optional<ClientTrust> clients(Placed place) {
    return place
        .listener()
        .clients()
        .map(
            clients ->
                new ClientTrust(
                    clients.authorities().stream()
                        .flatMap(reference -> authorities(place, reference).stream())
                        .toList(),
                    clients.required()));
  }

  /** The certificates in what is named; none, which lets nobody in, when it is not there. */
  private Optional<String> authorities(Placed place, Reference reference) {
    String own = place.gateway().meta().namespace();
    String namespace = reference.namespace().orElse(own);
    String name = namespace + "/" + reference.name();
    String kind = reference.kind();
    if (!reference.group().isEmpty() || !kind.equals("ConfigMap") && !kind.equals("Secret")) {
      problem(
          reference,
          "authorities of kind " + kind + " are not known",
          "a ConfigMap or Secret with ca.crt, of group \"\"");
      return Optional.empty();
    }
    if (!grants.allow("Gateway", own, kind, namespace, reference.name())) {
      problem(
          reference,
          "no ReferenceGrant of namespace " + namespace + " allows " + kind + " " + name,
          "add one, or move the " + kind);
      return Optional.empty();
    }
    Optional<String> pem =
        kind.equals("ConfigMap")
            ? named(ConfigMap.class, name).map(ConfigMap::certificatesPem)
            : named(Secret.class, name).flatMap(Secret::authoritiesPem);
    if (pem.isEmpty()) {
      problem(
          reference,
          "no "
              + kind
              + " "
              + name
              + " with ca.crt is among the files: no client of listener "
              + place.listener().name().value()
              + " could be believed",
          "add it, with the certificates of the clients' authorities as PEM in ca.crt");
      return Optional.empty();
    }
    try {
      if (PemCertificates.read(pem.get()).isEmpty()) {
        throw new CertificateException("there is none in it");
      }
      return pem;
    } catch (CertificateException e) {
      problem(
          reference,
          "ca.crt of " + kind + " " + name + " holds no PEM certificates: " + e.getMessage(),
          "put the certificates of the clients' authorities there as PEM");
      return Optional.empty();
    }
  }

  private <T extends Resource> Optional<T> named(Class<T> kind, String name) {
    return cluster.all(kind).stream()
        .filter(r -> r.meta().qualifiedName().equals(name))
        .findFirst();
  }

  /** An error, so that a lost file cannot take a listener away; no answer depends on it. */
  private void problem(Reference reference, String message, String remedy) {
    if (diagnostics.purpose() == Purpose.ASK) {
      diagnostics.warning(reference.at(), reference.field(), message, remedy);
    } else {
      diagnostics.error(reference.at(), reference.field(), message, remedy);
    }
  }
}
