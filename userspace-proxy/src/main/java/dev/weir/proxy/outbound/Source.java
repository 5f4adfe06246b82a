// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.outbound;

import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.Verdict;
import dev.weir.policy.plan.VerdictIndex;
import dev.weir.policy.rbac.Principal;
import dev.weir.proxy.observe.Peer;
import dev.weir.proxy.upstream.Caller;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicReferenceArray;

/** Who asks, in one generation, with the verdicts already looked up for it. */
public final class Source {

  private final VerdictIndex verdicts;
  private final int identity;
  private final Peer peer;
  private final String description;
  private final boolean workload;
  private final Principal principal;
  private final Optional<Address> address;
  private final Caller caller;
  private final AtomicReferenceArray<VerdictIndex.Answer> answers;

  Source(
      VerdictIndex verdicts,
      int identity,
      Peer peer,
      String description,
      boolean workload,
      Principal principal,
      Optional<Address> address,
      String baggage,
      int targets) {
    this.verdicts = verdicts;
    this.identity = identity;
    this.peer = peer;
    this.description = description;
    this.workload = workload;
    this.principal = principal;
    this.address = address;
    this.caller = new Caller(principal.text(), address, baggage);
    this.answers = new AtomicReferenceArray<>(targets);
  }

  /** In whose name backends on other nodes are dialled for it. */
  public Caller caller() {
    return caller;
  }

  /** As metrics name it. */
  public Peer peer() {
    return peer;
  }

  /** For people. */
  public String description() {
    return description;
  }

  /**
   * What its requests are counted by: a workload by itself; whoever is not one, together with all
   * others like it. Which of them are one identity depends on policies, and a count must not.
   */
  public String rateKey() {
    return workload ? description : peer.workload();
  }

  /** Whether the kernel named it; else it came from outside and nothing it says is believed. */
  public boolean workload() {
    return workload;
  }

  /** Who AuthorizationPolicies take it for. */
  public Principal principal() {
    return principal;
  }

  /** Whether no policy tells the two apart. */
  public boolean sharesIdentity(Source other) {
    return identity == other.identity;
  }

  /** The address that is its own; without one, its socket's counts. */
  public Optional<Address> address() {
    return address;
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

  /** Whether requests decide, by the policies about the backend. */
  boolean inspected(Target target) {
    return verdict(target).decision() == Verdict.Decision.INSPECT && !target.rules().isEmpty();
  }

  /**
   * Whether a verdict lets a request through. INSPECT leaves it to the AuthorizationPolicies about
   * the backend; when the plan holds none, they are some that this version does not know, and it is
   * a refusal.
   */
  public static boolean lets(VerdictIndex.Answer answer) {
    return answer.decision() == Verdict.Decision.ALLOW
        || answer.decision() == Verdict.Decision.AUDIT;
  }
}
