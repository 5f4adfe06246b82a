// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.outbound;

import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.Verdict;
import dev.weir.policy.plan.VerdictIndex;
import dev.weir.proxy.observe.Peer;
import java.util.concurrent.atomic.AtomicReferenceArray;

/** Who asks, in one generation, with the verdicts already looked up for it. */
public final class Source {

  private final VerdictIndex verdicts;
  private final int identity;
  private final Peer peer;
  private final String description;
  private final boolean workload;
  private final AtomicReferenceArray<VerdictIndex.Answer> answers;

  Source(
      VerdictIndex verdicts,
      int identity,
      Peer peer,
      String description,
      boolean workload,
      int targets) {
    this.verdicts = verdicts;
    this.identity = identity;
    this.peer = peer;
    this.description = description;
    this.workload = workload;
    this.answers = new AtomicReferenceArray<>(targets);
  }

  /** As metrics name it. */
  public Peer peer() {
    return peer;
  }

  /** For people. */
  public String description() {
    return description;
  }

  /** Whether the kernel named it; else it came from outside and nothing it says is believed. */
  public boolean workload() {
    return workload;
  }

  /** May it reach this backend? */
  public VerdictIndex.Answer verdict(Target target) {
    VerdictIndex.Answer answer = answers.getPlain(target.index());
    if (answer == null) {
      answer = verdicts.lookupFromHere(identity, target.identity(), Protocol.TCP, target.port());
      answers.setRelease(target.index(), answer);
    }
    return answer;
  }

  /**
   * Whether a verdict lets a request through. INSPECT leaves the rest to request rules; a plan that
   * says so towards a backend has some that this version does not know, so it is a refusal.
   */
  public static boolean lets(VerdictIndex.Answer answer) {
    return answer.decision() == Verdict.Decision.ALLOW
        || answer.decision() == Verdict.Decision.AUDIT;
  }
}
