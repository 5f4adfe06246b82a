// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.resilience;

import dev.weir.policy.route.HeaderEditor;
import dev.weir.policy.route.RequestView;
import dev.weir.policy.route.Schedule;
import dev.weir.policy.route.StickySplit;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/** Which of a rule's backends a request gets: by turns, or by who asks. */
public final class TrafficSplit {

  private final @Nullable StickySplit sticky;
  private final @Nullable CanaryTrial trial;
  private final boolean[] onTrial;
  private final List<Integer> without;
  private volatile @Nullable Schedule turnsWithout;

  /**
   * Of a rule.
   *
   * @param sticky how its clients are split; empty when requests are
   * @param trial of a backend of the rule; empty when none is on trial
   * @param backend {@code namespace/service} that is on trial
   * @param shares the rule's backends
   */
  TrafficSplit(
      Optional<StickySplit> sticky,
      Optional<CanaryTrial> trial,
      String backend,
      List<StickySplit.Share> shares) {
    this.sticky = sticky.orElse(null);
    this.onTrial = new boolean[shares.size()];
    List<Integer> weights = new ArrayList<>();
    boolean canary = false;
    boolean others = false;
    for (int i = 0; i < onTrial.length; i++) {
      StickySplit.Share share = shares.get(i);
      onTrial[i] = trial.isPresent() && share.name().startsWith(backend + ":");
      canary |= onTrial[i];
      others |= !onTrial[i] && share.weight() > 0;
      weights.add(onTrial[i] ? 0 : share.weight());
    }
    this.without = List.copyOf(weights);
    // Where nobody else has a weight there is nobody to compare with and nobody to go back to.
    this.trial = canary && others ? trial.orElse(null) : null;
  }

  /**
   * What tells the client of a request from others.
   *
   * @param source {@code namespace/name} of the workload that asks; empty when it is none
   * @return null when nothing does, or nobody asks
   */
  public @Nullable String key(RequestView request, String source) {
    return sticky == null ? null : sticky.key(request, source);
  }

  /** Whether clients without a key are given one. */
  public boolean givesKeys() {
    return sticky != null && sticky.givesKeys();
  }

  /** Gives a client its key, with a response. */
  public <H> void give(H headers, HeaderEditor<H> editor, String key, boolean secure) {
    if (sticky != null) {
      sticky.give(headers, editor, key, secure);
    }
  }

  /** Whether a {@code Set-Cookie} of a backend gives a client its key already. */
  public boolean isKey(String setCookie) {
    return sticky != null && sticky.isKey(setCookie);
  }

  /**
   * The backend of a request.
   *
   * @param turns of the rule
   * @param key of the client; null when it has none
   * @return index of the backend reference; -1 when none has a weight
   */
  public int choose(Schedule turns, @Nullable String key) {
    if (trial != null && trial.rolledBack()) {
      return key == null || sticky == null
          ? turnsWithout(turns).next()
          : sticky.choose(key, onTrial);
    }
    return key == null || sticky == null ? turns.next() : sticky.choose(key);
  }

  private Schedule turnsWithout(Schedule turns) {
    Schedule known = turnsWithout;
    if (known == null) {
      // The same turns: whoever comes first makes it, and whoever else does makes the same.
      known = turns.with(without);
      turnsWithout = known;
    }
    return known;
  }

  /** Whether a backend gets no requests whatever its weight, not even of its sessions. */
  public boolean isOut(int index) {
    return trial != null && onTrial[index] && trial.rolledBack();
  }

  /** Whether it wants to be told how requests went. */
  public boolean measures() {
    return trial != null;
  }

  /**
   * A request got its answer.
   *
   * @param index of the backend it went to
   * @param error whether it failed
   * @param nanos until the answer began
   * @param now monotonic nanoseconds
   */
  public void answered(int index, boolean error, long nanos, long now) {
    if (trial != null) {
      trial.answered(onTrial[index], error, nanos, now);
    }
  }
}
