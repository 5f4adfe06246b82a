/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * How often: connections and UDP packets of one second, by the generic cell rate algorithm (ITU-T
 * I.371, Annex A) in its form as a leaky bucket. What comes fills the bucket by one, and it drains
 * at the rate; what would fill it above the burst is not let through and does not fill it. So in
 * whatever time t at most burst + rate * t get through, and as many do if they come.
 *
 * In whole numbers, so that it is exact for every rate: the level is kept in billionths of one, of
 * which a rate of r a second drains r each nanosecond.
 */
#ifndef WEIR_LIMIT_H
#define WEIR_LIMIT_H

#include "table.h"

#define WEIR_LIMIT_ONE 1000000000ULL

/*
 * Whether so many more at once are within the limit; if so, they are in the level. `burst` times a
 * billion, and so many more, must fit into 64 bits. Time that goes back counts as standing still:
 * who comes first to the lock need not have read the clock first.
 */
WEIR_INLINE _Bool weir_conforms(__u64 *since, __u64 *level, const struct weir_limit *limit,
				__u64 now, __u32 count)
{
	__u64 most = limit->burst * WEIR_LIMIT_ONE, more = count * WEIR_LIMIT_ONE;
	__u64 rate = limit->per_second, filled = *level, from = *since, elapsed;

	if (rate == 0 || more > most)
		return 0;
	/* The burst was larger when it was filled. */
	if (filled > most)
		filled = most;
	elapsed = now > from ? now - from : 0;
	filled = elapsed > filled / rate ? 0 : filled - elapsed * rate;
	if (filled > most - more)
		return 0;
	*level = filled + more;
	*since = now > from ? now : from;
	return 1;
}

#ifdef __bpf__

#include "identity.h"
#include "maps.h"
#include "telemetry.h"

#define WEIR_LIMITED 0x10000 /* with the rule in the bits below */

/*
 * Asks the limit of a destination for so many at once: 0, or WEIR_LIMITED and the rule. No room for
 * a state is a refusal: what nobody counts has no limit.
 */
WEIR_PROVEN_ONCE __u32 weir_limited(__u32 slot, __u32 source, __u32 destination,
				    __u32 port_and_protocol, __u32 count)
{
	struct weir_limit_state_key state_key = {};
	struct weir_limit_state *state, none = {};
	struct weir_view view = {.slot = slot};
	struct weir_limit_key key = {};
	struct weir_limit *limit;
	__u64 now;
	void *table;
	_Bool within;

	table = WEIR_TABLE_OF(limits, &view);
	if (!table)
		return WEIR_LIMITED;
	key.destination = destination;
	key.port = port_and_protocol;
	key.protocol = port_and_protocol >> 16;
	limit = bpf_map_lookup_elem(table, &key);
	if (!limit)
		return 0;
	state_key.source = limit->each ? source : 0;
	state_key.destination = destination;
	state_key.port = limit->port;
	state_key.protocol = key.protocol;
	state = bpf_map_lookup_elem(&limit_states, &state_key);
	if (!state) {
		bpf_map_update_elem(&limit_states, &state_key, &none, BPF_NOEXIST);
		state = bpf_map_lookup_elem(&limit_states, &state_key);
	}
	if (!state) {
		weir_count(WEIR_COUNTER_LIMITS_FULL);
		return WEIR_LIMITED | limit->rule;
	}
	now = bpf_ktime_get_boot_ns();
	bpf_spin_lock(&state->lock);
	within = weir_conforms(&state->since, &state->level, limit, now, count);
	bpf_spin_unlock(&state->lock);
	return within ? 0 : WEIR_LIMITED | limit->rule;
}

#endif
#endif
