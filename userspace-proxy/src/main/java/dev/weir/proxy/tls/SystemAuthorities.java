// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.tls;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.List;
import javax.net.ssl.TrustManager;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509TrustManager;

/** The authorities that the node trusts: the first bundle that is there, else the JDK's. */
final class SystemAuthorities {

  /** Debian and Alpine, Fedora and Red Hat, SUSE. */
  static final List<String> FILES =
      List.of(
          "/etc/ssl/certs/ca-certificates.crt",
          "/etc/pki/tls/certs/ca-bundle.crt",
          "/etc/ssl/ca-bundle.pem");

  private SystemAuthorities() {}

  static List<X509Certificate> read(List<String> files)
      throws GeneralSecurityException, IOException {
    for (String file : files) {
      Path bundle = Path.of(file);
      if (Files.isReadable(bundle)) {
        return Origination.certificates(Files.readAllBytes(bundle));
      }
    }
    TrustManagerFactory factory =
        TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
    factory.init((KeyStore) null);
    List<X509Certificate> authorities = new ArrayList<>();
    for (TrustManager manager : factory.getTrustManagers()) {
      if (manager instanceof X509TrustManager trusting) {
        authorities.addAll(List.of(trusting.getAcceptedIssuers()));
      }
    }
    return authorities;
  }
}
