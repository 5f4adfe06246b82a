// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.resilience;

import dev.weir.policy.plan.TrafficPolicy.CanaryRollback;
import java.util.Locale;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;

/**
 * A backend of a route on trial: what it answers is measured beside what the others of its rules
 * do, and when it does worse by a margin, it gets no more requests until somebody releases it.
 * Shared by event loops and by the generations that say the same.
 */
public final class CanaryTrial {

  /** Both are looked at no more often than this. */
  private static final long LOOK_NANOS = TimeUnit.MILLISECONDS.toNanos(200);

  private final Rollbacks.Key key;
  private final CanaryRollback setting;
  private final String description;
  private final Rollbacks rollbacks;
  private final AtomicLong looked;
  private volatile Window canary;
  private volatile Window others;
  private volatile boolean rolledBack;

  /**
   * A trial, over from the beginning where a rollback is remembered.
   *
   * @param description who says it, with file and line
   * @param now monotonic nanoseconds
   */
  CanaryTrial(
      Rollbacks.Key key,
      CanaryRollback setting,
      String description,
      Rollbacks rollbacks,
      long now) {
    this.key = key;
    this.setting = setting;
    this.description = description;
    this.rollbacks = rollbacks;
    this.looked = new AtomicLong(now);
    this.canary = window(now);
    this.others = window(now);
    this.rolledBack = rollbacks.contains(key);
  }

  private Window window(long now) {
    return new Window(TimeUnit.SECONDS.toNanos(setting.windowSeconds()), now);
  }

  Rollbacks.Key key() {
    return key;
  }

  /** Whether its weight is gone. */
  public boolean rolledBack() {
    return rolledBack;
  }

  /**
   * A request got its answer.
   *
   * @param onTrial whether it was the canary's
   * @param error whether it failed
   * @param nanos until the answer began
   * @param now monotonic nanoseconds
   */
  public void answered(boolean onTrial, boolean error, long nanos, long now) {
    (onTrial ? canary : others).add(error, nanos, now);
    long last = looked.get();
    if (!rolledBack && now - last >= LOOK_NANOS && looked.compareAndSet(last, now)) {
      look(now);
    }
  }

  private void look(long now) {
    if (canary.requests(now) < setting.minimumRequests()
        || others.requests(now) < setting.minimumRequests()) {
      return;
    }
    Window.Sums its = canary.sums(now);
    Window.Sums theirs = others.sums(now);
    if (setting.errorMarginPercent() >= 0
        && its.errorPercent() > theirs.errorPercent() + setting.errorMarginPercent()) {
      rollBack(
          String.format(
              Locale.ROOT,
              "%.1f %% of %d requests failed, of the others' %d it was %.1f %% (margin: %d)",
              its.errorPercent(),
              its.requests(),
              theirs.requests(),
              theirs.errorPercent(),
              setting.errorMarginPercent()));
    } else if (setting.p99MarginPercent() >= 0
        // Both to the canary's favour: buckets have a width.
        && its.p99Low() > theirs.p99High() * (1 + setting.p99MarginPercent() / 100.0)) {
      rollBack(
          String.format(
              Locale.ROOT,
              "the 99th percentile of %d requests was over %.1f ms, of the others' %d it was under"
                  + " %.1f ms (margin: %d %%)",
              its.requests(),
              its.p99Low() / 1000.0,
              theirs.requests(),
              theirs.p99High() / 1000.0,
              setting.p99MarginPercent()));
    }
  }

  private void rollBack(String reason) {
    rolledBack = true;
    rollbacks.add(key, reason, description);
  }

  /** It is measured anew, with its weight. */
  void release(long now) {
    canary = window(now);
    others = window(now);
    looked.set(now);
    rolledBack = false;
  }
}
