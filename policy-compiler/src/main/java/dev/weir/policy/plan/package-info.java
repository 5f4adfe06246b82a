// SPDX-License-Identifier: Apache-2.0

/**
 * The plan: everything the kernel and the proxy are to do, and nothing of how policy was written.
 *
 * <p>A {@link Plan} is immutable, ordered and complete: the same policy files give the same plan,
 * byte for byte ({@link PlanCodec}). The loader turns it into map contents, the proxy into routes;
 * neither knows any other part of the compiler.
 *
 * <p>Starting points: {@link Plan}, {@link ProxyPlan}, {@link Verdict}.
 */
@NullMarked
package dev.weir.policy.plan;

import org.jspecify.annotations.NullMarked;
