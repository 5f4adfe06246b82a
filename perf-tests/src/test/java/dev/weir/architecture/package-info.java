// SPDX-License-Identifier: Apache-2.0
/** The arrows between modules and packages that docs/architecture.md draws. */
@NullMarked
package dev.weir.architecture;

import org.jspecify.annotations.NullMarked;
