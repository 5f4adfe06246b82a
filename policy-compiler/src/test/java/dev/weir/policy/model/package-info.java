// SPDX-License-Identifier: Apache-2.0
@NullMarked
package dev.weir.policy.model;

import org.jspecify.annotations.NullMarked;
