// SPDX-License-Identifier: Apache-2.0

/** JSON Schemas of our own kinds, for {@code check} and for editors. */
@NullMarked
package dev.weir.policy.schema;

import org.jspecify.annotations.NullMarked;
