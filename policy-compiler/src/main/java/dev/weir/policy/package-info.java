// SPDX-License-Identifier: Apache-2.0

/**
 * The policy compiler: files in, a {@link dev.weir.policy.plan.Plan} or a list of errors out.
 *
 * <p>Starting point: {@link dev.weir.policy.PolicyCompiler}.
 */
@NullMarked
package dev.weir.policy;

import org.jspecify.annotations.NullMarked;
