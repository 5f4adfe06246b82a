/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * On which of its TCP ports does an identity demand mutual TLS (PeerAuthentication, STRICT) of who
 * comes over a wire?
 *
 * What the kernel lets in is what it sees: a connection in plain text, as far as anybody can tell
 * before its first byte. So the demand is a refusal of every connection from another machine. Of
 * those from this node it demands nothing: they come by no wire.
 *
 * Most of what is demanded is demanded of all ports; `strict_ports` holds only what differs.
 */
#ifndef WEIR_STRICT_H
#define WEIR_STRICT_H

#include "table.h"

#define WEIR_DEMANDED 0x10000 /* with the rule that demands it in the bits below */

/* WEIR_DEMANDED and the rule, or 0. An identity that nobody described demands nothing: it is
 * isolated. A table that ought to be there and is not leaves nothing excepted. */
WEIR_INLINE __u32 weir_demand(void *identities, void *strict_ports, __u32 identity, __u16 port)
{
	struct weir_identity *to = WEIR_LOOKUP(identities, &identity);
	struct weir_strict_key key = {.prefix_length = 32};
	struct weir_strict *differs;
	__u16 rule;

	if (!to)
		return 0;
	rule = to->strict_rule;
	if (!(to->flags & WEIR_STRICT_PORTS))
		return rule ? WEIR_DEMANDED | rule : 0;
	if (!strict_ports)
		return WEIR_DEMANDED | rule;
	key.bits[0] = identity >> 8;
	key.bits[1] = identity;
	key.bits[2] = port >> 8;
	key.bits[3] = port;
	differs = WEIR_LOOKUP_BY_PREFIX(strict_ports, &key);
	if (differs)
		rule = differs->rule;
	return rule ? WEIR_DEMANDED | rule : 0;
}

#ifdef __bpf__

#include "identity.h"
#include "maps.h"

/* The same, of one slot. */
WEIR_PROVEN_ONCE __u32 weir_demand_in(__u32 slot, __u32 identity, __u32 port)
{
	struct weir_view view = {.slot = slot & 1};
	void *described = WEIR_TABLE_OF(identities, &view);
	void *differing = WEIR_TABLE_OF(strict_ports, &view);

	return described ? weir_demand(described, differing, identity, port) : WEIR_DEMANDED;
}

#endif
#endif
