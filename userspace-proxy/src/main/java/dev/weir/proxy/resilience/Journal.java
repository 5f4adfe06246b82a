// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.resilience;

import dev.weir.proxy.observe.Log;
import java.util.concurrent.atomic.AtomicLongArray;

/** What the proxy decided by itself about backends: counted, and told to people. Any thread. */
public final class Journal {

  private final Log log;
  private final AtomicLongArray counts = new AtomicLongArray(Event.values().length);

  /** What is counted. */
  public enum Event {
    /** An endpoint gets no requests for a while. */
    EJECTED("weir_proxy_endpoint_ejections_total", "Endpoints that were taken out for a while."),
    /** It failed enough to be, but too many others are, or it is the last. */
    NOT_EJECTED(
        "weir_proxy_endpoint_ejections_withheld_total",
        "Endpoints that were to be taken out and were not, since too few others are well."),
    /** An endpoint did not answer a health check as it should. */
    CHECK_FAILED("weir_proxy_health_checks_failed_total", "Health checks that failed."),
    /** Enough of its checks failed that it gets no requests. */
    ILL("weir_proxy_endpoint_illnesses_total", "Endpoints that health checks took out."),
    /** A canary has no weight any more. */
    ROLLED_BACK("weir_proxy_canary_rollbacks_total", "Canaries whose weight was taken away."),
    /** A request was counted with others because its rate has too many keys. */
    RATE_KEYS_FULL(
        "weir_proxy_rate_limit_keys_full_total",
        "Requests counted together with others since their rate limit has too many keys.");

    private final String family;
    private final String help;

    Event(String family, String help) {
      this.family = family;
      this.help = help;
    }
  }

  /** An empty one. */
  public Journal(Log log) {
    this.log = log;
  }

  /** Counts. */
  public void count(Event event) {
    counts.incrementAndGet(event.ordinal());
  }

  /** How often. */
  public long counted(Event event) {
    return counts.get(event.ordinal());
  }

  /** Tells something that need not be told again and again: what repeats is thinned out. */
  void tell(String what) {
    log.refused(what);
  }

  /** The counts as Prometheus text. */
  public String exposition() {
    StringBuilder text = new StringBuilder(512);
    for (Event event : Event.values()) {
      text.append("# HELP ").append(event.family).append(' ').append(event.help).append('\n');
      text.append("# TYPE ").append(event.family).append(" counter\n");
      text.append(event.family).append(' ').append(counted(event)).append('\n');
    }
    return text.toString();
  }
}
