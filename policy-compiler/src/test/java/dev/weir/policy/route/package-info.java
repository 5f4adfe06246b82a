// SPDX-License-Identifier: Apache-2.0
/** Routes, against a slow matcher that reads like the specification. */
@NullMarked
package dev.weir.policy.route;

import org.jspecify.annotations.NullMarked;
