// SPDX-License-Identifier: Apache-2.0

/**
 * The proxy over real sockets. Only the kernel's answer about a connection is injected; that it
 * steers and answers is proved by the loader's kernel tests and the demo.
 */
@NullMarked
package dev.weir.proxy;

import org.jspecify.annotations.NullMarked;
