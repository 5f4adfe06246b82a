// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.resilience;

import dev.weir.policy.plan.TrafficPolicy.RequestKey;
import dev.weir.policy.route.HeaderEditor;
import dev.weir.policy.route.RequestView;
import java.util.ArrayList;
import java.util.List;

/**
 * The rates of requests that hold somewhere.
 *
 * @param limiters all of them must let a request through
 */
public record RateLimits(List<RateLimiter> limiters) {

  /** None. */
  public static final RateLimits NONE = new RateLimits(List.of());

  /** Copies the list. */
  public RateLimits {
    limiters = List.copyOf(limiters);
  }

  /** Whether nothing is limited. */
  public boolean isEmpty() {
    return limiters.isEmpty();
  }

  /** A request that was counted, or would have been. */
  public static final class Ticket {
    private final List<RateLimiter.Taken> taken = new ArrayList<>(2);
    private RateLimiter.Taken tightest;
    private boolean refused;

    private Ticket(RateLimiter.Taken first) {
      this.tightest = first;
      add(first);
    }

    private void add(RateLimiter.Taken one) {
      taken.add(one);
      if (!one.granted()) {
        // Of several that refuse, the one that does for longest.
        if (!refused || one.seconds() > tightest.seconds()) {
          tightest = one;
        }
        refused = true;
      } else if (!refused && one.remaining() < tightest.remaining()) {
        tightest = one;
      }
    }

    /** Whether it is one too many. */
    public boolean refused() {
      return refused;
    }

    /** By whom it is refused, for people. */
    public String by() {
      return tightest.of().description();
    }

    /** The request is not let through after all: it counts for nothing. */
    public void giveBack() {
      taken.forEach(RateLimiter.Taken::giveBack);
      taken.clear();
    }

    /**
     * Tells the client how much is left of what it is nearest to use up (draft-ietf-httpapi-
     * ratelimit-headers-10), and when it was refused, when to come again. What a backend said of
     * limits of its own stays.
     */
    public <H> void write(H headers, HeaderEditor<H> editor, boolean saidAlready) {
      if (saidAlready) {
        return;
      }
      RateLimiter by = tightest.of();
      String name = "\"" + by.name() + "\"";
      editor.set(
          headers,
          "RateLimit-Policy",
          name + ";q=" + by.rate().burst() + ";w=" + by.windowSeconds());
      editor.set(
          headers, "RateLimit", name + ";r=" + tightest.remaining() + ";t=" + tightest.seconds());
      if (refused) {
        editor.set(headers, "Retry-After", Long.toString(tightest.seconds()));
      }
    }
  }

  /**
   * Counts a request with these and others; what one refuses counts with none.
   *
   * @param others of whom at least one of both has any
   * @param source who asks
   * @param now monotonic nanoseconds
   */
  public Ticket take(RateLimits others, RequestView request, String source, long now) {
    Ticket ticket = null;
    for (int i = 0; i < limiters.size() + others.limiters.size(); i++) {
      RateLimiter limiter =
          i < limiters.size() ? limiters.get(i) : others.limiters.get(i - limiters.size());
      RateLimiter.Taken taken = limiter.take(key(limiter, request, source), now);
      if (ticket == null) {
        ticket = new Ticket(taken);
      } else {
        ticket.add(taken);
      }
    }
    if (ticket == null) {
      throw new IllegalArgumentException("no rate");
    }
    if (ticket.refused()) {
      ticket.giveBack();
    }
    return ticket;
  }

  private static String key(RateLimiter limiter, RequestView request, String source) {
    if (limiter.rate().key() == RequestKey.SOURCE_IDENTITY) {
      return source;
    }
    String value =
        limiter.rate().key() == RequestKey.HEADER ? request.header(limiter.rate().header()) : null;
    return value == null ? "" : value;
  }
}
