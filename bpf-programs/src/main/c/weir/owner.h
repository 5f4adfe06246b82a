/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Whose a socket is, and where its connection came from, told by the kernel's own structures: for
 * hooks that have no helper to ask.
 */
#ifndef WEIR_OWNER_H
#define WEIR_OWNER_H

#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "identity.h"
#include "kernel.h"
#include "maps.h"
#include "socket.h"

#define WEIR_LO_INTERFACE 1 /* LOOPBACK_IFINDEX, of every namespace */

/*
 * The workload of a cgroup in one slot, its own or inherited; 0 if the cgroup is not below the one
 * at which the programs are attached, whose sockets are none of ours. The pointer comes as a
 * number, and fields are read one by one: of the listener of a half-open connection the verifier
 * knows nothing.
 */
WEIR_PROVEN_ONCE __u32 weir_lives(__u64 pointer, __u32 slot, __u64 root)
{
	struct cgroup *cgroup = (struct cgroup *)pointer;
	struct weir_dweller dweller = {};
	struct weir_cgroup *found;
	__u32 workload = 0;
	__u64 id;
	int level;

	for (level = 0; level <= WEIR_CGROUP_LEVELS && cgroup; level++) {
		id = BPF_CORE_READ(cgroup, kn, id);
		found = workload ? NULL : bpf_map_lookup_elem(&cgroups, &id);
		if (found && weir_dwells(&dweller, found, slot & 1))
			workload = dweller.workload;
		if (id == root)
			return workload ? workload : WEIR_HOST;
		cgroup = BPF_CORE_READ(cgroup, self.parent, cgroup);
	}
	/* Deeper than we look: a workload all the same, but nobody's host. */
	return workload;
}

/* Whether an accepted connection came by lo, and so from this namespace. */
WEIR_INLINE int weir_came_by_lo(struct sock *sk)
{
	struct inet_sock *inet = (struct inet_sock *)sk;

	if (BPF_CORE_READ(sk, __sk_common.skc_family) == WEIR_AF_INET)
		return BPF_CORE_READ(inet, mc_index) == WEIR_LO_INTERFACE;
	return BPF_CORE_READ(inet, pinet6, mcast_oif) == WEIR_LO_INTERFACE;
}

/*
 * Who alone may hold a port in a network namespace; 0: anybody. By the namespace's cookie where it is
 * the node's own, else by whose it is. Proven once: the verifier walks what follows for one answer.
 */
WEIR_PROVEN_ONCE __u32 weir_port_owner(__u64 netns, __u32 port_and_protocol, __u32 slot)
{
	struct weir_port_key key = {};
	struct weir_port *owner;
	struct weir_home *home;
	struct weir_view view;
	void *table;

	weir_look_in(&view, slot & 1);
	table = view.generation ? WEIR_TABLE_OF(ports, &view) : NULL;
	if (!table)
		return 0;
	key.netns = netns;
	key.port = port_and_protocol;
	key.protocol = port_and_protocol >> 16;
	if (weir_is_apart(view.generation, netns)) {
		/* Wherever a connection may be led to the proxy, nobody else may wait for it. */
		if ((view.generation->flags & WEIR_GENERATION_PROXY) && key.protocol == WEIR_TCP &&
		    key.port == view.generation->proxy_port)
			return WEIR_PROXY;
		home = bpf_map_lookup_elem(&homes, &key.netns);
		if (!home)
			return 0;
		key.netns = WEIR_PORTS_APART | home->workload;
	}
	owner = bpf_map_lookup_elem(table, &key);
	return owner ? owner->workload : 0;
}

#endif
