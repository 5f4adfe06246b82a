// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.identity;

import java.security.GeneralSecurityException;
import java.security.PrivateKey;
import java.security.cert.X509Certificate;
import java.time.Instant;
import java.util.List;
import java.util.Optional;

/**
 * What signs leaves, or has signed leaves that have not ended.
 *
 * @param id {@link Keys#id} of the key that signs
 * @param chain certificate of the key that signs first, the anchor last: the same one, unless an
 *     authority above made it
 * @param key that signs; empty once another root does
 * @param signsFrom when it begins to sign
 * @param lastLeafEnds when the last leaf that it may have signed ends
 */
record Root(
    String id,
    List<X509Certificate> chain,
    Optional<PrivateKey> key,
    Instant signsFrom,
    Instant lastLeafEnds) {

  Root {
    chain = List.copyOf(chain);
  }

  X509Certificate signer() {
    return chain.getFirst();
  }

  X509Certificate anchor() {
    return chain.getLast();
  }

  /** What a leaf brings with it, that whoever has only the anchor believes it. */
  List<X509Certificate> intermediates() {
    return chain.subList(0, chain.size() - 1);
  }

  /** Both ends of what it is good for. */
  Instant notBefore() {
    return chain.stream()
        .map(c -> c.getNotBefore().toInstant())
        .max(Instant::compareTo)
        .orElseThrow();
  }

  Instant notAfter() {
    return chain.stream()
        .map(c -> c.getNotAfter().toInstant())
        .min(Instant::compareTo)
        .orElseThrow();
  }

  boolean signed(X509Certificate leaf) {
    if (!leaf.getIssuerX500Principal().equals(signer().getSubjectX500Principal())) {
      return false;
    }
    try {
      leaf.verify(signer().getPublicKey());
      return true;
    } catch (GeneralSecurityException e) {
      return false;
    }
  }

  Root withoutKey() {
    return new Root(id, chain, Optional.empty(), signsFrom, lastLeafEnds);
  }

  Root signingFrom(Instant instant) {
    return new Root(id, chain, key, instant, lastLeafEnds);
  }

  Root withLeavesUntil(Instant end) {
    return end.isAfter(lastLeafEnds) ? new Root(id, chain, key, signsFrom, end) : this;
  }

  /** Without the key. */
  @Override
  public String toString() {
    return "Root[" + id + "]";
  }
}
