// SPDX-License-Identifier: Apache-2.0
@NullMarked
package dev.weir.policy.traffic;

import org.jspecify.annotations.NullMarked;
