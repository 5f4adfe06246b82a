// SPDX-License-Identifier: Apache-2.0

/** What every connection of one event loop shares: its clock, its deadlines. */
@NullMarked
package dev.weir.proxy.loop;

import org.jspecify.annotations.NullMarked;
