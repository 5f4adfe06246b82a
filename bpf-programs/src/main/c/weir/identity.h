/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Who is asking: cgroup -> workload -> identity of the generation in force.
 *
 * Never from an address, a port, a mark or a uid: those a workload can choose.
 */
#ifndef WEIR_IDENTITY_H
#define WEIR_IDENTITY_H

#include "table.h"

/* The slot that `current` names at this second of CLOCK_BOOTTIME. */
WEIR_INLINE __u32 weir_slot_in_force(__u64 word, __u64 boot_seconds)
{
	__u64 deadline = word >> 1;
	__u32 slot = word & 1;

	if (deadline && boot_seconds >= deadline)
		slot ^= 1;
	return slot;
}

/*
 * Finds the workload of one generation along a cgroup and its ancestors, asked from the deepest on:
 * whatever the slot does not declare is passed over. True: found.
 */
struct weir_dweller {
	__u32 workload;
	__u32 elsewhere; /* of the nearest that only the other slot declares */
};

WEIR_INLINE _Bool weir_dwells(struct weir_dweller *dweller, const struct weir_cgroup *cgroup,
			      __u32 slot)
{
	__u32 here = slot ? cgroup->workload[1] : cgroup->workload[0];

	if (here) {
		dweller->workload = here;
		return 1;
	}
	if (!dweller->elsewhere)
		dweller->elsewhere = slot ? cgroup->workload[0] : cgroup->workload[1];
	return 0;
}

/* Identity of a workload within one generation. A workload this generation does not know is a
 * stranger, not a friend: WEIR_UNKNOWN. */
WEIR_INLINE __u16 weir_identity_of(void *workloads, __u32 workload)
{
	struct weir_workload *w;

	if (workload < WEIR_FIRST_WORKLOAD)
		return workload;
	w = WEIR_LOOKUP(workloads, &workload);
	if (!w || w->identity == 0)
		return WEIR_UNKNOWN;
	return w->identity;
}

/*
 * May this socket be used here? Hooks follow the socket's cgroup of birth, while "current" is the
 * process that uses it: whoever passes a socket on (SCM_RIGHTS, inheritance, moving a process)
 * would lend out his identity. So both must be one workload, unless the one who made the socket is
 * declared to hand sockets out. The same cgroup is the same owner, even if it was declared only
 * after the socket was made. The host makes no exception in either direction: a process that leaves
 * its cgroup must not take its connections' rights along, nor bring any in.
 */
WEIR_INLINE _Bool weir_birth_allows(void *workloads, const struct weir_socket *socket,
				    __u64 current_cgroup, __u32 current_workload)
{
	__u32 birth = socket->birth_workload;
	struct weir_workload *w;

	if (socket->birth_cgroup == current_cgroup || birth == current_workload)
		return 1;
	w = WEIR_LOOKUP(workloads, &birth);
	return w && (w->flags & WEIR_WORKLOAD_HANDS_OUT_SOCKETS);
}

#ifdef __bpf__

#include "maps.h"

/* What one decision reads: never look at `current` twice, the second answer may be another. */
struct weir_view {
	struct weir_generation *generation; /* NULL: nothing is in force */
	__u32 slot;
};

/* A build that breaks that rule on purpose: the test of generation swaps must find it out. */
#ifdef WEIR_TEST_READS_TWICE
#define WEIR_LOOK_AGAIN(view) weir_look(view)
#else
#define WEIR_LOOK_AGAIN(view)
#endif

#define WEIR_TABLE_OF(name, view) bpf_map_lookup_elem(&name, &(view)->slot)

/* The slot in force. Before anything is stored, and if `current` could not be read, slot 0: what
 * governs there governs, and without a generation in it that means refused. */
WEIR_INLINE __u32 weir_slot_now(void)
{
	__u32 zero = 0;
	struct weir_current *now = bpf_map_lookup_elem(&current, &zero);
	__u64 word, seconds = 0;

	if (!now)
		return 0;
	word = *(volatile __u64 *)&now->word;
	if (word >> 1)
		seconds = bpf_ktime_get_boot_ns() / 1000000000ULL;
	return weir_slot_in_force(word, seconds);
}

/* Takes the generation of a slot that was read before. */
WEIR_INLINE void weir_look_in(struct weir_view *view, __u32 slot)
{
	__u32 zero = 0;
	void *table;

	view->slot = slot;
	view->generation = NULL;
	table = WEIR_TABLE_OF(generations, view);
	if (!table)
		return;
	view->generation = bpf_map_lookup_elem(table, &zero);
	/* A table that was put in place and not filled is no generation. */
	if (view->generation && view->generation->number == 0)
		view->generation = NULL;
}

WEIR_INLINE void weir_look(struct weir_view *view)
{
	weir_look_in(view, weir_slot_now());
}

#ifndef WEIR_CGROUP_LEVELS
#define WEIR_CGROUP_LEVELS 16
#endif

/* Who nobody in the slot in force declares is the host: nobody's. But if that slot holds no
 * generation, whoever the other one declares is a workload, so that it is refused. */
WEIR_FUNCTION __u32 weir_nobody(__u32 slot, __u32 elsewhere)
{
	struct weir_view view;

	if (!elsewhere)
		return WEIR_HOST;
	weir_look_in(&view, slot);
	return view.generation ? WEIR_HOST : elsewhere;
}

/* The workload, in one slot, of the process that runs now: that of its cgroup or, failing that, of
 * the nearest ancestor that has one. */
WEIR_FUNCTION __u32 weir_current_workload(__u32 slot)
{
	__u64 cgroup = bpf_get_current_cgroup_id(), ancestor;
	struct weir_cgroup *found = bpf_map_lookup_elem(&cgroups, &cgroup);
	struct weir_dweller dweller = {};
	int level;

	if (found && weir_dwells(&dweller, found, slot))
		return dweller.workload;
	for (level = WEIR_CGROUP_LEVELS - 1; level > 0; level--) {
		ancestor = bpf_get_current_ancestor_cgroup_id(level);
		if (ancestor == 0 || ancestor == cgroup)
			continue;
		found = bpf_map_lookup_elem(&cgroups, &ancestor);
		if (found && weir_dwells(&dweller, found, slot))
			return dweller.workload;
	}
	return weir_nobody(slot, dweller.elsewhere);
}

#endif
#endif
