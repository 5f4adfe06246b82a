// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.tls;

import dev.weir.policy.identity.PemCertificates;
import dev.weir.policy.plan.TlsKeyPair;
import io.netty.handler.ssl.ApplicationProtocolConfig;
import io.netty.handler.ssl.ApplicationProtocolNames;
import io.netty.handler.ssl.ClientAuth;
import io.netty.handler.ssl.OpenSsl;
import io.netty.handler.ssl.SslContext;
import io.netty.handler.ssl.SslContextBuilder;
import io.netty.handler.ssl.SslProvider;
import io.netty.util.ReferenceCountUtil;
import java.io.ByteArrayInputStream;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.security.cert.CertificateException;
import java.security.cert.X509Certificate;
import java.util.Collection;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import javax.net.ssl.SSLException;
import javax.net.ssl.TrustManager;
import javax.net.ssl.X509TrustManager;

/**
 * One key pair, ready to terminate TLS 1.2 and 1.3. Immutable: another certificate is another
 * object. Its context is native memory; whoever made it releases it when no handshake can begin
 * with it any more (handshakes under way hold their own reference).
 */
public final class Certificates {

  private final byte[] digest;
  private final Set<String> names;
  private final SslContext context;
  private final Optional<ClientCertificates> clients;

  /** Why a key pair cannot be used; never carries the key. */
  public static final class InvalidKeyPairException extends Exception {
    InvalidKeyPairException(String message) {
      super(message);
    }
  }

  /** Whether BoringSSL is there; the JDK's TLS takes twice the processor time. */
  public static boolean boringSsl() {
    return OpenSsl.isAvailable();
  }

  /**
   * Loads a key pair.
   *
   * @param clients what clients are asked for, if for anything
   * @throws InvalidKeyPairException when chain or key cannot be read or do not fit together
   */
  public Certificates(TlsKeyPair keyPair, Optional<ClientCertificates> clients)
      throws InvalidKeyPairException {
    this.clients = clients;
    this.digest = digest(keyPair);
    try {
      List<X509Certificate> chain = PemCertificates.read(keyPair.chainPem());
      if (chain.isEmpty()) {
        throw new CertificateException("no certificate");
      }
      this.names = names(chain.getFirst());
      this.context =
          SslContextBuilder.forServer(stream(keyPair.chainPem()), stream(keyPair.keyPem()))
              .sslProvider(boringSsl() ? SslProvider.OPENSSL_REFCNT : SslProvider.JDK)
              .protocols("TLSv1.3", "TLSv1.2")
              .clientAuth(
                  clients
                      .map(c -> c.required() ? ClientAuth.REQUIRE : ClientAuth.OPTIONAL)
                      .orElse(ClientAuth.NONE))
              // Without one, all of the JDK's root certificates would be parsed.
              .trustManager(
                  clients
                      .<TrustManager>map(ClientCertificates::trustManager)
                      .orElseGet(TrustNobody::new))
              .applicationProtocolConfig(
                  new ApplicationProtocolConfig(
                      ApplicationProtocolConfig.Protocol.ALPN,
                      ApplicationProtocolConfig.SelectorFailureBehavior.NO_ADVERTISE,
                      ApplicationProtocolConfig.SelectedListenerFailureBehavior.ACCEPT,
                      ApplicationProtocolNames.HTTP_2,
                      ApplicationProtocolNames.HTTP_1_1))
              .build();
    } catch (SSLException | CertificateException | IllegalArgumentException e) {
      // The parsers' messages may quote what they were given: only their kind is told.
      throw new InvalidKeyPairException(
          "key pair "
              + keyPair.name()
              + " cannot be used ("
              + e.getClass().getSimpleName()
              + "): tls.crt must be PEM certificates, leaf first, and tls.key the PKCS#8 PEM key"
              + " of the leaf");
    }
  }

  private static ByteArrayInputStream stream(String pem) {
    return new ByteArrayInputStream(pem.getBytes(StandardCharsets.US_ASCII));
  }

  private static Set<String> names(X509Certificate leaf) throws CertificateException {
    Set<String> names = new TreeSet<>();
    Collection<List<?>> alternatives = leaf.getSubjectAlternativeNames();
    if (alternatives != null) {
      for (List<?> alternative : alternatives) {
        // RFC 5280 4.2.1.6: 2 is dNSName.
        if (alternative.get(0) instanceof Integer type
            && type == 2
            && alternative.get(1) instanceof String name) {
          names.add(name.toLowerCase(Locale.ROOT));
        }
      }
    }
    return Set.copyOf(names);
  }

  /** Whether it was made of this key pair; the pair itself is not kept. */
  public boolean madeOf(TlsKeyPair keyPair) {
    return MessageDigest.isEqual(digest, digest(keyPair));
  }

  private static byte[] digest(TlsKeyPair keyPair) {
    try {
      MessageDigest sha256 = MessageDigest.getInstance("SHA-256");
      sha256.update(keyPair.chainPem().getBytes(StandardCharsets.UTF_8));
      sha256.update((byte) 0);
      return sha256.digest(keyPair.keyPem().getBytes(StandardCharsets.UTF_8));
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every JDK has SHA-256", e);
    }
  }

  /** What clients are asked for; empty when for nothing. */
  public Optional<ClientCertificates> clients() {
    return clients;
  }

  /** Netty's context. */
  public SslContext context() {
    return context;
  }

  /** Whether the certificate is for this host: RFC 6125, a star stands for one label. */
  public boolean covers(String host) {
    int dot = host.indexOf('.');
    return names.contains(host) || dot > 0 && names.contains("*" + host.substring(dot));
  }

  /** Frees native memory once. */
  public void release() {
    ReferenceCountUtil.release(context);
  }

  /** No client certificate is asked for, so none is ever trusted. */
  private static final class TrustNobody implements X509TrustManager {
    @Override
    public void checkClientTrusted(X509Certificate[] chain, String authType)
        throws CertificateException {
      throw new CertificateException("no client certificate was asked for");
    }

    @Override
    public void checkServerTrusted(X509Certificate[] chain, String authType)
        throws CertificateException {
      throw new CertificateException("this side is the server");
    }

    @Override
    public X509Certificate[] getAcceptedIssuers() {
      return new X509Certificate[0];
    }
  }
}
