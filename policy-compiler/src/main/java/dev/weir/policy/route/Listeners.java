// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.route;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/**
 * The listeners of one port, told apart by host: of those that serve a host the most specific one
 * has it, and no other (Gateway API, Listener.hostname: listeners are isolated).
 *
 * @param <T> what stands for a listener
 */
public final class Listeners<T> {

  private final List<Named<T>> byName;

  private record Named<T>(String hostname, Optional<T> listener) {
    boolean serves(String host) {
      return Hostnames.serves(hostname, host);
    }
  }

  private Listeners(List<Named<T>> byName) {
    this.byName = byName;
  }

  /** Collects listeners. */
  public static final class Builder<T> {
    private final List<Named<T>> byName = new ArrayList<>();

    /** None yet. */
    public Builder() {}

    /**
     * Adds one.
     *
     * @param hostname it serves, may begin with {@code *.}; empty for all
     */
    public Builder<T> add(String hostname, T listener) {
      byName.add(new Named<>(hostname.toLowerCase(Locale.ROOT), Optional.of(listener)));
      return this;
    }

    /** All that were added. */
    public Listeners<T> build() {
      List<Named<T>> sorted = new ArrayList<>(byName);
      sorted.sort(Comparator.comparing((Named<T> n) -> n.hostname, Hostnames.MOST_SPECIFIC));
      return new Listeners<>(List.copyOf(sorted));
    }
  }

  /**
   * The listener that a host is for.
   *
   * @param host in lower case without port; empty when none is named, which only a listener for all
   *     hosts serves
   */
  public Optional<T> of(String host) {
    for (int i = 0; i < byName.size(); i++) {
      Named<T> named = byName.get(i);
      if (named.serves(host)) {
        return named.listener;
      }
    }
    return Optional.empty();
  }

  /** All of them, the most specific first. */
  public List<T> all() {
    return byName.stream().map(n -> n.listener.orElseThrow()).toList();
  }
}
