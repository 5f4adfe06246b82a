/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Where a virtual address leads: service -> slot -> backend, or the proxy's port on loopback.
 *
 * Weights are counts of slots, given out by user space, so they are exact; here is only the choice
 * of a slot.
 */
#ifndef WEIR_STEER_H
#define WEIR_STEER_H

#include "address.h"
#include "table.h"

/* A number below `slots` (> 0), each as likely as another, from 32 random bits. */
WEIR_INLINE __u32 weir_pick(__u32 random, __u32 slots)
{
	return (__u64)random * slots >> 32;
}

/* Turns a number that says always the same of the same (cookie, workload) into 32 random-looking
 * bits (the finalizer of splitmix64). */
WEIR_INLINE __u32 weir_mix(__u64 x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9ULL;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebULL;
	x ^= x >> 31;
	return x >> 32;
}

/* What one slot holds; 0, which is no backend, if it is not there. */
WEIR_INLINE __u32 weir_in_slot(void *slots, const struct weir_service *service, __u32 number)
{
	__u32 slot = service->first_slot + number, chunk = slot / WEIR_SLOTS_PER_CHUNK;
	struct weir_slots *found = WEIR_LOOKUP(slots, &chunk);

	return found ? found->backend[slot % WEIR_SLOTS_PER_CHUNK] : 0;
}

/* The backend in one slot, or NULL: whoever finds none must refuse, never pass. */
WEIR_INLINE struct weir_backend *weir_backend_in(void *slots, void *backends,
						 const struct weir_service *service, __u32 number)
{
	struct weir_backend *backend;
	__u32 index;

	if (!slots || !backends)
		return NULL;
	index = weir_in_slot(slots, service, number);
	backend = WEIR_LOOKUP(backends, &index);
	/* A backend nobody wrote has no port. */
	if (!backend || backend->port == 0)
		return NULL;
	return backend;
}

/* The proxy's address in the family that the application speaks: its socket may know no other. */
WEIR_INLINE void weir_proxy_address(struct weir_address *to, const struct weir_address *original)
{
	if (weir_address_is_v4(original))
		weir_address_from_v4(to, WEIR_V4_LOOPBACK);
	else
		weir_address_from_v6(to, 0, 0, 0, bpf_htonl(1));
}

#endif
