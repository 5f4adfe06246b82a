// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * The life of a socket: who made it, which port it may hold, how its connection is handed over to
 * the proxy, and what it carried when it ends.
 */
#include <bpf/bpf_core_read.h>

#include "weir/eject.h"
#include "weir/kernel.h"
#include "weir/owner.h"
#include "weir/socket.h"
#include "weir/strict.h"

/* Counts, reports and refuses with the given errno; true in audit mode, where it only counts. */
WEIR_FUNCTION int weir_refuse_socket(const struct weir_view *view, struct weir_refusal_key *key,
				     __u8 hook, int error)
{
	struct weir_address nowhere = {};
	__u64 number = 0;
	__u32 flags = 0;

	if (!view || !key)
		return 0;
	if (view->generation) {
		flags = view->generation->flags;
		number = view->generation->number;
		key->rule = weir_stable_rule(view, view->generation->mesh_rule);
	}
	if (flags & WEIR_GENERATION_AUDIT)
		key->reason |= WEIR_AUDITED;
	weir_report(key, &nowhere, number, hook);
	if (flags & WEIR_GENERATION_AUDIT)
		return 1;
	bpf_set_retval(error);
	return 0;
}

/*
 * May a workload have such a socket? Only what the other hooks see: TCP and UDP. A raw socket
 * writes its own addresses; SCTP, UDP-Lite and DCCP pass connect() by; MPTCP opens subflows that
 * carry no storage. A ping socket sends without asking, so, unless Mesh says
 * otherwise, only who may go anywhere has one.
 */
WEIR_FUNCTION int weir_may_create(__u32 workload, __u32 slot, int type, int protocol)
{
	struct weir_refusal_key key = {};
	struct weir_identity *identity = NULL;
	struct weir_view view;
	int error = -EPROTONOSUPPORT; /* what a kernel without it says: applications fall back */
	__u32 index;
	void *table;

	if ((type == SOCK_STREAM && protocol == IPPROTO_TCP) ||
	    (type == SOCK_DGRAM && protocol == IPPROTO_UDP))
		return 1;
	weir_look_in(&view, slot);
	if (type == SOCK_DGRAM && (protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6) &&
	    view.generation) {
		table = WEIR_TABLE_OF(workloads, &view);
		index = table ? weir_identity_of(table, workload) : 0;
		table = WEIR_TABLE_OF(identities, &view);
		if (table)
			identity = bpf_map_lookup_elem(table, &index);
		if (view.generation->flags & WEIR_GENERATION_ICMP_ALLOW)
			return 1;
		if (!(view.generation->flags & WEIR_GENERATION_ICMP_REFUSE) && identity &&
		    (!(identity->flags & WEIR_EGRESS_ISOLATED) ||
		     identity->flags & WEIR_EGRESS_AUDIT))
			return 1;
		error = -EACCES;
	}
	if (type == SOCK_RAW)
		error = -EPERM;
	key.source = workload;
	key.reason = WEIR_REASON_PROTOCOL;
	/* No protocol of ours has a number for it; the port's place tells the kernel's. */
	key.port = protocol;
	return weir_refuse_socket(&view, &key, WEIR_HOOK_CREATE, error);
}

/*
 * Who has an address of its own lives in a network namespace of its own, and the sockets that it
 * makes show in which: a pod that starts while nothing of ours is resident has the ports it declares
 * from its first socket on. What is known already stays: the loader has seen where the address is.
 */
WEIR_FUNCTION int weir_lives_in(__u32 workload, __u32 slot, __u64 netns)
{
	struct weir_home home = {.workload = workload};
	struct weir_workload *w;
	struct weir_view view;
	void *table;

	weir_look_in(&view, slot);
	if (!view.generation || !weir_is_apart(view.generation, netns) ||
	    bpf_map_lookup_elem(&homes, &netns))
		return 0;
	table = WEIR_TABLE_OF(workloads, &view);
	w = table ? bpf_map_lookup_elem(table, &workload) : NULL;
	if (!w || !(w->flags & WEIR_WORKLOAD_HAS_ADDRESS))
		return 0;
	/* Another thread may have been faster. */
	if (bpf_map_update_elem(&homes, &netns, &home, BPF_NOEXIST) &&
	    !bpf_map_lookup_elem(&homes, &netns))
		weir_count(WEIR_COUNTER_HOMES_FULL);
	return 0;
}

SEC("cgroup/sock_create")
int weir_sock_create(struct bpf_sock *ctx)
{
	__u32 slot = weir_slot_now(), workload = weir_current_workload(slot);
	__u64 netns = bpf_get_netns_cookie(ctx);
	struct weir_socket *socket;

	if (workload != WEIR_HOST && !weir_may_create(workload, slot, ctx->type, ctx->protocol))
		return 0;
	if (workload >= WEIR_FIRST_WORKLOAD)
		weir_lives_in(workload, slot, netns);
	/* No memory: the socket is judged by whoever uses it, and counted. */
	socket = bpf_sk_storage_get(&sockets, ctx, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (socket) {
		socket->birth_cgroup = bpf_get_current_cgroup_id();
		socket->birth_workload = workload;
		socket->netns = netns;
		socket->no_other = 1;
	}
	return 1;
}

/*
 * A declared port belongs to its workload alone, of whatever address and with whatever option, so
 * that nobody answers in place of a service that is down. Nobody else means the host as well.
 *
 * EACCES, as for a protected address in bind(2): EADDRINUSE would make servers wait and try again
 * for something that waiting does not change.
 */
WEIR_INLINE int weir_may_bind(struct bpf_sock_addr *ctx)
{
	struct weir_refusal_key key = {};
	struct weir_view view;
	__u32 workload;

	key.port = bpf_ntohs(WEIR_CONTEXT_U32(ctx, user_port));
	key.protocol = weir_protocol_of(ctx->protocol);
	if (key.port == 0 || key.protocol == WEIR_PROTOCOL_ANY)
		return 1;
	weir_look(&view);
	workload = weir_current_workload(view.slot);
	key.source = workload;
	if (!view.generation || !WEIR_TABLE_OF(ports, &view)) {
		weir_count(WEIR_COUNTER_NO_GENERATION);
		if (workload == WEIR_HOST)
			return 1;
		key.reason = WEIR_REASON_NO_GENERATION;
		view.generation = NULL;
		return weir_refuse_socket(&view, &key, WEIR_HOOK_BIND, -EACCES);
	}
	key.destination = weir_port_owner(bpf_get_netns_cookie(ctx),
					  key.port | (__u32)key.protocol << 16, view.slot);
	if (key.destination == 0 || key.destination == workload)
		return 1;
	key.reason = WEIR_REASON_PORT_OWNED;
	return weir_refuse_socket(&view, &key, WEIR_HOOK_BIND, -EACCES);
}

SEC("cgroup/bind4")
int weir_bind4(struct bpf_sock_addr *ctx)
{
	return weir_may_bind(ctx);
}

SEC("cgroup/bind6")
int weir_bind6(struct bpf_sock_addr *ctx)
{
	return weir_may_bind(ctx);
}

/* -- hand-over and telemetry ------------------------------------------------ */

/* Both ends of this connection in canonical form. On an IPv6 socket that speaks IPv4, the mapped
 * local address may not be filled in yet, so both are then taken from the IPv4 fields. */
WEIR_INLINE void weir_ends(struct bpf_sock_ops *ctx, struct weir_address *local,
			   struct weir_address *remote)
{
	__u32 r0 = WEIR_CONTEXT_U32(ctx, remote_ip6[0]), r1 = WEIR_CONTEXT_U32(ctx, remote_ip6[1]);
	__u32 r2 = WEIR_CONTEXT_U32(ctx, remote_ip6[2]), r3 = WEIR_CONTEXT_U32(ctx, remote_ip6[3]);

	if (WEIR_CONTEXT_U32(ctx, family) == WEIR_AF_INET ||
	    (r0 == 0 && r1 == 0 && r2 == WEIR_V4_MAPPED)) {
		weir_address_from_v4(local, WEIR_CONTEXT_U32(ctx, local_ip4));
		weir_address_from_v4(remote, WEIR_CONTEXT_U32(ctx, remote_ip4));
		return;
	}
	weir_address_from_v6(
		local, WEIR_CONTEXT_U32(ctx, local_ip6[0]), WEIR_CONTEXT_U32(ctx, local_ip6[1]),
		WEIR_CONTEXT_U32(ctx, local_ip6[2]), WEIR_CONTEXT_U32(ctx, local_ip6[3]));
	weir_address_from_v6(remote, r0, r1, r2, r3);
}

/* The key of this client's hand-over. The proxy listens in the client's own namespace. */
WEIR_INLINE void weir_handover_of_client(struct bpf_sock_ops *ctx, struct weir_handover_key *key)
{
	key->netns = bpf_get_netns_cookie(ctx);
	weir_ends(ctx, &key->client, &key->proxy);
	key->client_port = WEIR_CONTEXT_U32(ctx, local_port);
	key->proxy_port = bpf_ntohl(WEIR_CONTEXT_U32(ctx, remote_port));
	key->pad = 0;
}

/* What a socket leaves behind for the side that it connects to. */
WEIR_INLINE void weir_origin_of(const struct weir_socket *socket, struct weir_origin *origin)
{
	origin->address = socket->original;
	origin->cgroup = socket->birth_cgroup;
	origin->source = socket->source;
	origin->destination = socket->destination;
	origin->port = socket->original_port;
	origin->protocol = socket->protocol;
}

/* The SYN is about to leave; now the four-tuple is final. */
WEIR_FUNCTION int weir_connecting(struct bpf_sock_ops *ctx)
{
	struct weir_handover_key key;
	struct weir_origin origin = {};
	struct weir_socket *socket;
	struct bpf_sock *sk = ctx->sk;

	if (!sk)
		return 0;
	socket = bpf_sk_storage_get(&sockets, sk, NULL, 0);
	if (!socket || !(socket->flags & (WEIR_SOCKET_JUDGED | WEIR_SOCKET_NEAR)))
		return 0;
	socket->connect_started = bpf_ktime_get_ns();
	socket->counted_until = 0;
	bpf_sock_ops_cb_flags_set(ctx, WEIR_CONTEXT_U32(ctx, bpf_sock_ops_cb_flags) |
					       BPF_SOCK_OPS_STATE_CB_FLAG);
	if (!(socket->flags & (WEIR_SOCKET_HANDOVER | WEIR_SOCKET_NEAR)))
		return 0;
	weir_handover_of_client(ctx, &key);
	weir_origin_of(socket, &origin);
	/* Read in whatever namespace the listener is. */
	if (socket->flags & WEIR_SOCKET_NEAR)
		key.netns = 0;
	/* Without it the proxy will close the connection, or a workload in another namespace take it
	 * for one from outside: a SYN cannot be refused any more. */
	if (bpf_map_update_elem(&handovers, &key, &origin, BPF_ANY))
		weir_count(WEIR_COUNTER_HANDOVERS_FULL);
	return 0;
}

WEIR_FUNCTION int weir_connected(struct bpf_sock_ops *ctx)
{
	struct weir_socket *socket;
	struct bpf_sock *sk = ctx->sk;
	struct weir_pair *pair;
	__u64 microseconds;
	__u32 bucket;

	if (!sk)
		return 0;
	socket = bpf_sk_storage_get(&sockets, sk, NULL, 0);
	if (!socket || !(socket->flags & WEIR_SOCKET_JUDGED))
		return 0;
	/* The coarse clock costs a fifth; a sum of durations does not need better. */
	socket->counted_until = bpf_ktime_get_coarse_ns();
	socket->sent_bytes = 0;
	socket->received_bytes = 0;
	socket->retransmits = 0;
	socket->flags |= WEIR_SOCKET_COUNTED;
	if (socket->flags & WEIR_SOCKET_EJECTS)
		weir_backend_answered(socket);
	pair = weir_pair_of(socket);
	if (!pair)
		return 0;
	microseconds = (bpf_ktime_get_ns() - socket->connect_started) / 1000;
	bucket = weir_latency_bucket(microseconds);
	weir_add(&pair->opened, 1);
	weir_add(&pair->connect_us_sum, microseconds);
	if (bucket < WEIR_LATENCY_BUCKETS)
		weir_add(&pair->connect[bucket], 1);
	return 0;
}

/*
 * Under which source (the low half) and verdict a connection is counted that came over a wire and
 * was let in. What has been let in by the generation before is allowed, whatever this one says.
 */
WEIR_PROVEN_ONCE __u64 weir_counts_as(const struct weir_address *peer, __u32 receiver, __u16 port,
				      __u32 slot)
{
	struct weir_question question = {.port = port, .protocol = WEIR_TCP};
	struct weir_answer answer = {};
	struct weir_finding f = {};
	__u64 verdict = WEIR_ALLOW;
	_Bool audit;
	void *table;

	if (!peer)
		return WEIR_OUTSIDE | verdict << 32;
	weir_look_in(&f.view, slot & 1);
	table = WEIR_TABLE_OF(workloads, &f.view);
	f.source = WEIR_OUTSIDE;
	if (!f.view.generation || !table)
		return f.source | verdict << 32;
	weir_resolve_source(&f, peer);
	question.source = f.source_identity;
	question.destination = weir_identity_of(table, receiver);
	weir_judge_in(f.view.slot, f.view.generation, &question, &answer);
	audit = f.view.generation->flags & WEIR_GENERATION_AUDIT;
	if (answer.verdict == WEIR_AUDIT ||
	    (audit && (answer.verdict != WEIR_ALLOW ||
		       weir_demand_in(f.view.slot, question.destination, port))))
		verdict = WEIR_AUDIT;
	return f.source | verdict << 32;
}

/*
 * A workload has accepted a connection that came by a wire. Whoever is on this node left a record of
 * it, which ends here, and has counted it as its own; of any other it is counted here, or nowhere.
 */
WEIR_FUNCTION int weir_came(struct bpf_sock_ops *ctx, struct weir_handover_key *ends)
{
	struct bpf_sock *sk = ctx->sk;
	struct weir_socket *socket;
	struct weir_view view;
	struct weir_pair *pair;
	struct cgroup *cgroup;
	struct tcp_sock *tcp;
	__u32 receiver;
	__u64 as;

	if (!sk || !ends)
		return 0;
	/* The SYN was judged by it, and there is no other: the record is of no more use. */
	ends->netns = 0;
	if (!bpf_map_delete_elem(&handovers, ends))
		return 0;
	tcp = bpf_skc_to_tcp_sock(sk);
	if (!tcp || weir_came_by_lo((struct sock *)tcp))
		return 0;
	weir_look(&view);
	if (!view.generation)
		return 0;
	cgroup = BPF_CORE_READ((struct sock *)tcp, sk_cgrp_data.cgroup);
	receiver = weir_lives((__u64)cgroup, view.slot, view.generation->root);
	if (receiver < WEIR_FIRST_WORKLOAD &&
	    !(receiver == WEIR_HOST && (view.generation->flags & WEIR_GENERATION_HOST_GOVERNED)))
		return 0;
	socket = bpf_sk_storage_get(&sockets, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!socket) {
		weir_count(WEIR_COUNTER_NO_STORAGE);
		return 0;
	}
	as = weir_counts_as(&ends->client, receiver, ends->proxy_port, view.slot);
	socket->birth_cgroup = BPF_CORE_READ(cgroup, kn, id);
	socket->birth_workload = receiver;
	socket->netns = bpf_get_netns_cookie(ctx);
	socket->source = as;
	socket->destination = receiver;
	socket->port = ends->proxy_port;
	socket->protocol = WEIR_TCP;
	socket->verdict = as >> 32 | WEIR_ACCEPTED;
	socket->counted_until = bpf_ktime_get_coarse_ns();
	socket->flags = WEIR_SOCKET_COUNTED;
	bpf_sock_ops_cb_flags_set(ctx, WEIR_CONTEXT_U32(ctx, bpf_sock_ops_cb_flags) |
					       BPF_SOCK_OPS_STATE_CB_FLAG);
	pair = weir_pair_of(socket);
	if (pair)
		weir_add(&pair->opened, 1);
	return 0;
}

/* Our side accepted. If a client handed over to it, the accepted socket now says from whom. */
WEIR_FUNCTION int weir_accepted(struct bpf_sock_ops *ctx)
{
	struct weir_handover_key key;
	struct weir_origin *origin;
	struct weir_socket *socket;
	struct bpf_sock *sk = ctx->sk;
	struct weir_view view;

	if (!sk)
		return 0;
	weir_ends(ctx, &key.proxy, &key.client);
	key.proxy_port = WEIR_CONTEXT_U32(ctx, local_port);
	key.client_port = bpf_ntohl(WEIR_CONTEXT_U32(ctx, remote_port));
	key.pad = 0;
	if (!weir_address_is_loopback(&key.proxy))
		return weir_came(ctx, &key);
	weir_look(&view);
	if (!view.generation || view.generation->proxy_port != key.proxy_port)
		return 0;
	key.netns = bpf_get_netns_cookie(ctx);
	origin = bpf_map_lookup_elem(&handovers, &key);
	if (!origin) {
		weir_count(WEIR_COUNTER_HANDOVERS_MISSED);
		return 0;
	}
	socket = bpf_sk_storage_get(&sockets, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (socket) {
		socket->original = origin->address;
		socket->original_port = origin->port;
		socket->birth_cgroup = origin->cgroup;
		socket->source = origin->source;
		socket->destination = origin->destination;
		socket->protocol = origin->protocol;
		socket->flags = WEIR_SOCKET_ACCEPTED;
	} else {
		weir_count(WEIR_COUNTER_NO_STORAGE);
	}
	bpf_map_delete_elem(&handovers, &key);
	return 0;
}

WEIR_FUNCTION int weir_closed(struct bpf_sock_ops *ctx, __u32 old)
{
	struct weir_handover_key key;
	struct weir_socket *socket;
	struct bpf_sock *sk = ctx->sk;
	struct weir_pair *pair;
	__u64 sent, received, retransmits, until;
	struct tcp_sock *tcp;

	if (!sk)
		return 0;
	socket = bpf_sk_storage_get(&sockets, sk, NULL, 0);
	if (!socket)
		return 0;
	if (socket->flags & (WEIR_SOCKET_HANDOVER | WEIR_SOCKET_NEAR)) {
		weir_handover_of_client(ctx, &key);
		if (socket->flags & WEIR_SOCKET_NEAR)
			key.netns = 0;
		bpf_map_delete_elem(&handovers, &key);
	}
	if (!(socket->flags & (WEIR_SOCKET_JUDGED | WEIR_SOCKET_COUNTED)))
		return 0;
	pair = weir_pair_of(socket);
	if (!pair)
		return 0;
	if (!(socket->flags & WEIR_SOCKET_COUNTED)) {
		weir_add(&pair->failed, 1);
		if (socket->flags & WEIR_SOCKET_EJECTS) {
			tcp = bpf_skc_to_tcp_sock(sk);
			if (tcp)
				weir_backend_failed(socket, tcp->inet_conn.icsk_inet.sk.sk_err);
		}
		return 0;
	}
	socket->flags &= ~WEIR_SOCKET_COUNTED;
	sent = ctx->bytes_acked;
	received = ctx->bytes_received;
	retransmits = ctx->total_retrans;
	weir_carried(old, socket->verdict & WEIR_ACCEPTED, &sent, &received);
	weir_add(&pair->closed, 1);
	/* Less what a scrape has counted before (iterate.bpf.c), which may be running now. */
	weir_add(&pair->sent_bytes, sent - __sync_lock_test_and_set(&socket->sent_bytes, sent));
	weir_add(&pair->received_bytes,
		 received - __sync_lock_test_and_set(&socket->received_bytes, received));
	if (retransmits)
		weir_add(&pair->retransmits,
			 retransmits - __sync_lock_test_and_set(&socket->retransmits, retransmits));
	weir_add(&pair->srtt_us_sum, ctx->srtt_us >> 3);
	weir_add(&pair->srtt_samples, 1);
	until = __sync_lock_test_and_set(&socket->counted_until, 0);
	weir_add(&pair->duration_us_sum, (bpf_ktime_get_coarse_ns() - until) / 1000);
	return 0;
}

SEC("sockops")
int weir_sock_ops(struct bpf_sock_ops *ctx)
{
	switch (ctx->op) {
	case BPF_SOCK_OPS_TCP_CONNECT_CB:
		weir_connecting(ctx);
		break;
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
		weir_connected(ctx);
		break;
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		weir_accepted(ctx);
		break;
	case BPF_SOCK_OPS_STATE_CB:
		if (ctx->args[1] == BPF_TCP_CLOSE)
			weir_closed(ctx, ctx->args[0]);
		break;
	}
	return 1;
}

/* -- what the proxy asks ---------------------------------------------------- */

#define WEIR_SOL_IP          0
#define WEIR_SOL_IPV6        41
#define WEIR_SO_ORIGINAL_DST 80 /* netfilter's number, for programs that know it */

struct weir_sockaddr4 {
	__u16 family;
	__u16 port;
	__u32 address;
	__u8 zero[8];
};

struct weir_sockaddr6 {
	__u16 family;
	__u16 port;
	__u32 flow;
	__u32 address[4];
	__u32 scope;
};

/*
 * Answers the proxy, on an accepted connection, where it was meant to go and who it is from.
 * Everybody else, and every connection that was not handed over, gets what the kernel itself
 * would say: ENOPROTOOPT, after which the proxy closes.
 */
SEC("cgroup/getsockopt")
int weir_getsockopt(struct bpf_sockopt *ctx)
{
	void *value = ctx->optval, *end = ctx->optval_end;
	struct weir_sockaddr4 *v4 = value;
	struct weir_sockaddr6 *v6 = value;
	struct weir_origin *origin = value;
	struct weir_socket *socket;
	struct bpf_sock *sk = ctx->sk;

	if ((ctx->level != WEIR_SOL_IP && ctx->level != WEIR_SOL_IPV6) ||
	    (ctx->optname != WEIR_SO_ORIGIN && ctx->optname != WEIR_SO_ORIGINAL_DST))
		return 1;
	if (!sk || weir_current_workload(weir_slot_now()) != WEIR_PROXY)
		return 1;
	socket = bpf_sk_storage_get(&sockets, sk, NULL, 0);
	if (!socket || !(socket->flags & WEIR_SOCKET_ACCEPTED))
		return 1;
	if (ctx->optname == WEIR_SO_ORIGIN) {
		if ((void *)(origin + 1) > end)
			return 1;
		__builtin_memset(origin, 0, sizeof(*origin));
		origin->address = socket->original;
		origin->cgroup = socket->birth_cgroup;
		origin->source = socket->source;
		origin->destination = socket->destination;
		origin->port = socket->original_port;
		origin->protocol = socket->protocol;
		ctx->optlen = sizeof(*origin);
	} else if (ctx->level == WEIR_SOL_IP) {
		if (!weir_address_is_v4(&socket->original) || (void *)(v4 + 1) > end)
			return 1;
		__builtin_memset(v4, 0, sizeof(*v4));
		v4->family = 2; /* AF_INET */
		v4->port = bpf_htons(socket->original_port);
		v4->address = socket->original.word[3];
		ctx->optlen = sizeof(*v4);
	} else {
		if (weir_address_is_v4(&socket->original) || (void *)(v6 + 1) > end)
			return 1;
		__builtin_memset(v6, 0, sizeof(*v6));
		v6->family = 10; /* AF_INET6 */
		v6->port = bpf_htons(socket->original_port);
		v6->address[0] = socket->original.word[0];
		v6->address[1] = socket->original.word[1];
		v6->address[2] = socket->original.word[2];
		v6->address[3] = socket->original.word[3];
		ctx->optlen = sizeof(*v6);
	}
	ctx->retval = 0;
	return 1;
}
