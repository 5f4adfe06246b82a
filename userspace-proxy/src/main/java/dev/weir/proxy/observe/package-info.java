// SPDX-License-Identifier: Apache-2.0

/** What the proxy tells of itself: metrics by Istio's names, log lines. */
@NullMarked
package dev.weir.proxy.observe;

import org.jspecify.annotations.NullMarked;
