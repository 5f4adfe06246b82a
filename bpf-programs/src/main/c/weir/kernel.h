/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * The few fields of kernel structures that we read, found by name in the running kernel's BTF when
 * the program is loaded (CO-RE); order and offsets here mean nothing. This instead of a generated
 * vmlinux.h: what we depend on can be read in one look, and no kernel of a build machine gets in.
 */
#ifndef WEIR_KERNEL_H
#define WEIR_KERNEL_H

#include <linux/types.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct kernfs_node {
	__u64 id; /* what bpf_get_current_cgroup_id() says */
};

struct cgroup_root {
	int hierarchy_id; /* 0: cgroup2 */
};

struct cgroup;

struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
};

struct cgroup {
	struct cgroup_subsys_state self;
	struct kernfs_node *kn;
	struct cgroup_root *root;
};

struct task_struct {
	int tgid;
	char comm[16];
};

#pragma clang attribute pop

#endif
