// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * Our maps and programs, but those that walk over sockets do nothing: what is proven about the way
 * in which programs come, change and go is proven with these as well, and the verifier, which takes
 * most of the time of a start, is through sooner. few-next is the same source, compiled to other
 * instructions.
 */
#include "egress.bpf.c"
#include "socket.bpf.c"
#include "enroll.bpf.c"

SEC("?iter/tcp")
int weir_revoke_tcp(struct bpf_iter__tcp *ctx)
{
	return 0;
}

SEC("?iter/udp")
int weir_revoke_udp(struct bpf_iter__udp *ctx)
{
	return 0;
}

SEC("?iter/tcp")
int weir_list_tcp(struct bpf_iter__tcp *ctx)
{
	return 0;
}

SEC("?iter/udp")
int weir_list_udp(struct bpf_iter__udp *ctx)
{
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
