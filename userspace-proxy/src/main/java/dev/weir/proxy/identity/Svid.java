// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.identity;

import dev.weir.policy.identity.NotAnSvidException;
import dev.weir.policy.identity.SvidRules;
import dev.weir.proxy.tls.Certificates;
import io.netty.handler.ssl.ApplicationProtocolConfig;
import io.netty.handler.ssl.ClientAuth;
import io.netty.handler.ssl.SslContext;
import io.netty.handler.ssl.SslContextBuilder;
import io.netty.handler.ssl.SslProvider;
import io.netty.util.ReferenceCountUtil;
import java.security.InvalidKeyException;
import java.security.NoSuchAlgorithmException;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.Signature;
import java.security.SignatureException;
import java.security.cert.CertificateException;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.regex.Pattern;
import javax.net.ssl.SSLException;
import javax.net.ssl.TrustManager;
import org.jspecify.annotations.Nullable;

/**
 * A service account's certificate with its key. Immutable: a renewed one is another object. Its TLS
 * contexts are made when first needed, and are native memory that its store lets go of.
 *
 * <p>TLS 1.3 with HTTP/2 alone, and nothing is resumed: tunnels are few and live long, and so no
 * session can outlive a certificate.
 */
public final class Svid {

  private static final Pattern PRINCIPAL =
      Pattern.compile("[a-z0-9._-]+/ns/[A-Za-z0-9._-]+/sa/[A-Za-z0-9._-]+");

  /** Signed to see whose key it is; it means nothing. */
  private static final byte[] PROBE = new byte[32];

  private final String principal;
  private final List<X509Certificate> chain;
  private final PrivateKey key;
  private final TrustManager believed;
  private @Nullable SslContext server;
  private @Nullable SslContext client;
  private boolean released;

  private Svid(
      String principal, List<X509Certificate> chain, PrivateKey key, TrustManager believed) {
    this.principal = principal;
    this.chain = List.copyOf(chain);
    this.key = key;
    this.believed = believed;
  }

  /**
   * Reads a file with a chain, leaf first, and its key.
   *
   * @param believed who judges what peers show
   * @throws CertificateException when it is none; never quotes the file
   */
  static Svid read(byte[] file, TrustManager believed) throws CertificateException {
    List<X509Certificate> chain = Pem.certificates(file);
    if (chain.isEmpty()) {
      throw new CertificateException("there is no CERTIFICATE in it");
    }
    String principal = IdentityStore.principal(chain.getFirst());
    if (!PRINCIPAL.matcher(principal).matches()) {
      throw new CertificateException("its ID is not spiffe://TRUSTDOMAIN/ns/NAMESPACE/sa/ACCOUNT");
    }
    PrivateKey key;
    try {
      key = Pem.key(file);
    } catch (InvalidKeyException e) {
      throw new CertificateException(e.getMessage());
    }
    if (!fits(key, chain.getFirst().getPublicKey())) {
      throw new CertificateException("the key in it is not that of its certificate");
    }
    return new Svid(principal, chain, key, believed);
  }

  /**
   * Whether what the key signs is its certificate's: else the first handshake would tell, when what
   * was there before is gone.
   */
  private static boolean fits(PrivateKey key, PublicKey certified) {
    String algorithm =
        switch (key.getAlgorithm()) {
          case "EC" -> "SHA256withECDSA";
          case "RSA" -> "SHA256withRSA";
          default -> "Ed25519";
        };
    try {
      Signature signing = Signature.getInstance(algorithm);
      signing.initSign(key);
      signing.update(PROBE);
      byte[] signed = signing.sign();
      Signature verifying = Signature.getInstance(algorithm);
      verifying.initVerify(certified);
      verifying.update(PROBE);
      return verifying.verify(signed);
    } catch (InvalidKeyException | SignatureException e) {
      return false; // It is of another kind.
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every JDK has " + algorithm, e);
    }
  }

  /** {@code TRUSTDOMAIN/ns/NAMESPACE/sa/ACCOUNT}. */
  public String principal() {
    return principal;
  }

  /** When it begins to hold. */
  public Instant begins() {
    return chain.getFirst().getNotBefore().toInstant();
  }

  /** When it ends. */
  public Instant ends() {
    return chain.getFirst().getNotAfter().toInstant();
  }

  /**
   * Refuses what does not hold: a peer would refuse it too, and tell less.
   *
   * @throws CertificateException with the reason
   */
  public void requireInTime(Instant at) throws CertificateException {
    try {
      SvidRules.requireInTime(chain.getFirst(), at);
    } catch (NotAnSvidException e) {
      throw new CertificateException(principal + ": " + e.getMessage());
    }
  }

  /** Whether it ought to have been renewed by now: less than a quarter of its life is left. */
  public boolean nearItsEnd(Instant at) {
    Duration life = Duration.between(begins(), ends());
    return Duration.between(at, ends()).compareTo(life.dividedBy(4)) < 0;
  }

  /**
   * To be shown by whom tunnels come to.
   *
   * @throws SSLException when key and certificate do not fit
   */
  public synchronized SslContext server() throws SSLException {
    SslContext made = server;
    if (made == null) {
      requireHeld();
      made = common(SslContextBuilder.forServer(key, chain)).clientAuth(ClientAuth.REQUIRE).build();
      server = made;
    }
    return made;
  }

  /**
   * To be shown by who makes tunnels. Whom it is made to is looked at when it stands: a SPIFFE ID
   * is no host's name.
   *
   * @throws SSLException when key and certificate do not fit
   */
  public synchronized SslContext client() throws SSLException {
    SslContext made = client;
    if (made == null) {
      requireHeld();
      made =
          common(SslContextBuilder.forClient().keyManager(key, chain))
              .endpointIdentificationAlgorithm(null)
              .build();
      client = made;
    }
    return made;
  }

  private void requireHeld() throws SSLException {
    if (released) {
      throw new SSLException("the certificate of " + principal + " was replaced");
    }
  }

  private SslContextBuilder common(SslContextBuilder builder) {
    return builder
        .sslProvider(Certificates.boringSsl() ? SslProvider.OPENSSL_REFCNT : SslProvider.JDK)
        .protocols("TLSv1.3")
        .trustManager(believed)
        .sessionCacheSize(1)
        .sessionTimeout(1)
        .applicationProtocolConfig(
            new ApplicationProtocolConfig(
                ApplicationProtocolConfig.Protocol.ALPN,
                ApplicationProtocolConfig.SelectorFailureBehavior.NO_ADVERTISE,
                ApplicationProtocolConfig.SelectedListenerFailureBehavior.ACCEPT,
                "h2"));
  }

  /** Frees native memory once; nothing begins with it any more. */
  synchronized void release() {
    if (!released) {
      released = true;
      ReferenceCountUtil.release(server);
      ReferenceCountUtil.release(client);
      server = null;
      client = null;
    }
  }

  /** Without the key. */
  @Override
  public String toString() {
    return "Svid[" + principal + ", ends " + ends() + "]";
  }
}
