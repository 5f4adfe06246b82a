// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import java.util.List;

/** A route of the Gateway API. */
public sealed interface Route extends Resource permits HttpRoute, L4Route {

  /** What it attaches to. */
  List<Reference> parents();

  /** Host names it serves, in lower case; empty for all of its listeners'. */
  List<String> hostnames();

  /** What it says that this version does not do. It matters only where the route attaches. */
  List<Limit> limits();
}
