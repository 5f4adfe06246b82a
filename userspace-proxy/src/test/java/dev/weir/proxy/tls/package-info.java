// SPDX-License-Identifier: Apache-2.0
/** Tests of what certificates say. */
@NullMarked
package dev.weir.proxy.tls;

import org.jspecify.annotations.NullMarked;
