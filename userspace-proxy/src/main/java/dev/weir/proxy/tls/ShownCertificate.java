// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.tls;

import io.netty.channel.Channel;
import io.netty.util.AsciiString;
import io.netty.util.AttributeKey;
import java.security.cert.Certificate;
import java.security.cert.CertificateException;
import java.security.cert.X509Certificate;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.SSLPeerUnverifiedException;
import org.jspecify.annotations.Nullable;

/**
 * What the client of one connection has shown, and what that is worth to a listener: asked with
 * each request, since a plan may come that believes other authorities, and certificates end. A
 * session that is resumed brings the certificate that it began with, and belongs to one set of
 * authorities, so only its end has to be looked at again. For the connection's event loop.
 */
public final class ShownCertificate {

  private static final AttributeKey<ShownCertificate> KEY =
      AttributeKey.valueOf(ShownCertificate.class, "shown");

  private final SSLEngine engine;
  private final ClientCertificates asked;
  private @Nullable List<X509Certificate> chain;

  // What the last listener that asked found.
  private @Nullable ClientCertificates judge;
  private boolean good;
  private long endsMillis;
  private @Nullable AsciiString forwarded;

  private ShownCertificate(SSLEngine engine, ClientCertificates asked) {
    this.engine = engine;
    this.asked = asked;
  }

  /** Notes that a handshake asks for a certificate, before it begins. */
  public static void expect(Channel channel, SSLEngine engine, ClientCertificates asked) {
    channel.attr(KEY).set(new ShownCertificate(engine, asked));
  }

  /** Whether a listener lets in who is at the other end of a connection. */
  public static boolean satisfies(Channel channel, Optional<ClientCertificates> listener) {
    if (listener.isEmpty() || !listener.get().required()) {
      return true;
    }
    ShownCertificate shown = channel.attr(KEY).get();
    return shown != null && shown.isGoodFor(listener.get());
  }

  /**
   * What a backend behind a listener is told of a certificate; empty when there is none that the
   * listener believes.
   */
  public static Optional<AsciiString> forwarded(
      Channel channel, Optional<ClientCertificates> listener) {
    ShownCertificate shown = listener.isEmpty() ? null : channel.attr(KEY).get();
    return shown != null && shown.isGoodFor(listener.get())
        ? Optional.of(shown.text())
        : Optional.empty();
  }

  private boolean isGoodFor(ClientCertificates listener) {
    if (listener != judge) {
      good = judged(listener);
      judge = listener;
    }
    return good && System.currentTimeMillis() <= endsMillis;
  }

  private boolean judged(ClientCertificates listener) {
    List<X509Certificate> certificates = chain();
    if (certificates.isEmpty()) {
      return false;
    }
    endsMillis = certificates.getFirst().getNotAfter().toInstant().toEpochMilli();
    if (listener == asked && listener.required()) {
      return true; // The handshake would have failed.
    }
    try {
      listener.check(certificates, Instant.now());
      return true;
    } catch (CertificateException e) {
      return false;
    }
  }

  private List<X509Certificate> chain() {
    List<X509Certificate> known = chain;
    if (known == null) {
      known = new ArrayList<>();
      try {
        for (Certificate certificate : engine.getSession().getPeerCertificates()) {
          known.add((X509Certificate) certificate);
        }
      } catch (SSLPeerUnverifiedException e) {
        // None was shown.
      }
      chain = known;
    }
    return known;
  }

  private AsciiString text() {
    AsciiString known = forwarded;
    if (known == null) {
      known = AsciiString.of(ForwardedCertificate.value(Optional.empty(), chain().getFirst()));
      forwarded = known;
    }
    return known;
  }
}
