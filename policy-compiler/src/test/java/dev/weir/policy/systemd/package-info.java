// SPDX-License-Identifier: Apache-2.0
@NullMarked
package dev.weir.policy.systemd;

import org.jspecify.annotations.NullMarked;
