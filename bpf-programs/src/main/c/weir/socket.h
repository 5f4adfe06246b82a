/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Socket-local storage and what else several hooks do with a socket. */
#ifndef WEIR_SOCKET_H
#define WEIR_SOCKET_H

#include <linux/errno.h>

#include <linux/bpf.h>
#include <linux/in.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "address.h"
#include "identity.h"
#include "maps.h"
#include "telemetry.h"

#ifndef IPPROTO_ICMPV6
#define IPPROTO_ICMPV6 58
#endif

/*
 * Reads a 32-bit field of a context with the one instruction the verifier takes. Left to itself,
 * clang merges reads of different fields into one read at a computed address ("dereference of
 * modified ctx ptr"), whatever `volatile` says.
 */
#define WEIR_CONTEXT_U32(context, field)                                                          \
	({                                                                                        \
		__u64 value_;                                                                     \
		asm volatile("%0 = *(u32 *)(%1 + %2)"                                             \
			     : "=r"(value_)                                                       \
			     : "r"(context), "i"(__builtin_offsetof(typeof(*(context)), field))); \
		(__u32) value_;                                                                   \
	})

/* The same of `data` and `data_end`, which the verifier takes for pointers as soon as they are read. */
#define WEIR_CONTEXT_POINTER(context, field)                                                      \
	({                                                                                        \
		const void *value_;                                                               \
		asm volatile("%0 = *(u32 *)(%1 + %2)"                                             \
			     : "=r"(value_)                                                       \
			     : "r"(context), "i"(__builtin_offsetof(typeof(*(context)), field))); \
		value_;                                                                           \
	})

/* <sys/socket.h> belongs to the C library of the build machine. */
#define SOCK_STREAM 1
#define SOCK_DGRAM  2
#define SOCK_RAW    3

#define WEIR_AF_INET 2

#define WEIR_STATE_ESTABLISHED 1 /* of a connected UDP socket as well */
#define WEIR_STATE_LISTEN      10

/* How long after a datagram its answer passes. */
#define WEIR_REPLY_NS 60000000000ULL

/* SCTP and what else there is has no number of its own: it is never allowed to a workload. */
#define WEIR_PROTOCOL_NONE 0xff

WEIR_INLINE __u8 weir_protocol_of(__u32 ip_protocol)
{
	switch (ip_protocol) {
	case IPPROTO_TCP:
		return WEIR_TCP;
	case IPPROTO_UDP:
		return WEIR_UDP;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return WEIR_PROTOCOL_ANY; /* only rows of any protocol speak of a ping */
	default:
		return WEIR_PROTOCOL_NONE;
	}
}

/* Whether this is another network namespace than the node's own: a pod's, where loopback and the
 * ports are the pod's. */
WEIR_INLINE _Bool weir_is_apart(const struct weir_generation *generation, __u64 netns)
{
	return generation->netns != 0 && netns != generation->netns;
}

/* Whether an address is known for one of another network namespace of this node: its cookie, or 0.
 * One of several may be this one's as well: where that matters, it is not known. */
WEIR_PROVEN_ONCE __u64 weir_other_namespace(const struct weir_address *address, __u64 own)
{
	struct weir_address key;
	__u64 *netns;

	if (!address)
		return 0;
	key = *address; /* 6.1 takes no key from an argument's memory */
	netns = bpf_map_lookup_elem(&addresses, &key);
	return netns && *netns != own ? *netns : 0;
}

/* enum weir_said */
WEIR_INLINE __u64 weir_said(const struct weir_address *address, __u16 port, __u64 generation)
{
	return (__u64)address->word[3] << 32 | (__u32)port << 16 |
	       (generation & WEIR_SAID_GENERATION);
}

/* The rule's stable number, for counters and events. */
WEIR_INLINE __u32 weir_stable_rule(const struct weir_view *view, __u32 rule)
{
	void *table = WEIR_TABLE_OF(rules, view);
	__u32 *number = table ? bpf_map_lookup_elem(table, &rule) : NULL;

	return number ? *number : 0;
}

#endif
