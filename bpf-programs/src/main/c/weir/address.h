/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * One canonical form of an address, 16 bytes in network order: IPv6 as it is, IPv4 as ::ffff:a.b.c.d
 * (RFC 4291, 2.5.5.2). Whatever form an application chose, the same destination has the same bytes,
 * so that no rule can be gone round by writing an address differently.
 */
#ifndef WEIR_ADDRESS_H
#define WEIR_ADDRESS_H

#include <bpf/bpf_endian.h>

#include "table.h"

/* The third word of every IPv4 address. */
#define WEIR_V4_MAPPED   bpf_htonl(0x0000ffff)
#define WEIR_V4_LOOPBACK bpf_htonl(0x7f000001)

WEIR_INLINE _Bool weir_address_is_v4(const struct weir_address *a)
{
	return a->word[0] == 0 && a->word[1] == 0 && a->word[2] == WEIR_V4_MAPPED;
}

/* connect() and sendto() take the unspecified address for loopback; so does every rule. */
WEIR_INLINE void weir_address_from_v4(struct weir_address *a, __u32 ip)
{
	a->word[0] = 0;
	a->word[1] = 0;
	a->word[2] = WEIR_V4_MAPPED;
	a->word[3] = ip ? ip : WEIR_V4_LOOPBACK;
}

WEIR_INLINE void weir_address_from_v6(struct weir_address *a, __u32 w0, __u32 w1, __u32 w2,
				      __u32 w3)
{
	if (w0 == 0 && w1 == 0) {
		if (w2 == WEIR_V4_MAPPED && w3 == 0)
			w3 = WEIR_V4_LOOPBACK;
		else if (w2 == 0 && w3 == 0)
			w3 = bpf_htonl(1);
	}
	a->word[0] = w0;
	a->word[1] = w1;
	a->word[2] = w2;
	a->word[3] = w3;
}

/* 127.0.0.0/8 or ::1. */
WEIR_INLINE _Bool weir_address_is_loopback(const struct weir_address *a)
{
	if (a->word[0] || a->word[1])
		return 0;
	if (a->word[2] == WEIR_V4_MAPPED)
		return (a->word[3] & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000);
	return a->word[2] == 0 && a->word[3] == bpf_htonl(1);
}

WEIR_INLINE _Bool weir_address_equal(const struct weir_address *a, const struct weir_address *b)
{
	return a->word[0] == b->word[0] && a->word[1] == b->word[1] && a->word[2] == b->word[2] &&
	       a->word[3] == b->word[3];
}

#endif
