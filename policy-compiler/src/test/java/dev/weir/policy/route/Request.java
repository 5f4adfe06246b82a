// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.route;

import java.util.Map;
import org.jspecify.annotations.Nullable;

/** A request as a record. */
record Request(String method, String host, String path, String query, Map<String, String> headers)
    implements RequestView {
  @Override
  public @Nullable String header(String name) {
    return headers.get(name);
  }
}
