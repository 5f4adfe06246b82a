// SPDX-License-Identifier: Apache-2.0
/**
 * Who workloads of this node prove to be, and whom they believe: certificates, keys and roots from
 * files, read anew when they change. Starting point: {@link dev.weir.proxy.identity.IdentityStore}.
 */
@NullMarked
package dev.weir.proxy.identity;

import org.jspecify.annotations.NullMarked;
