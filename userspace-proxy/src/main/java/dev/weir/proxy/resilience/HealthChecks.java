// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.resilience;

import dev.weir.policy.plan.TrafficPolicy.HealthCheck;
import dev.weir.proxy.loop.Loop;
import dev.weir.proxy.upstream.Endpoint;
import java.util.ArrayList;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.concurrent.TimeUnit;

/**
 * Asks endpoints whether they are well, each by one event loop for all of them. The next question
 * is put a whole interval after the one before, a tenth more or less, so that endpoints that were
 * found together are not asked together; and never before the one before is answered or given up.
 */
public final class HealthChecks {

  /** The first question comes within this, if the interval is not shorter. */
  private static final long FIRST_MILLIS = 1000;

  private static final double JITTER = 0.1;

  private final List<Loop> loops;
  private final Journal journal;
  private final IdentityHashMap<EndpointHealth, Running> running = new IdentityHashMap<>();
  private int next;

  /**
   * What is asked of whom.
   *
   * @param of the endpoint's cluster
   * @param health of the endpoint there
   * @param endpoint to ask
   * @param version that it speaks
   * @param setting how
   * @param host that is asked for, with HTTP and gRPC
   */
  public record Check(
      ClusterHealth of,
      EndpointHealth health,
      Endpoint endpoint,
      Endpoint.Version version,
      HealthCheck setting,
      String host) {

    private boolean same(Check other) {
      return endpoint == other.endpoint
          && version == other.version
          && setting.equals(other.setting)
          && host.equals(other.host);
    }
  }

  /** None yet. */
  public HealthChecks(List<Loop> loops, Journal journal) {
    this.loops = List.copyOf(loops);
    this.journal = journal;
  }

  /** From now on these, and no others. Called by one thread at a time. */
  public void follow(List<Check> checks) {
    IdentityHashMap<EndpointHealth, Check> wanted = new IdentityHashMap<>();
    checks.forEach(check -> wanted.put(check.health(), check));
    for (Running known : new ArrayList<>(running.values())) {
      Check check = wanted.get(known.check.health());
      if (check == null || !check.same(known.check)) {
        running.remove(known.check.health());
        known.stop(check == null);
      } else {
        known.check = check;
      }
    }
    wanted.forEach(
        (health, check) -> {
          if (!running.containsKey(health)) {
            Running begun = new Running(loops.get(next++ % loops.size()), check);
            running.put(health, begun);
            begun.begin();
          }
        });
  }

  private final class Running {
    private final Loop loop;
    private volatile Check check;
    private volatile boolean stopped;

    // Of the loop.
    private int inRow;
    private boolean lastGood = true;

    Running(Loop loop, Check check) {
      this.loop = loop;
      this.check = check;
    }

    void begin() {
      loop.executor()
          .execute(
              () -> {
                long within = Math.min(FIRST_MILLIS, check.setting().intervalMillis());
                schedule(loop.random().nextLong(Math.max(1, within)));
              });
    }

    private void schedule(long millis) {
      var _ = loop.executor().schedule(this::ask, millis, TimeUnit.MILLISECONDS);
    }

    private void ask() {
      if (!stopped) {
        Check asked = check;
        new Probe(loop, asked, why -> answered(asked, why)).begin();
      }
    }

    private void answered(Check asked, String why) {
      if (stopped) {
        return;
      }
      boolean good = why.isEmpty();
      inRow = good == lastGood ? inRow + 1 : 1;
      lastGood = good;
      if (!good) {
        journal.count(Journal.Event.CHECK_FAILED);
      }
      HealthCheck setting = asked.setting();
      if (good && inRow >= setting.healthyThreshold() && asked.health().ill()) {
        asked.of().well(asked.health(), loop.nanos());
      } else if (!good && inRow >= setting.unhealthyThreshold() && !asked.health().ill()) {
        asked.of().ill(asked.health(), inRow + " checks in a row failed: " + why);
      }
      long interval = setting.intervalMillis();
      schedule((long) (interval * (1 - JITTER + 2 * JITTER * loop.random().nextDouble())));
    }

    /** Whoever is asked no more is taken to be well. */
    void stop(boolean forget) {
      stopped = true;
      if (forget && check.health().ill()) {
        check.of().well(check.health(), loop.nanos());
      }
    }
  }
}
