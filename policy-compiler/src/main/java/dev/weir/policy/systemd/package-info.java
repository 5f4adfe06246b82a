// SPDX-License-Identifier: Apache-2.0
/** What a machine's systemd units say about who makes a workload's sockets. */
@NullMarked
package dev.weir.policy.systemd;

import org.jspecify.annotations.NullMarked;
