// SPDX-License-Identifier: Apache-2.0

/**
 * libbpf and a few calls of libc, made safe: the only native room of the project.
 *
 * <p>Nothing of jnr-ffi leaves this package. Offsets and sizes of what is shared with kernel
 * programs come from the BTF of the compiled object ({@code StructLayout}), never from a second
 * declaration.
 *
 * <p>Starting points: {@code BpfObject}, {@code BpfMap}, {@code BpfLink}.
 */
@NullMarked
package dev.weir.node.bpf;

import org.jspecify.annotations.NullMarked;
