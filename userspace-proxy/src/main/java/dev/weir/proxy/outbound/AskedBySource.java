// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.outbound;

import dev.weir.policy.plan.Address;
import dev.weir.policy.rbac.Attributes;
import dev.weir.policy.rbac.Principal;
import dev.weir.policy.rbac.Token;

/**
 * Who asks, as AuthorizationPolicies see it, whatever is asked. No token is verified, so there is
 * none. Of a connection nobody but its peer is known; of a request a trusted proxy may tell.
 */
public interface AskedBySource extends Attributes {

  /** Who asks. */
  Source source();

  /** Other end of the client's socket. */
  Address peer();

  @Override
  default Principal principal() {
    return source().principal();
  }

  @Override
  default Address sourceAddress() {
    return source().address().orElse(peer());
  }

  @Override
  default Address remoteAddress() {
    return sourceAddress();
  }

  @Override
  default Token token() {
    return Token.NONE;
  }
}
