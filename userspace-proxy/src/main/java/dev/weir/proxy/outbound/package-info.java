// SPDX-License-Identifier: Apache-2.0

/** One generation of the plan, compiled to what a request needs. */
@NullMarked
package dev.weir.proxy.outbound;

import org.jspecify.annotations.NullMarked;
