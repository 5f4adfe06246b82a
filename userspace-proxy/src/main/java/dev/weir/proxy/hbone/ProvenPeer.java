// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.hbone;

import dev.weir.proxy.identity.IdentityStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateException;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import javax.net.ssl.SSLPeerUnverifiedException;
import javax.net.ssl.SSLSession;

/**
 * Whom a tunnel is with, proven in its handshake; and whether the proof would be good today. Roots
 * come and go while a tunnel stands.
 */
final class ProvenPeer {

  private final IdentityStore store;
  private final List<X509Certificate> chain;
  // Of the last look. There was none yet: the handshake may have looked at others than there are.
  private List<X509Certificate> roots = List.of();

  private ProvenPeer(IdentityStore store, List<X509Certificate> chain) {
    this.store = store;
    this.chain = chain;
  }

  /**
   * The other side of a handshake that has succeeded.
   *
   * @throws CertificateException when what it showed is no certificate of X.509
   */
  static ProvenPeer of(SSLSession session, IdentityStore store)
      throws CertificateException, SSLPeerUnverifiedException {
    List<X509Certificate> chain = new ArrayList<>(3);
    for (Certificate each : session.getPeerCertificates()) {
      if (!(each instanceof X509Certificate certificate)) {
        throw new CertificateException("its certificate is none of X.509");
      }
      chain.add(certificate);
    }
    return new ProvenPeer(store, chain);
  }

  /** What it showed for itself. */
  X509Certificate leaf() {
    return chain.getFirst();
  }

  /**
   * Why it would not be believed now; empty when it would. Cheap as long as the roots are those of
   * the last look.
   */
  @SuppressWarnings("ReferenceEquality") // those that were read anew are another list
  Optional<String> doubt() {
    List<X509Certificate> now = store.roots();
    if (now != roots) {
      try {
        String _ = store.prove(chain);
      } catch (CertificateException e) {
        return Optional.of(String.valueOf(e.getMessage()));
      }
      roots = now;
    }
    return Optional.empty();
  }
}
