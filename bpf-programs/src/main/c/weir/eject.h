/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Backends that do not answer connects are passed over for a while: by the source that has met it,
 * for a time that grows, and never all of them. What counts is what the socket says, ECONNREFUSED or
 * ETIMEDOUT; a client that gave up, or a policy that refused, says nothing of a backend.
 */
#ifndef WEIR_EJECT_H
#define WEIR_EJECT_H

#include <linux/errno.h>

#include "socket.h"
#include "steer.h"

/* Now in bytes that are all set: a key of a map must not hold what was on the stack. */
WEIR_INLINE void weir_ejection_key_of(struct weir_ejection_key *key, __u32 source,
				      const struct weir_address *address, __u16 port)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->address = *address;
	key->source = source;
	key->port = port;
}

WEIR_FUNCTION int weir_is_ejected(__u32 source, const struct weir_backend *backend)
{
	struct weir_ejection_key key;
	struct weir_ejection *found;

	if (!backend)
		return 0;
	weir_ejection_key_of(&key, source, &backend->address, backend->port);
	found = bpf_map_lookup_elem(&ejections, &key);
	return found && found->until > bpf_ktime_get_boot_ns();
}

enum weir_standing {
	WEIR_STANDING_NONE, /* no backend in this slot */
	WEIR_STANDING_EJECTED,
	/* Not 1, as with enum weir_way. */
	WEIR_STANDING_GOOD = 2,
};

/*
 * How the backend in one slot of a service stands with a source. Proven by itself, and asked in
 * walks that are no loops to the verifier (bpf_loop): unrolled into connect() they cost it sixty
 * thousand instructions, and more than it has on 6.1.
 */
WEIR_PROVEN_ONCE int weir_standing(__u32 generation, const struct weir_service *service,
				   __u32 number, __u32 source)
{
	struct weir_view view = {.slot = generation};
	struct weir_backend *backend;

	if (!service)
		return WEIR_STANDING_NONE;
	backend = weir_backend_in(WEIR_TABLE_OF(slots, &view), WEIR_TABLE_OF(backends, &view),
				  service, number);
	if (!backend)
		return WEIR_STANDING_NONE;
	return weir_is_ejected(source, backend) ? WEIR_STANDING_EJECTED : WEIR_STANDING_GOOD;
}

#define WEIR_SECOND_TRIES 8

/* What a walk over the backends of a service knows and finds out. */
struct weir_walk {
	const struct weir_service *service;
	__u32 generation; /* its slot */
	__u32 source;
	__u32 start;
	__u32 found; /* slot of a backend that is not ejected, and one more */
	__u32 ejected;
};

static long weir_try(__u32 round, struct weir_walk *walk)
{
	const struct weir_service *service = walk->service;
	__u32 number;

	if (round < WEIR_SECOND_TRIES)
		number = weir_pick(bpf_get_prandom_u32(), service->slots);
	else
		number = service->slots + (walk->start + round) % service->roster;
	if (weir_standing(walk->generation, service, number, walk->source) != WEIR_STANDING_GOOD)
		return 0;
	walk->found = number + 1;
	return 1;
}

/*
 * Another than a backend that is ejected: by chance a few times, so that weights hold among the
 * others, then any. The number of its slot and one more; 0: there is none, and the ejected one is
 * as good as any.
 */
WEIR_PROVEN_ONCE __u32 weir_instead(__u32 generation, const struct weir_service *service,
				    __u32 source)
{
	struct weir_walk walk = {
		.service = service,
		.generation = generation,
		.source = source,
		.start = bpf_get_prandom_u32(),
	};

	if (service && service->slots != 0)
		bpf_loop(WEIR_SECOND_TRIES + service->roster, weir_try, &walk, 0);
	return walk.found;
}

static long weir_tally(__u32 number, struct weir_walk *walk)
{
	walk->ejected +=
		weir_standing(walk->generation, walk->service, walk->service->slots + number,
			      walk->source) == WEIR_STANDING_EJECTED;
	return 0;
}

/* Whether one more may be ejected for a source: fewer than all, and no more than the share. */
WEIR_PROVEN_ONCE int weir_may_eject(__u32 generation, const struct weir_service *service,
				    __u32 source)
{
	struct weir_walk walk = {
		.service = service,
		.generation = generation,
		.source = source,
		.ejected = 1,
	};

	if (!service)
		return 0;
	bpf_loop(service->roster, weir_tally, &walk, 0);
	return walk.ejected < service->roster &&
	       walk.ejected * 100 <= (__u32)service->ejected_percent * service->roster;
}

/* The backend did not answer. */
WEIR_FUNCTION int weir_backend_failed(const struct weir_socket *socket, int error)
{
	struct weir_service_key asked = {};
	struct weir_ejection_key key;
	struct weir_ejection *found, none = {};
	struct weir_service *service;
	struct weir_view view;
	__u64 now, length;
	void *table;

	if (!socket || (error != ECONNREFUSED && error != ETIMEDOUT))
		return 0;
	weir_look(&view);
	table = view.generation ? WEIR_TABLE_OF(services, &view) : NULL;
	asked.address = socket->original;
	asked.port = socket->original_port;
	asked.protocol = WEIR_TCP;
	service = table ? bpf_map_lookup_elem(table, &asked) : NULL;
	if (!service || service->ejection_failures == 0)
		return 0;
	weir_ejection_key_of(&key, socket->source, &socket->steered, socket->steered_port);
	found = bpf_map_lookup_elem(&ejections, &key);
	if (!found) {
		bpf_map_update_elem(&ejections, &key, &none, BPF_NOEXIST);
		found = bpf_map_lookup_elem(&ejections, &key);
	}
	if (!found)
		return 0;
	now = bpf_ktime_get_boot_ns();
	/* One that was under way when it was ejected. */
	if (found->until > now)
		return 0;
	if (__sync_fetch_and_add(&found->failures, 1) + 1 < service->ejection_failures ||
	    !weir_may_eject(view.slot, service, socket->source))
		return 0;
	found->failures = 0;
	found->times++;
	length = (__u64)service->ejection_ms * found->times;
	if (length > WEIR_EJECTION_MOST_MS && service->ejection_ms < WEIR_EJECTION_MOST_MS)
		length = WEIR_EJECTION_MOST_MS;
	else if (length > WEIR_EJECTION_MOST_MS)
		length = service->ejection_ms;
	found->until = now + length * 1000000ULL;
	weir_count(WEIR_COUNTER_EJECTED);
	return 0;
}

/* The backend answered: failures begin anew; after a long rest so does the time. */
WEIR_FUNCTION int weir_backend_answered(const struct weir_socket *socket)
{
	struct weir_ejection_key key;
	struct weir_ejection *found;

	if (!socket)
		return 0;
	weir_ejection_key_of(&key, socket->source, &socket->steered, socket->steered_port);
	found = bpf_map_lookup_elem(&ejections, &key);
	if (!found)
		return 0;
	found->failures = 0;
	if (bpf_ktime_get_boot_ns() > found->until + WEIR_EJECTION_MOST_MS * 1000000ULL)
		found->times = 0;
	return 0;
}

#endif
