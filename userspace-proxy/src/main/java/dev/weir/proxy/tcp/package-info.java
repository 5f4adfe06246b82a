// SPDX-License-Identifier: Apache-2.0

/** Connections that are led on as they are: TCP, and TLS by its server name. */
@NullMarked
package dev.weir.proxy.tcp;

import org.jspecify.annotations.NullMarked;
