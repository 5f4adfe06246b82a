// SPDX-License-Identifier: Apache-2.0
/** Certificates, as far as compiler, loader and proxy have to read them alike. */
@NullMarked
package dev.weir.policy.identity;

import org.jspecify.annotations.NullMarked;
