// SPDX-License-Identifier: Apache-2.0
/**
 * The other form of {@code docs/policy.md}'s decision table: slow, obvious, and written from it and
 * from Kubernetes' and Istio's documentation. Shares nothing with the compiler but the records of
 * {@code model} and the values they are made of.
 */
@NullMarked
package dev.weir.policy.reference;

import org.jspecify.annotations.NullMarked;
