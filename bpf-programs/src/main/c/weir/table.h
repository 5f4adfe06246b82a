/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * How decision code asks a table: the one thing that differs between the kernel and a native test.
 *
 * The headers that decide (address, identity, verdict, steer, telemetry's arithmetic) take tables
 * as pointers and know no context and no map. A native test defines WEIR_LOOKUP before it includes
 * them and hands in whatever its own function understands.
 */
#ifndef WEIR_TABLE_H
#define WEIR_TABLE_H

#include "types.h"

#ifdef __bpf__
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#endif

#ifndef WEIR_LOOKUP
#define WEIR_LOOKUP(table, key) bpf_map_lookup_elem(table, key)
#endif
#ifndef WEIR_LOOKUP_BY_PREFIX
#define WEIR_LOOKUP_BY_PREFIX(table, key) bpf_map_lookup_elem(table, key)
#endif

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif
#ifndef __noinline
#define __noinline __attribute__((noinline))
#endif

#define WEIR_INLINE   static __always_inline __attribute__((unused))
#define WEIR_FUNCTION static __noinline __attribute__((unused))
/* Not static: the verifier proves it once and not again at every call. Arguments are numbers, the
 * context, or memory that holds no pointer; pointers may be NULL for all it knows. */
#define WEIR_PROVEN_ONCE __noinline __attribute__((unused))

#endif
