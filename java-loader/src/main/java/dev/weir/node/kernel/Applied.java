// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import java.time.Duration;
import java.util.List;

/**
 * What {@link KernelNode#apply} has done.
 *
 * @param generation number now in force
 * @param attached whether this was the first one, and the programs were attached with it
 * @param upgraded whether pinned programs were replaced by newer ones
 * @param confirmWithin after which the one before is in force again; zero when this one stays
 * @param took from the call to the store that put it in force (and the attach, if there was one)
 * @param revoked open connections that it does not allow, and that were ended
 * @param remarks what a user should know, one sentence each
 */
public record Applied(
    long generation,
    boolean attached,
    boolean upgraded,
    Duration confirmWithin,
    Duration took,
    List<Revoked> revoked,
    List<String> remarks) {
  /** Copies the lists. */
  public Applied {
    revoked = List.copyOf(revoked);
    remarks = List.copyOf(remarks);
  }
}
