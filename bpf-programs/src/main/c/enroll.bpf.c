// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * A declared cgroup is known before any process can enter it, with nothing of ours resident: mkdir
 * runs this before it returns. So a unit that restarts is governed from its first instruction on.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "weir/identity.h"
#include "weir/kernel.h"
#include "weir/maps.h"
#include "weir/telemetry.h"

/* A build that a kernel without these tracepoints would refuse, whatever kernel it meets. */
#ifdef WEIR_TEST_UNTRACED
#define WEIR_TRACEPOINT(name) SEC("tp_btf/" name "_of_no_kernel")
#else
#define WEIR_TRACEPOINT(name) SEC("tp_btf/" name)
#endif

/* Who is declared for this path, exactly; children of a declared cgroup need no entry. */
WEIR_TRACEPOINT("cgroup_mkdir")
int BPF_PROG(weir_cgroup_mkdir, struct cgroup *cgroup, const char *path)
{
	struct weir_path key = {};
	struct weir_cgroup *declared;
	__u64 id;
	long length;

	if (cgroup->root->hierarchy_id != 0)
		return 0;
	length = bpf_probe_read_kernel_str(key.path, sizeof(key.path), path);
	/* Cut short, it might look like another one's; nobody can declare a path of this length. */
	if (length <= 0 || length >= WEIR_PATH_MAX)
		return 0;
	declared = bpf_map_lookup_elem(&paths, &key);
	if (!declared)
		return 0;
	id = cgroup->kn->id;
	if (bpf_map_update_elem(&cgroups, &id, declared, BPF_ANY))
		weir_count(WEIR_COUNTER_CGROUPS_FULL);
	return 0;
}

WEIR_TRACEPOINT("cgroup_rmdir")
int BPF_PROG(weir_cgroup_rmdir, struct cgroup *cgroup, const char *path)
{
	__u64 id;

	if (cgroup->root->hierarchy_id != 0)
		return 0;
	id = cgroup->kn->id;
	bpf_map_delete_elem(&cgroups, &id);
	return 0;
}

/* The workload of a cgroup in one slot, its own or inherited. */
WEIR_INLINE __u32 weir_workload_of(struct cgroup *cgroup, __u32 slot)
{
	struct cgroup_subsys_state *parent;
	struct weir_dweller dweller = {};
	struct weir_cgroup *found;
	__u64 id;
	int level;

	for (level = 0; level < WEIR_CGROUP_LEVELS && cgroup; level++) {
		id = cgroup->kn->id;
		found = bpf_map_lookup_elem(&cgroups, &id);
		if (found && weir_dwells(&dweller, found, slot))
			return dweller.workload;
		parent = cgroup->self.parent;
		if (!parent)
			break;
		cgroup = parent->cgroup;
	}
	return weir_nobody(slot, dweller.elsewhere);
}

/* Writes down where a process is now; returns where it was, 0 if that is not known. */
WEIR_INLINE __u64 weir_is_at(struct task_struct *task, __u64 cgroup)
{
	struct weir_task *known;
	__u64 before;

	known = bpf_task_storage_get(&tasks, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!known)
		return 0;
	before = known->cgroup;
	known->cgroup = cgroup;
	return before;
}

/* A process begins where its parent is, or where clone3() puts it. When it is moved, nothing of the
 * kernel tells any more where it was. */
WEIR_TRACEPOINT("sched_process_fork")
int BPF_PROG(weir_fork, struct task_struct *parent, struct task_struct *child)
{
	if (child->pid == child->tgid)
		weir_is_at(child, child->cgroups->dfl_cgrp->kn->id);
	return 0;
}

/* Those that are older than the programs: run once. */
SEC("iter/task")
int weir_tasks(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (task && task->pid == task->tgid)
		weir_is_at(task, task->cgroups->dfl_cgrp->kn->id);
	return 0;
}

/*
 * A process was moved into a governed cgroup, and takes on its workload's rights. That is how
 * supervisors start things and also how an intruder would borrow an identity, so it is told. Only a
 * workload that moves another process inside itself is certain not to have gained anything, and
 * passed over.
 */
WEIR_TRACEPOINT("cgroup_attach_task")
int BPF_PROG(weir_cgroup_attach_task, struct cgroup *to, const char *path, struct task_struct *task,
	     _Bool threadgroup)
{
	struct weir_event *event;
	__u32 workload, slot;
	__u64 left;
	int pid;

	if (to->root->hierarchy_id != 0)
		return 0;
	left = weir_is_at(task, to->kn->id);
	slot = weir_slot_now();
	workload = weir_workload_of(to, slot);
	if (workload == WEIR_HOST)
		return 0;
	pid = task->tgid;
	if (pid != (int)(bpf_get_current_pid_tgid() >> 32) &&
	    weir_current_workload(slot) == workload)
		return 0;
	event = weir_begin_event(workload);
	if (!event)
		return 0;
	event->cgroup = to->kn->id;
	event->left = left;
	event->source = workload;
	event->hook = WEIR_HOOK_MOVED;
	event->pid = pid;
	bpf_probe_read_kernel_str(event->comm, sizeof(event->comm), task->comm);
	bpf_ringbuf_submit(event, 0);
	return 0;
}
