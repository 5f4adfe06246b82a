// SPDX-License-Identifier: Apache-2.0
@NullMarked
package dev.weir.policy.plan;

import org.jspecify.annotations.NullMarked;
