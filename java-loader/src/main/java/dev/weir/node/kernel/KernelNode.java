// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.TlsKeyPair;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.function.Consumer;

/**
 * One mesh on this node's kernel. Whatever is in force stays in force when this object, or the
 * process, goes away; {@link #down} alone removes it.
 *
 * <p>Changes take the lock of the run directory, so several processes may use one mesh. Safe for
 * use by several threads.
 *
 * <p>Every method that reaches the kernel throws {@link dev.weir.node.bpf.BpfException} for a
 * system call that failed and {@link NodeException} for anything else; both say what to do.
 */
@SuppressWarnings("DoNotCallSuggester") // until the first methods are written
public final class KernelNode implements AutoCloseable {

  private final Places places;

  private KernelNode(Places places) {
    this.places = places;
  }

  /** A mesh at these places, whether or not anything is in force there. Touches nothing yet. */
  public static KernelNode open(Places places) {
    return new KernelNode(places);
  }

  /** What this kernel or this user lacks to run a mesh at these places, one sentence each. */
  public static List<String> missing(Places places) {
    throw new UnsupportedOperationException(places.toString());
  }

  /** Where this mesh lives. */
  public Places places() {
    return places;
  }

  /**
   * Puts a plan in force, whole or not at all. The first one also loads and attaches the programs;
   * later ones replace programs that have changed since.
   *
   * @param plan compiled policy
   * @param keyPairs certificates its listeners name
   * @param confirmWithin the generation before is in force again after this time unless {@link
   *     #confirm} is called, also when nothing of ours runs by then; zero for no such limit; at
   *     most one day
   */
  public Applied apply(Plan plan, List<TlsKeyPair> keyPairs, Duration confirmWithin) {
    throw new UnsupportedOperationException();
  }

  /**
   * Keeps the generation in force for good.
   *
   * @throws NodeException when nothing waits for a confirmation
   */
  public void confirm() {
    throw new UnsupportedOperationException();
  }

  /**
   * Writes down what the kernel has already done by itself: if the time to confirm has passed, the
   * generation before is in force; its paths and files are made the current ones.
   *
   * @return whether that was so
   */
  public boolean rollBackIfExpired() {
    throw new UnsupportedOperationException();
  }

  /**
   * Removes everything: links, pins, run files, the proxy's cgroup if it is empty. Does so from any
   * state, also one half written, and does nothing when nothing is there. The state directory
   * stays.
   */
  public void down() {
    throw new UnsupportedOperationException();
  }

  /**
   * Gives every workload of a plan its stable number, by index, as {@link #apply} will; nothing
   * else changes. So the proxy can be told of a service before the kernel leads anybody to it.
   */
  public List<Integer> workloadNumbers(Plan plan) {
    throw new UnsupportedOperationException(plan.toString());
  }

  /** What is in force; empty when nothing is. */
  public Optional<Current> current() {
    throw new UnsupportedOperationException();
  }

  /** The last generation that was in force without a limit, as the state directory keeps it. */
  public Optional<LastGood> lastGood() {
    throw new UnsupportedOperationException();
  }

  /**
   * What outlived the boot.
   *
   * @param plan as applied
   * @param keyPairs as applied
   */
  public record LastGood(Plan plan, List<TlsKeyPair> keyPairs) {
    /** Copies the list. */
    public LastGood {
      keyPairs = List.copyOf(keyPairs);
    }
  }

  /**
   * Makes sure that every declared cgroup that exists is known to the kernel, and none that is
   * gone. The kernel does this by itself for every cgroup made after the first {@link #apply}.
   *
   * @return how many had to be added
   */
  public int enroll() {
    throw new UnsupportedOperationException();
  }

  /**
   * The kernel's counters.
   *
   * @throws NodeException when nothing is in force
   */
  public Snapshot telemetry() {
    throw new UnsupportedOperationException();
  }

  /**
   * Key of a workload ({@code kind/namespace/name}, {@code Workload.key()}) by its stable number;
   * empty for a number never given.
   */
  public Optional<String> workloadKey(int number) {
    throw new UnsupportedOperationException();
  }

  /** Key of a rule ({@code Rule.key()}) by its stable number; empty for a number never given. */
  public Optional<String> ruleKey(int number) {
    throw new UnsupportedOperationException();
  }

  /**
   * Hands over every event of the kernel from now on, on a thread of its own, until closed. One
   * reader at a time: an event goes to one reader only.
   *
   * @throws NodeException when nothing is in force
   */
  public Subscription events(Consumer<Event> consumer) {
    throw new UnsupportedOperationException();
  }

  /** Ends the delivery of events when closed. */
  public interface Subscription extends AutoCloseable {
    @Override
    void close();
  }

  /**
   * The directory of the proxy's cgroup for a plan. It exists from the first {@link #apply} of a
   * plan that needs a proxy; a process enters it by writing its pid to {@code cgroup.procs}.
   */
  public Path proxyCgroup(Plan plan) {
    throw new UnsupportedOperationException();
  }

  /** Closes what this process holds open; the mesh stays in force. */
  @Override
  public void close() {}
}
