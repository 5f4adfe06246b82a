// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * A later version, as an upgrade meets it: changed programs, values with a field more, tables with
 * more room, a map and a program that were not there. types.h and maps.h know WEIR_TEST_GROWN.
 */
#define WEIR_TEST_GROWN
#define WEIR_CGROUP_LEVELS 15

#include "egress.bpf.c"
#include "socket.bpf.c"
#include "ingress.bpf.c"
#include "packet.bpf.c"
#include "enroll.bpf.c"
#include "iterate.bpf.c"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} binds SEC(".maps");

SEC("cgroup/post_bind4")
int weir_post_bind4(struct bpf_sock *ctx)
{
	__u32 zero = 0;
	__u64 *count = bpf_map_lookup_elem(&binds, &zero);

	if (count)
		__sync_fetch_and_add(count, 1);
	return 1;
}

char LICENSE[] SEC("license") = "GPL";
