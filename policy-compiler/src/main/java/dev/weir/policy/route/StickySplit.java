// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.route;

import dev.weir.policy.plan.ProxyPlan.Route;
import dev.weir.policy.plan.ProxyPlan.RouteRule;
import dev.weir.policy.plan.TrafficPolicy;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Which backend each client of a rule gets, when its weights are shares of clients.
 *
 * <p>Weighted rendezvous hashing: every backend draws a number for a client, from a hash of the
 * rule, the backend and the client, distributed exponentially with its weight as rate; the smallest
 * wins. So a backend has the share of clients that its weight is of all weights; a client's backend
 * depends on nothing that happened before; and when a weight grows beside others, clients only move
 * to that backend, since its number got smaller and all others stayed. With two backends, more for
 * one of them thus only moves clients of the other. Rules draw independently of each other.
 */
public final class StickySplit {

  private static final boolean[] NONE = {};
  private static final long FNV_OFFSET = 0xcbf29ce484222325L;
  private static final long FNV_PRIME = 0x100000001b3L;

  private final TrafficPolicy.StickySplit setting;
  private final long[] seeds;
  private final int[] weights;

  /**
   * A backend of a rule.
   *
   * @param name {@code namespace/service:port}; empty for an invalid reference
   * @param weight from 0; 0 for no clients
   */
  public record Share(String name, int weight) {}

  /**
   * Of a rule.
   *
   * @param ruleIndex in file order; a rule without a name is known by it
   * @param shares in the rule's order
   */
  public StickySplit(
      TrafficPolicy.StickySplit setting,
      Route route,
      RouteRule rule,
      int ruleIndex,
      List<Share> shares) {
    this.setting = setting;
    String scope = SessionRule.scope(route.name(), rule, ruleIndex);
    this.seeds = new long[shares.size()];
    this.weights = new int[shares.size()];
    Map<String, Integer> seen = new HashMap<>();
    for (int i = 0; i < seeds.length; i++) {
      String name = shares.get(i).name();
      // A backend that is named twice draws twice.
      int again = seen.merge(name, 1, Integer::sum);
      seeds[i] = hash(FNV_OFFSET, scope + "\0" + name + "\0" + again + "\0");
      weights[i] = shares.get(i).weight();
    }
  }

  /**
   * What tells the client of a request from others.
   *
   * @param source {@code namespace/name} of the workload that asks; empty when it is none
   * @return null when nothing does: such requests are split one by one
   */
  public @Nullable String key(RequestView request, String source) {
    String key =
        switch (setting.key()) {
          case COOKIE -> cookie(request.header("cookie"));
          case HEADER -> request.header(setting.name());
          case SOURCE_IDENTITY -> source;
        };
    return key == null || key.isEmpty() ? null : key;
  }

  private @Nullable String cookie(@Nullable String header) {
    if (header == null) {
      return null;
    }
    List<String> values = SessionRule.cookies(header, setting.name());
    return values.isEmpty() ? null : values.getFirst();
  }

  /** Whether clients without a key are given one. */
  public boolean givesKeys() {
    return setting.cookieSeconds() > 0;
  }

  /**
   * Gives a client its key, with a response.
   *
   * @param secure whether the client came by TLS
   */
  public <H> void give(H headers, HeaderEditor<H> editor, String key, boolean secure) {
    editor.add(
        headers,
        "Set-Cookie",
        setting.name()
            + "="
            + key
            + "; Path=/; Max-Age="
            + setting.cookieSeconds()
            + (secure ? "; Secure" : "")
            + "; HttpOnly; SameSite=Lax");
  }

  /** Whether a {@code Set-Cookie} of a backend gives a client its key already. */
  public boolean isKey(String setCookie) {
    return setCookie.startsWith(setting.name())
        && setCookie.startsWith("=", setting.name().length());
  }

  /**
   * The backend of a client.
   *
   * @return its index; -1 when no backend has a weight
   */
  public int choose(String key) {
    return choose(key, NONE);
  }

  /**
   * The backend of a client while some of them get nobody: only their clients move.
   *
   * @param without which of them do, by index; not named is not
   * @return its index; -1 when no other backend has a weight
   */
  public int choose(String key, boolean[] without) {
    int best = -1;
    double least = Double.POSITIVE_INFINITY;
    for (int i = 0; i < seeds.length; i++) {
      if (weights[i] > 0 && !(i < without.length && without[i])) {
        double drawn = -StrictMath.log(uniform(hash(seeds[i], key))) / weights[i];
        if (drawn < least) {
          least = drawn;
          best = i;
        }
      }
    }
    return best;
  }

  /** From 0 to 1, neither of them. */
  private static double uniform(long hash) {
    // The finaliser of MurmurHash3: in FNV alone the high bits of short texts depend on each other.
    long mixed = hash;
    mixed = (mixed ^ mixed >>> 33) * 0xff51afd7ed558ccdL;
    mixed = (mixed ^ mixed >>> 33) * 0xc4ceb9fe1a85ec53L;
    mixed ^= mixed >>> 33;
    return ((mixed >>> 11) + 0.5) * 0x1p-53;
  }

  /** FNV-1a over UTF-16. */
  private static long hash(long seed, String text) {
    long hash = seed;
    for (int i = 0; i < text.length(); i++) {
      hash = (hash ^ text.charAt(i)) * FNV_PRIME;
    }
    return hash;
  }

  /** For people: what clients are told apart by. */
  public String describe() {
    return switch (setting.key()) {
      case COOKIE -> "cookie " + setting.name();
      case HEADER -> "header " + setting.name();
      case SOURCE_IDENTITY -> "source";
    };
  }
}
