// SPDX-License-Identifier: Apache-2.0
/** What the kernel's answer looks like. */
@NullMarked
package dev.weir.proxy.listen;

import org.jspecify.annotations.NullMarked;
