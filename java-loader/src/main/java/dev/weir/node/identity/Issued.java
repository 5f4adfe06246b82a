// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.identity;

import java.nio.file.Path;
import java.time.Instant;
import java.util.List;

/**
 * What became of a request for certificates.
 *
 * @param bundle whom to believe
 * @param root that signs
 * @param identities one each, by SPIFFE ID
 */
public record Issued(Path bundle, String root, List<Identity> identities) {

  public Issued {
    identities = List.copyOf(identities);
  }

  /** What was done. */
  public enum Result {
    /** There was none, or a useless one. */
    issued,
    /** It was due. */
    renewed,
    /** It is good, and not due yet. */
    kept,
    /** It had ended, and nobody asked for it any more. */
    removed
  }

  /**
   * One SVID.
   *
   * @param id SPIFFE ID
   * @param result what was done
   * @param why for what reason; empty when it goes without saying
   * @param file chain and key
   * @param notAfter when it ends
   * @param renewFrom when it will be renewed
   */
  public record Identity(
      String id, Result result, String why, Path file, Instant notAfter, Instant renewFrom) {}
}
