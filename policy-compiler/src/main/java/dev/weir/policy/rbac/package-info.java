// SPDX-License-Identifier: Apache-2.0

/** AuthorizationPolicy on requests, without YAML and without the model. */
@NullMarked
package dev.weir.policy.rbac;

import org.jspecify.annotations.NullMarked;
