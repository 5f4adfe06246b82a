// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.resilience;

import dev.weir.policy.route.HeaderEditor;
import dev.weir.policy.route.RequestView;
import dev.weir.policy.route.Schedule;
import dev.weir.policy.route.StickySplit;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/** Which of a rule's backends a request gets: by turns, or by who asks. */
public final class TrafficSplit {

  private final @Nullable StickySplit sticky;

  /**
   * Of a rule.
   *
   * @param sticky how its clients are split; empty when requests are
   */
  public TrafficSplit(Optional<StickySplit> sticky) {
    this.sticky = sticky.orElse(null);
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
    return key == null || sticky == null ? turns.next() : sticky.choose(key);
  }
}
