/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Which backend does a client of a service with sessionAffinity ClientIP keep to?
 *
 * A client is a workload, as it is a pod's address in Kubernetes. It keeps to the backend that it
 * was led to last, until it has not come for as long as the service says, or until that backend is
 * none of the service's any more (gone, not ready) or is ejected for it: then it is led to another,
 * and keeps to that. A backend is remembered by its address, so it is the same in every generation,
 * and a change of the others moves nobody.
 *
 * A client that is not remembered goes where its hash says. So whom a table without room has
 * forgotten meets, as a rule, who he met before; no verdict depends on it.
 */
#ifndef WEIR_AFFINITY_H
#define WEIR_AFFINITY_H

#include "identity.h"
#include "maps.h"
#include "steer.h"
#include "telemetry.h"

#define WEIR_SECOND_NS 1000000000ULL
/* An entry that is used all the time is not written with every datagram, but once in a sixteenth of
 * its time, and at least once a second: so much it may end too early. */
WEIR_INLINE __u64 weir_affinity_step(__u32 seconds)
{
	return (seconds < 16 ? seconds : 16) * (WEIR_SECOND_NS / 16);
}

/* Port, protocol and family of what is asked for, as a number. */
WEIR_INLINE __u32 weir_affinity_of(__u16 port, __u8 protocol, _Bool v4)
{
	return port | (__u32)protocol << 16 | (__u32)v4 << 24;
}

WEIR_INLINE void weir_affinity_key_of(struct weir_affinity_key *key, __u32 source, __u32 service,
				      __u32 asked)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->source = source;
	key->service = service;
	key->port = asked;
	key->protocol = asked >> 16;
	key->v4 = asked >> 24;
}

/* Where the hash of a client leads among the slots of a service. */
WEIR_INLINE __u32 weir_affinity_slot(__u32 source, const struct weir_service *service)
{
	return weir_pick(weir_mix((__u64)service->workload << 32 | source), service->slots);
}

/* A walk over the slots of a service for one backend. */
struct weir_search {
	const struct weir_service *service;
	struct weir_address address;
	__u32 generation; /* its slot */
	__u32 found;      /* number of a slot of the service, and one more */
	__u16 port;
};

/* Whether the backend is in one slot. */
WEIR_PROVEN_ONCE int weir_is_in_slot(__u32 generation, const struct weir_service *service,
				     __u32 number, const struct weir_address *address, __u32 port)
{
	struct weir_view view = {.slot = generation & 1};
	struct weir_backend *backend;

	if (!service || !address)
		return 0;
	backend = weir_backend_in(WEIR_TABLE_OF(slots, &view), WEIR_TABLE_OF(backends, &view),
				  service, number);
	return backend && backend->port == port && weir_address_equal(&backend->address, address);
}

static long weir_seek(__u32 number, struct weir_search *search)
{
	if (!weir_is_in_slot(search->generation, search->service, number, &search->address,
			     search->port))
		return 0;
	search->found = number + 1;
	return 1;
}

/* For how long after it came last a client keeps to its backend. */
WEIR_PROVEN_ONCE __u32 weir_affinity_seconds(__u32 generation, const struct weir_service *service)
{
	struct weir_view view = {.slot = generation & 1};
	void *table = WEIR_TABLE_OF(slots, &view);
	__u32 behind;

	if (!service || !table)
		return 0;
	behind = service->slots + service->roster;
	return weir_in_slot(table, service, behind) << 16 |
	       weir_in_slot(table, service, behind + 1);
}

/* The slot, and one more, of the backend that a client keeps to; 0: it is to be led to one anew. */
WEIR_PROVEN_ONCE __u32 weir_keeps_to(__u32 generation, const struct weir_service *service,
				     __u32 source, __u32 asked)
{
	struct weir_search search = {.service = service, .generation = generation};
	struct weir_affinity_key key;
	struct weir_affinity *known;
	__u32 seconds;
	__u64 now;

	if (!service)
		return 0;
	weir_affinity_key_of(&key, source, service->workload, asked);
	known = bpf_map_lookup_elem(&affinities, &key);
	if (!known)
		return 0;
	seconds = weir_affinity_seconds(generation, service);
	now = bpf_ktime_get_boot_ns();
	if (now > known->used && now - known->used >= seconds * WEIR_SECOND_NS)
		return 0;
	search.address = known->address;
	search.port = known->port;
	search.found = known->slot + 1;
	/* Another generation may have it elsewhere; then it is looked for, once. */
	if (known->slot >= service->slots ||
	    !weir_is_in_slot(generation, service, known->slot, &search.address, search.port)) {
		search.found = 0;
		bpf_loop(service->slots, weir_seek, &search, 0);
		if (!search.found)
			return 0;
		known->slot = search.found - 1;
	}
	if (now > known->used + weir_affinity_step(seconds))
		known->used = now;
	return search.found;
}

/* A client was led anew, to the backend in one slot of the service. */
WEIR_PROVEN_ONCE int weir_keep_to(__u32 generation, const struct weir_service *service,
				  __u32 source, __u32 asked, __u32 slot)
{
	struct weir_view view = {.slot = generation & 1};
	struct weir_affinity_key key;
	struct weir_affinity value = {};
	struct weir_backend *backend;

	if (!service)
		return 0;
	backend = weir_backend_in(WEIR_TABLE_OF(slots, &view), WEIR_TABLE_OF(backends, &view),
				  service, slot);
	if (!backend)
		return 0;
	weir_affinity_key_of(&key, source, service->workload, asked);
	value.address = backend->address;
	value.port = backend->port;
	value.used = bpf_ktime_get_boot_ns();
	value.slot = slot;
	if (bpf_map_update_elem(&affinities, &key, &value, BPF_ANY))
		weir_count(WEIR_COUNTER_AFFINITIES_FULL);
	return 0;
}

#endif
