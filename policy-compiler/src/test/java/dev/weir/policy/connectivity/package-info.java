// SPDX-License-Identifier: Apache-2.0

@NullMarked
package dev.weir.policy.connectivity;

import org.jspecify.annotations.NullMarked;
