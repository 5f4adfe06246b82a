// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import java.util.Optional;

/** Where systemd keeps the cgroups of its units. */
public final class UnitCgroups {

  private UnitCgroups() {}

  /**
   * Path of a unit's cgroup from the cgroup2 root.
   *
   * @param unit its full name, as {@code web@blue.service}
   * @param slice its {@code Slice=}; empty when it has none
   */
  public static String path(String unit, Optional<String> slice) {
    return unit.endsWith(".slice")
        ? slice(unit)
        : slice.map(UnitCgroups::slice).orElseGet(() -> defaultSlice(unit)) + "/" + unit;
  }

  /** systemd.unit(5): template units live in a slice of their prefix. */
  private static String defaultSlice(String unit) {
    int at = unit.indexOf('@');
    if (at < 0) {
      return "/system.slice";
    }
    // systemd-escape of the prefix, so that a dash in a name does not become a level of slices.
    String prefix = unit.substring(0, at).replace("-", "\\x2d");
    return "/system.slice/system-" + prefix + ".slice";
  }

  /** systemd.slice(5): a-b.slice lies in a.slice. */
  private static String slice(String slice) {
    String name = slice.substring(0, slice.length() - ".slice".length());
    StringBuilder path = new StringBuilder();
    for (int dash = name.indexOf('-'); dash > 0; dash = name.indexOf('-', dash + 1)) {
      path.append('/').append(name, 0, dash).append(".slice");
    }
    return path.append('/').append(slice).toString();
  }
}
