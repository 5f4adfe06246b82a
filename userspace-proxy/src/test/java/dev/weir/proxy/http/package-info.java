// SPDX-License-Identifier: Apache-2.0
/** Tests of what the requests' package has for itself. */
@NullMarked
package dev.weir.proxy.http;

import org.jspecify.annotations.NullMarked;
