// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.steer;

import dev.weir.policy.cluster.Cluster;
import dev.weir.policy.identity.NotAnSvidException;
import dev.weir.policy.identity.PemCertificates;
import dev.weir.policy.identity.SvidRules;
import dev.weir.policy.model.ConfigMap;
import dev.weir.policy.model.Mesh;
import dev.weir.policy.model.Reference;
import dev.weir.policy.model.Resource;
import dev.weir.policy.model.Secret;
import dev.weir.policy.plan.TlsKeyPair;
import dev.weir.policy.source.Diagnostics;
import dev.weir.policy.source.Purpose;
import java.security.cert.CertificateException;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;

/**
 * Certificates of service accounts that are Secrets among the files, as cert-manager writes them,
 * and whom nodes believe besides: what tunnels are made with in place of files of identities.
 */
final class MeshIdentities {

  private final Cluster cluster;
  private final Diagnostics diagnostics;
  private final Map<String, TlsKeyPair> byId = new TreeMap<>();
  private final List<String> authorities = new ArrayList<>();

  MeshIdentities(Cluster cluster, Diagnostics diagnostics) {
    this.cluster = cluster;
    this.diagnostics = diagnostics;
    Optional<Mesh> mesh = cluster.mesh();
    mesh.flatMap(Mesh::tunnels)
        .ifPresent(
            tunnels -> {
              cluster
                  .all(Secret.class)
                  .forEach(secret -> identity(secret, mesh.get().trustDomain()));
              tunnels
                  .authorities()
                  .forEach(reference -> authority(reference, mesh.get().meta().namespace()));
            });
  }

  /** Those of service accounts, each account's once, by its name. */
  List<TlsKeyPair> keyPairs() {
    return List.copyOf(byId.values());
  }

  /** Certificates of whom to believe, in PEM. */
  List<String> authorities() {
    return List.copyOf(authorities);
  }

  /** A Secret is one by the SPIFFE ID in its certificate; others are none of ours. */
  private void identity(Secret secret, String trustDomain) {
    Optional<Secret.KeyPair> pair = secret.keyPair();
    if (pair.isEmpty() || !pair.get().certificatePem().contains("-----BEGIN CERTIFICATE-----")) {
      return;
    }
    String namespace = secret.meta().namespace();
    try {
      List<X509Certificate> chain = PemCertificates.read(pair.get().certificatePem());
      List<String> ids =
          SvidRules.uris(chain.getFirst()).stream()
              .filter(uri -> uri.startsWith(SvidRules.SCHEME))
              .toList();
      if (ids.isEmpty()) {
        return;
      }
      String id = SvidRules.idOf(chain.getFirst());
      String accounts = SvidRules.SCHEME + trustDomain + "/ns/" + namespace + "/sa/";
      if (!id.startsWith(accounts) || !id.substring(accounts.length()).matches("[A-Za-z0-9._-]+")) {
        problem(
            secret,
            "its certificate is of "
                + id
                + ", and a Secret here can only be of "
                + accounts
                + "...",
            "move it to its service account's namespace, or look at Mesh.spec.trustDomain");
        return;
      }
      TlsKeyPair other =
          byId.putIfAbsent(
              id,
              new TlsKeyPair(
                  secret.meta().qualifiedName(), pair.get().certificatePem(), pair.get().keyPem()));
      if (other != null) {
        problem(secret, id + " is also that of Secret " + other.name(), "leave one of the two out");
      }
    } catch (NotAnSvidException e) {
      problem(
          secret,
          "its certificate names a service account and cannot prove it: " + e.getMessage(),
          "have it issued as an X.509-SVID");
    } catch (CertificateException e) {
      problem(secret, "tls.crt cannot be read: " + e.getMessage(), "put the chain there as PEM");
    }
  }

  private void authority(Reference reference, String own) {
    String name = reference.namespace().orElse(own) + "/" + reference.name();
    Optional<String> pem =
        switch (reference.group() + "/" + reference.kind()) {
          case "/ConfigMap" -> named(ConfigMap.class, name).map(ConfigMap::certificatesPem);
          case "/Secret" -> named(Secret.class, name).flatMap(Secret::authoritiesPem);
          default -> Optional.empty();
        };
    try {
      if (pem.isPresent() && !PemCertificates.read(pem.get()).isEmpty()) {
        authorities.add(pem.get());
        return;
      }
      said(
          reference,
          "no "
              + reference.kind()
              + " "
              + name
              + " with certificates in ca.crt is among the files");
    } catch (CertificateException e) {
      said(reference, "ca.crt of " + reference.kind() + " " + name + ": " + e.getMessage());
    }
  }

  private void said(Reference reference, String message) {
    String remedy = "a ConfigMap or Secret with the mesh's roots as PEM in ca.crt";
    if (diagnostics.purpose() == Purpose.ASK) {
      diagnostics.warning(reference.at(), reference.field(), message, remedy);
    } else {
      diagnostics.error(reference.at(), reference.field(), message, remedy);
    }
  }

  private <T extends Resource> Optional<T> named(Class<T> kind, String name) {
    return cluster.all(kind).stream()
        .filter(r -> r.meta().qualifiedName().equals(name))
        .findFirst();
  }

  private void problem(Secret secret, String message, String remedy) {
    if (diagnostics.purpose() == Purpose.ASK) {
      diagnostics.warning(secret.meta().at(), "data", message, remedy);
    } else {
      diagnostics.error(secret.meta().at(), "data", message, remedy);
    }
  }
}
