// SPDX-License-Identifier: Apache-2.0
/** How lines are written and handed over. */
@NullMarked
package dev.weir.proxy.observe;

import org.jspecify.annotations.NullMarked;
