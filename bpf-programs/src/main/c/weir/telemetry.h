/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * What is counted and reported. Counting must never change a verdict, and nothing is lost in
 * silence: a table that is full counts in its overflow row (key all zero) and says so in `counters`.
 */
#ifndef WEIR_TELEMETRY_H
#define WEIR_TELEMETRY_H

#include "table.h"

/* The bucket of `connect`: bucket i holds what took less than 2^i microseconds. */
WEIR_INLINE __u32 weir_latency_bucket(__u64 microseconds)
{
	__u32 bucket = 0;

	while (bucket < WEIR_LATENCY_BUCKETS - 1 && microseconds >> bucket)
		bucket++;
	return bucket;
}

/*
 * What a connection has carried of the application's bytes, in a TCP state. The kernel counts FIN as
 * a byte, and SYN at who connects. Whether a FIN came before the socket went into FIN_WAIT2's
 * time-wait cannot be told: one byte more at most.
 *
 * Sent is what the source sent, whoever counts: `accepted` changes the two ends.
 */
WEIR_INLINE void weir_carried(__u32 state, _Bool accepted, __u64 *sent, __u64 *received)
{
	_Bool last_ack = state == 9, closing = state == 11;
	__u64 swap;

	if (!accepted)
		*sent -= 1;
	if (state == 5 || closing || last_ack) /* FIN_WAIT2: our FIN was acknowledged */
		*sent -= 1;
	if (state == 8 || closing || last_ack) /* CLOSE_WAIT: theirs came */
		*received -= 1;
	if (accepted) {
		swap = *sent;
		*sent = *received;
		*received = swap;
	}
}

/* Events of one source: EVENT_BURST at once, then one each EVENT_INTERVAL. */
#define WEIR_EVENT_INTERVAL 10000000ULL /* ns */
#define WEIR_EVENT_BURST    64

/* Generic cell rate algorithm: `due` is the theoretical arrival time. Whether this one is within
 * the budget; if so, `due` moves on. */
WEIR_INLINE _Bool weir_within_budget(__u64 *due, __u64 now)
{
	__u64 next = *due < now ? now : *due;

	if (next - now > WEIR_EVENT_INTERVAL * (WEIR_EVENT_BURST - 1))
		return 0;
	*due = next + WEIR_EVENT_INTERVAL;
	return 1;
}

#ifdef __bpf__

#include "maps.h"

/* Atomic, because a program can be interrupted on its CPU by a softirq that counts the same. */
#define weir_add(counter, amount) __sync_fetch_and_add(counter, amount)

WEIR_INLINE void weir_count(__u32 counter)
{
	__u64 *value = bpf_map_lookup_elem(&counters, &counter);

	if (value)
		weir_add(value, 1);
}

/* The overflow row must be there before the table is full. */
WEIR_INLINE void weir_reserve_overflow(void *map, const void *zero_key, const void *zero_value)
{
	if (!bpf_map_lookup_elem(map, zero_key))
		bpf_map_update_elem(map, zero_key, zero_value, BPF_NOEXIST);
}

WEIR_FUNCTION struct weir_pair *weir_new_pair(const struct weir_pair_key *key)
{
	struct weir_pair_key overflow = {};
	struct weir_pair *pair, none = {};

	weir_reserve_overflow(&pairs, &overflow, &none);
	bpf_map_update_elem(&pairs, key, &none, BPF_NOEXIST);
	pair = bpf_map_lookup_elem(&pairs, key);
	if (pair)
		return pair;
	weir_count(WEIR_COUNTER_PAIRS_FULL);
	return bpf_map_lookup_elem(&pairs, &overflow);
}

/* The counters of a socket's pair, its row made at need; the overflow row where there is no room. */
WEIR_INLINE struct weir_pair *weir_pair_of(const struct weir_socket *socket)
{
	struct weir_pair_key key = {
		.source = socket->source,
		.destination = socket->destination,
		.port = socket->port,
		.protocol = socket->protocol,
		.verdict = socket->verdict,
	};
	struct weir_pair *pair = bpf_map_lookup_elem(&pairs, &key);

	return pair ? pair : weir_new_pair(&key);
}

WEIR_PROVEN_ONCE int weir_count_refusal(const struct weir_refusal_key *refusal)
{
	struct weir_refusal_key key, overflow = {};
	__u64 *count, zero = 0;

	if (!refusal)
		return 0;
	key = *refusal; /* 6.1 takes no key from an argument's memory */
	count = bpf_map_lookup_elem(&refusals, &key);
	if (!count) {
		weir_reserve_overflow(&refusals, &overflow, &zero);
		bpf_map_update_elem(&refusals, &key, &zero, BPF_NOEXIST);
		count = bpf_map_lookup_elem(&refusals, &key);
	}
	if (!count) {
		weir_count(WEIR_COUNTER_REFUSALS_FULL);
		count = bpf_map_lookup_elem(&refusals, &overflow);
	}
	if (count)
		weir_add(count, 1);
	return 0;
}

/* Reserves an event within the source's budget and fills in when. NULL: counted as lost. */
WEIR_INLINE struct weir_event *weir_reserve_event(__u32 source)
{
	__u32 index = source % WEIR_EVENT_BUDGETS;
	__u64 *due = bpf_map_lookup_elem(&event_budgets, &index);
	__u64 now = bpf_ktime_get_boot_ns();
	struct weir_event *event = NULL;

	if (due && weir_within_budget(due, now))
		event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		weir_count(WEIR_COUNTER_EVENTS_LOST);
		return NULL;
	}
	__builtin_memset(event, 0, sizeof(*event));
	event->time = now;
	return event;
}

/* The same, and who runs now; of no use where a packet comes in, whoever it interrupts. */
WEIR_INLINE struct weir_event *weir_begin_event(__u32 source)
{
	struct weir_event *event = weir_reserve_event(source);

	if (!event)
		return NULL;
	event->pid = bpf_get_current_pid_tgid() >> 32;
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	return event;
}

/* Counts a refusal (or what audit mode let pass) and tells of it. */
WEIR_PROVEN_ONCE int weir_report(const struct weir_refusal_key *key,
				 const struct weir_address *address, __u64 generation, __u8 hook)
{
	struct weir_event *event;

	if (!key || !address)
		return 0;
	weir_count_refusal(key);
	event = weir_begin_event(key->source);
	if (!event)
		return 0;
	event->generation = generation;
	event->cgroup = bpf_get_current_cgroup_id();
	event->address = *address;
	event->source = key->source;
	event->destination = key->destination;
	event->rule = key->rule;
	event->port = key->port;
	event->protocol = key->protocol;
	event->hook = hook;
	event->reason = key->reason;
	bpf_ringbuf_submit(event, 0);
	return 0;
}

#endif
#endif
