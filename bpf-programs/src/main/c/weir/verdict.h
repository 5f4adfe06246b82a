/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * May identity S reach identity D with this protocol on this port?
 *
 * Context-free: the same code runs in connect(), in a tc program under bpf_prog_test_run, and in
 * native tests. User space builds the table with the same hash (test/resources/verdict-hash.csv
 * holds both to it).
 *
 * Order of look-ups; the first row found decides, whatever its verdict:
 *
 *   neither S isolated for egress nor D for ingress      ALLOW, no look-up
 *   (S, D, protocol, port) (S, D, protocol, 0) (S, D, ANY, 0)
 *   S not isolated for egress: (ANY, D, protocol, port) (ANY, D, protocol, 0) (ANY, D, ANY, 0)
 *   D not isolated for ingress: (S, ANY, protocol, port) (S, ANY, protocol, 0) (S, ANY, ANY, 0)
 *   none: one side is isolated, and not in audit          REFUSE, DEFAULT_DENY
 *   none: every side that is isolated is so in audit      AUDIT, DEFAULT_DENY
 *
 * A row with ANY on one side speaks for that side alone, so it may decide only when the other side
 * has nothing to say. Where both are isolated the compiler has combined the two into exact rows.
 */
#ifndef WEIR_VERDICT_H
#define WEIR_VERDICT_H

#include "table.h"

#define WEIR_ROW_KEY_BITS  46
#define WEIR_ROW_KEY_MASK  ((1ULL << WEIR_ROW_KEY_BITS) - 1)
#define WEIR_IDENTITY_MASK 0x3fffULL

struct weir_question {
	__u16 source;      /* identity */
	__u16 destination; /* identity */
	__u16 port;        /* 0 where the protocol has none */
	__u8 protocol;     /* enum weir_protocol */
};

struct weir_answer {
	__u8 verdict; /* enum weir_verdict */
	__u8 reason;  /* enum weir_reason; for AUDIT, what it would have been */
	__u16 rule;   /* of the generation; 0 where nothing was asked */
};

/* The tables of one generation that a verdict needs. */
struct weir_verdict_tables {
	void *identities;
	void *verdicts;
	void *port_classes; /* may be NULL without WEIR_GENERATION_PORT_CLASSES */
};

WEIR_INLINE __u64 weir_row_key(__u16 source, __u16 destination, __u8 protocol, __u16 port)
{
	return (source & WEIR_IDENTITY_MASK) | (destination & WEIR_IDENTITY_MASK) << 14 |
	       (__u64)port << 28 | (__u64)(protocol & 3) << 44;
}

WEIR_INLINE __u64 weir_row(__u64 key, __u8 verdict, __u16 rule)
{
	return (key & WEIR_ROW_KEY_MASK) | (__u64)(verdict & 3) << 46 | (__u64)rule << 48;
}

WEIR_INLINE __u8 weir_row_verdict(__u64 row)
{
	return row >> 46 & 3;
}

WEIR_INLINE __u16 weir_row_rule(__u64 row)
{
	return row >> 48;
}

/* Both choices of bucket: the low and the high half, before the mask. */
WEIR_INLINE __u64 weir_hash(__u64 key, __u64 seed)
{
	__u64 h = (key ^ seed) * 0x9E3779B97F4A7C15ULL;

	h ^= h >> 32;
	h *= 0xD6E8FEB86659FD93ULL;
	h ^= h >> 32;
	return h;
}

WEIR_INLINE __u32 weir_first_bucket(__u64 hash, __u32 mask)
{
	return (__u32)hash & mask;
}

WEIR_INLINE __u32 weir_second_bucket(__u64 hash, __u32 mask)
{
	return (__u32)(hash >> 32) & mask;
}

/* The row with this key in one bucket, or 0. */
WEIR_PROVEN_ONCE __u64 weir_scan(const struct weir_verdict_bucket *bucket, __u64 key)
{
	int i;

	if (!bucket)
		return 0;
	for (i = 0; i < WEIR_BUCKET_ROWS; i++) {
		__u64 row = bucket->row[i];

		if (((row ^ key) & WEIR_ROW_KEY_MASK) == 0)
			return row;
	}
	return 0;
}

/* The row with this key, or 0. No key that is ever asked for is 0 (one side is not ANY), so an
 * empty row never matches. */
WEIR_FUNCTION __u64 weir_find_row(void *verdicts, __u64 seed, __u32 mask, __u64 key)
{
	__u64 hash = weir_hash(key, seed), row;
	struct weir_verdict_bucket *bucket;
	__u32 index = weir_first_bucket(hash, mask);

	bucket = WEIR_LOOKUP(verdicts, &index);
	row = bucket ? weir_scan(bucket, key) : 0;
	if (row)
		return row;
	index = weir_second_bucket(hash, mask);
	bucket = WEIR_LOOKUP(verdicts, &index);
	return bucket ? weir_scan(bucket, key) : 0;
}

/* From the narrow row to the wide one. */
WEIR_INLINE __u64 weir_find_pair(void *verdicts, __u64 seed, __u32 mask, __u16 source,
				 __u16 destination, __u8 protocol, __u16 port)
{
	__u64 row = 0;

	if (protocol != WEIR_PROTOCOL_ANY) {
		if (port)
			row = weir_find_row(verdicts, seed, mask,
					    weir_row_key(source, destination, protocol, port));
		if (!row)
			row = weir_find_row(verdicts, seed, mask,
					    weir_row_key(source, destination, protocol, 0));
	}
	if (!row)
		row = weir_find_row(verdicts, seed, mask,
				    weir_row_key(source, destination, WEIR_PROTOCOL_ANY, 0));
	return row;
}

WEIR_INLINE __u16 weir_port_class(void *port_classes, __u16 port)
{
	__u32 chunk = port / 32;
	struct weir_port_classes *classes;

	if (!port_classes)
		return port;
	classes = WEIR_LOOKUP(port_classes, &chunk);
	return classes ? classes->class[port % 32] : port;
}

WEIR_INLINE void weir_judge(const struct weir_verdict_tables *tables,
			    const struct weir_generation *generation,
			    const struct weir_question *question, struct weir_answer *answer)
{
	__u32 source = question->source, destination = question->destination;
	struct weir_identity *from = WEIR_LOOKUP(tables->identities, &source);
	struct weir_identity *to = WEIR_LOOKUP(tables->identities, &destination);
	/* An identity nobody described has no rights and gives none. */
	_Bool egress_isolated = !from || (from->flags & WEIR_EGRESS_ISOLATED);
	_Bool ingress_isolated = !to || (to->flags & WEIR_INGRESS_ISOLATED);
	_Bool refused_there, refused_here;
	__u64 seed = generation->verdict_seed, row;
	__u32 mask = generation->verdict_mask;
	__u8 protocol = question->protocol;
	__u16 port = question->port, rule = 0;

	answer->verdict = WEIR_ALLOW;
	answer->reason = WEIR_REASON_NONE;
	answer->rule = 0;
	if (!egress_isolated && !ingress_isolated)
		return;
	if (generation->flags & WEIR_GENERATION_PORT_CLASSES)
		port = weir_port_class(tables->port_classes, port);

	row = weir_find_pair(tables->verdicts, seed, mask, source, destination, protocol, port);
	if (!row && !egress_isolated)
		row = weir_find_pair(tables->verdicts, seed, mask, WEIR_ANY, destination, protocol,
				     port);
	if (!row && !ingress_isolated)
		row = weir_find_pair(tables->verdicts, seed, mask, source, WEIR_ANY, protocol,
				     port);
	if (row) {
		answer->verdict = weir_row_verdict(row);
		answer->rule = weir_row_rule(row);
		if (answer->verdict == WEIR_REFUSE || answer->verdict == WEIR_AUDIT)
			answer->reason = WEIR_REASON_POLICY;
		return;
	}
	/* In whose name: of who refuses, else of who would; the destination before the source. */
	refused_there = ingress_isolated && !(to && (to->flags & WEIR_INGRESS_AUDIT));
	refused_here = egress_isolated && !(from && (from->flags & WEIR_EGRESS_AUDIT));
	if (refused_there || (ingress_isolated && !refused_here))
		rule = to ? to->ingress_rule : 0;
	else
		rule = from ? from->egress_rule : 0;
	answer->verdict = refused_there || refused_here ? WEIR_REFUSE : WEIR_AUDIT;
	answer->reason = WEIR_REASON_DEFAULT_DENY;
	answer->rule = rule ? rule : generation->mesh_rule;
}

#endif
