// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.tls;

import dev.weir.policy.plan.ProxyPlan.BackendTls;
import dev.weir.policy.plan.ProxyPlan.SubjectAltName;
import io.netty.buffer.ByteBufAllocator;
import io.netty.handler.ssl.ApplicationProtocolConfig;
import io.netty.handler.ssl.ApplicationProtocolNames;
import io.netty.handler.ssl.SslContext;
import io.netty.handler.ssl.SslContextBuilder;
import io.netty.handler.ssl.SslHandler;
import io.netty.handler.ssl.SslProvider;
import io.netty.util.IllegalReferenceCountException;
import io.netty.util.ReferenceCountUtil;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import javax.net.ssl.SNIHostName;
import javax.net.ssl.SSLException;
import javax.net.ssl.SSLPeerUnverifiedException;
import javax.net.ssl.SSLSession;
import javax.net.ssl.TrustManager;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509TrustManager;

/**
 * TLS 1.2 and 1.3 towards the backends of one policy: which name is asked for, and what makes a
 * certificate good enough. Sessions are resumed within one of these only, so that nobody is taken
 * for trusted whom another policy trusted.
 *
 * <p>Its context is native memory; whoever made it releases it when nothing is dialled with it any
 * more (handshakes under way hold their own reference).
 */
public final class Origination {

  private static final long SESSION_SECONDS = TimeUnit.HOURS.toSeconds(1);
  private static final long MAX_SESSIONS = 1024;

  private final BackendTls policy;
  private final String problem;
  private final Optional<SslContext> context;
  // Which protocols are offered is a context's: few policies need both.
  private final Optional<SslContext> http2;

  /**
   * What a policy says. Authorities that cannot be read are no authorities; without any, every
   * handshake fails.
   */
  public Origination(BackendTls policy) {
    this(policy, SystemAuthorities.FILES);
  }

  Origination(BackendTls policy, List<String> systemFiles) {
    this.policy = policy;
    String obstacle = "";
    Optional<SslContext> made = Optional.empty();
    Optional<SslContext> multiplexed = Optional.empty();
    try {
      List<X509Certificate> authorities = new ArrayList<>();
      for (String pem : policy.authorities()) {
        authorities.addAll(certificates(pem.getBytes(StandardCharsets.US_ASCII)));
      }
      if (policy.systemTrust()) {
        authorities.addAll(SystemAuthorities.read(systemFiles));
      }
      if (authorities.isEmpty()) {
        obstacle = "the BackendTLSPolicy for " + policy.hostname() + " has no authority to trust";
      } else {
        made = Optional.of(context(policy, authorities, false));
        multiplexed = Optional.of(context(policy, authorities, true));
      }
    } catch (GeneralSecurityException | IOException | IllegalArgumentException e) {
      obstacle =
          "what the BackendTLSPolicy for "
              + policy.hostname()
              + " trusts cannot be read: "
              + e.getMessage();
    }
    this.problem = obstacle;
    this.context = made;
    this.http2 = multiplexed;
  }

  private static SslContext context(
      BackendTls policy, List<X509Certificate> authorities, boolean http2)
      throws GeneralSecurityException, IOException {
    SslContextBuilder builder =
        SslContextBuilder.forClient()
            .sslProvider(Certificates.boringSsl() ? SslProvider.OPENSSL_REFCNT : SslProvider.JDK)
            .protocols("TLSv1.3", "TLSv1.2")
            .trustManager((TrustManager) new PolicyTrust(policy, authorities))
            // Also a name without a dot, which would not be sent for the peer's sake alone.
            .serverName(new SNIHostName(policy.hostname()))
            // Ours are other names then; PolicyTrust looks at either.
            .endpointIdentificationAlgorithm(policy.subjectAltNames().isEmpty() ? "HTTPS" : null)
            .sessionCacheSize(MAX_SESSIONS)
            .sessionTimeout(SESSION_SECONDS);
    if (http2) {
      builder.applicationProtocolConfig(
          new ApplicationProtocolConfig(
              ApplicationProtocolConfig.Protocol.ALPN,
              ApplicationProtocolConfig.SelectorFailureBehavior.NO_ADVERTISE,
              ApplicationProtocolConfig.SelectedListenerFailureBehavior.ACCEPT,
              ApplicationProtocolNames.HTTP_2));
    }
    return builder.build();
  }

  static List<X509Certificate> certificates(byte[] pem) throws CertificateException {
    List<X509Certificate> certificates = new ArrayList<>();
    for (Certificate certificate :
        CertificateFactory.getInstance("X.509")
            .generateCertificates(new ByteArrayInputStream(pem))) {
      certificates.add((X509Certificate) certificate);
    }
    return certificates;
  }

  /** The policy. */
  public BackendTls policy() {
    return policy;
  }

  /**
   * What encrypts one connection.
   *
   * @param port of the backend: sessions are kept by name and port
   * @param multiplexed whether HTTP/2 is to be spoken; the backend has to say that it does
   * @throws SSLException when no connection can be good enough
   */
  public SslHandler handler(ByteBufAllocator allocator, int port, boolean multiplexed)
      throws SSLException {
    Optional<SslContext> with = multiplexed ? http2 : context;
    if (with.isEmpty()) {
      throw new SSLException(problem);
    }
    try {
      return with.get().newHandler(allocator, policy.hostname(), port);
    } catch (IllegalReferenceCountException e) {
      throw new SSLException("the plan does not dial " + policy.hostname() + " like this any more");
    }
  }

  /**
   * Looks again at whom a connection was made to: a resumed session brings no certificate, and the
   * one it began with may have expired since.
   *
   * @throws CertificateException when it is not good enough any more
   */
  public void recheck(SSLSession session) throws CertificateException {
    try {
      if (session.getPeerCertificates()[0] instanceof X509Certificate leaf) {
        check(policy, leaf);
      } else {
        throw new CertificateException("the backend's certificate is none of X.509");
      }
    } catch (SSLPeerUnverifiedException e) {
      throw new CertificateException("the backend showed no certificate", e);
    }
  }

  /** Frees native memory once. */
  public void release() {
    context.ifPresent(ReferenceCountUtil::release);
    http2.ifPresent(ReferenceCountUtil::release);
  }

  private static void check(BackendTls policy, X509Certificate leaf) throws CertificateException {
    // The path's validation looks at neither when the leaf itself is an authority.
    leaf.checkValidity();
    List<SubjectAltName> wanted =
        policy.subjectAltNames().isEmpty()
            ? List.of(new SubjectAltName(false, policy.hostname()))
            : policy.subjectAltNames();
    List<SubjectAltName> names = names(leaf);
    for (SubjectAltName name : names) {
      for (SubjectAltName want : wanted) {
        if (is(name, want)) {
          return;
        }
      }
    }
    throw new CertificateException(
        "the certificate is for "
            + names.stream().map(SubjectAltName::value).toList()
            + ", not for "
            + wanted.stream().map(SubjectAltName::value).toList());
  }

  /** RFC 5280 4.2.1.6: 2 is dNSName, 6 is uniformResourceIdentifier. */
  private static List<SubjectAltName> names(X509Certificate leaf) throws CertificateException {
    List<SubjectAltName> names = new ArrayList<>();
    Collection<List<?>> alternatives = leaf.getSubjectAlternativeNames();
    if (alternatives != null) {
      for (List<?> alternative : alternatives) {
        if (alternative.get(0) instanceof Integer type
            && (type == 2 || type == 6)
            && alternative.get(1) instanceof String value) {
          names.add(new SubjectAltName(type == 6, value));
        }
      }
    }
    return names;
  }

  /** RFC 9525 6.3: a star stands for the whole first label of a DNS name, and for no other. */
  private static boolean is(SubjectAltName name, SubjectAltName want) {
    if (name.uri() || want.uri()) {
      return name.uri() && want.uri() && name.value().equals(want.value());
    }
    String presented = name.value().toLowerCase(Locale.ROOT);
    String reference = want.value().toLowerCase(Locale.ROOT);
    int dot = reference.indexOf('.');
    return presented.equals(reference)
        || dot > 0
            && presented.startsWith("*.")
            && presented.equals("*" + reference.substring(dot));
  }

  /** A path to an authority, and a name that the policy asks for. */
  private static final class PolicyTrust implements X509TrustManager {
    private final BackendTls policy;
    private final X509TrustManager paths;

    PolicyTrust(BackendTls policy, List<X509Certificate> authorities)
        throws GeneralSecurityException, IOException {
      this.policy = policy;
      KeyStore trusted = KeyStore.getInstance(KeyStore.getDefaultType());
      trusted.load(null, null);
      for (int i = 0; i < authorities.size(); i++) {
        trusted.setCertificateEntry(Integer.toString(i), authorities.get(i));
      }
      TrustManagerFactory factory =
          TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
      factory.init(trusted);
      this.paths = (X509TrustManager) factory.getTrustManagers()[0];
    }

    @Override
    public void checkServerTrusted(X509Certificate[] chain, String authType)
        throws CertificateException {
      paths.checkServerTrusted(chain, authType);
      check(policy, chain[0]);
    }

    @Override
    public void checkClientTrusted(X509Certificate[] chain, String authType)
        throws CertificateException {
      throw new CertificateException("this side is the client");
    }

    @Override
    public X509Certificate[] getAcceptedIssuers() {
      return new X509Certificate[0];
    }
  }
}
