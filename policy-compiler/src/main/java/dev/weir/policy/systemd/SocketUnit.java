// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.systemd;

import dev.weir.policy.model.UnitCgroups;
import java.util.List;
import java.util.Optional;

/**
 * A {@code .socket} unit of systemd, as its files say (systemd.socket(5)).
 *
 * @param file where it begins
 * @param name as {@code web.socket}, or {@code web@.socket} of a template
 * @param service {@code Service=}; empty for the one of its own name
 * @param accept {@code Accept=}: a service of its own for each connection
 * @param slice {@code Slice=}; empty when it has none
 * @param listens the internet ports it listens on, as written: {@code 8080}, {@code
 *     127.0.0.1:8080}, {@code [::]:8080}
 */
public record SocketUnit(
    String file,
    String name,
    Optional<String> service,
    boolean accept,
    Optional<String> slice,
    List<String> listens) {

  private static final String SUFFIX = ".socket";

  /** Copies the list. */
  public SocketUnit {
    listens = List.copyOf(listens);
  }

  /**
   * The cgroup of all services that it starts for connections; empty when it starts one for all.
   */
  Optional<String> instances() {
    if (!accept) {
      return Optional.empty();
    }
    String one = UnitCgroups.path(stem() + "@.service", Optional.empty());
    return Optional.of(one.substring(0, one.lastIndexOf('/')));
  }

  private String stem() {
    return name.substring(0, name.length() - SUFFIX.length());
  }

  /**
   * The name under which it makes the sockets of a service; empty when it makes none for it.
   *
   * @param wanted as {@code web.service} or {@code web@blue.service}
   */
  Optional<String> nameFor(String wanted) {
    String stem = stem();
    int at = wanted.indexOf('@');
    if (service.isPresent()) {
      return service.filter(wanted::equals).map(same -> name);
    }
    if (at >= 0 && stem.equals(wanted.substring(0, at + 1))) {
      String instance = wanted.substring(at + 1, wanted.lastIndexOf('.'));
      return Optional.of(stem + instance + SUFFIX);
    }
    if (accept) {
      return at >= 0 && stem.equals(wanted.substring(0, at)) ? Optional.of(name) : Optional.empty();
    }
    return wanted.equals(stem + ".service") ? Optional.of(name) : Optional.empty();
  }
}
