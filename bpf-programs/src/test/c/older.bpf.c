// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * Two programs under the names of ours that do nothing, as another version's might: the loader's
 * tests put them into the links and see them replaced.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("cgroup/bind4")
int weir_bind4(struct bpf_sock_addr *ctx)
{
	return 1;
}

SEC("tp_btf/cgroup_mkdir")
int weir_cgroup_mkdir(__u64 *ctx)
{
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
