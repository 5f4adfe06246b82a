// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * What is open already. After a generation was put in force, user space walks the sockets of each
 * network namespace once and every connection is asked for again: what the generation in force does
 * not allow is ended. So no packet is ever asked which generation it belongs to.
 *
 * A verdict is asked for the workloads that the socket's storage names, since only those outlive a
 * generation; where it names none (a connection that was accepted, or is older than the attach, or
 * one of a workload that has another name now) for those that its cgroup and its addresses say.
 *
 * bpf_sock_destroy() is of Linux 6.5. Before, the same walk only lists, and user space destroys by
 * netlink (SOCK_DESTROY) what it is told.
 */
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "weir/identity.h"
#include "weir/kernel.h"
#include "weir/maps.h"
#include "weir/owner.h"
#include "weir/socket.h"
#include "weir/strict.h"
#include "weir/telemetry.h"
#include "weir/verdict.h"

extern int bpf_sock_destroy(struct sock_common *sk) __ksym __weak;

#define WEIR_STATE_TIME_WAIT    6
#define WEIR_STATE_CLOSE        7
#define WEIR_STATE_LISTEN       10
#define WEIR_STATE_NEW_SYN_RECV 12

/* A connection that is asked for again; what its storage says is 0 where it has none. */
struct weir_open {
	struct weir_revoked out; /* what is written of it; addresses, ports, protocol are set */
	struct weir_address original; /* as the application asked for it */
	__u32 owner;                  /* workload of the socket's cgroup; 0: outside the mesh */
	__u16 original_port;
	__u8 flags;    /* enum weir_socket_flags of its storage */
	__u8 direct;   /* it goes to its remote address, not to the proxy */
	__u8 accepted; /* somebody else made it */
	__u8 by_lo;    /* and came by lo */
	__u8 waits;    /* for others, on a port: it is no connection */
	__u8 pad;
};

/* Identity of a workload if this generation declares it, else 0. */
WEIR_INLINE __u16 weir_declared(void *workloads, __u32 workload)
{
	struct weir_workload *w;

	if (workload < WEIR_FIRST_WORKLOAD)
		return workload;
	w = bpf_map_lookup_elem(workloads, &workload);
	return w ? w->identity : 0;
}

/* Why a connection is not allowed any more. */
WEIR_INLINE void weir_write_down(const struct weir_finding *f, struct weir_open *open,
				 __u32 destination, __u16 rule, __u8 reason)
{
	open->out.destination = destination;
	open->out.rule = weir_stable_rule(&f->view, rule ? rule : f->view.generation->mesh_rule);
	open->out.reason = reason;
}

/* Whether the generation allows one pair; else why not is written down. */
WEIR_FUNCTION int weir_still(struct weir_finding *f, struct weir_open *open, __u32 destination,
			     __u16 identity)
{
	struct weir_question question = {};
	struct weir_answer answer = {};

	if (!f || !open || !f->view.generation)
		return 1;
	if (destination == f->source && destination >= WEIR_FIRST_WORKLOAD)
		return 1;
	question.source = f->source_identity;
	question.destination = identity;
	question.port = f->port;
	question.protocol = open->out.protocol;
	weir_judge_in(f->view.slot, f->view.generation, &question, &answer);
	if (answer.verdict == WEIR_ALLOW || answer.verdict == WEIR_AUDIT)
		return 1;
	if (answer.verdict == WEIR_INSPECT) {
		/* Through the proxy, or by the proxy itself; past it there must be no way. */
		if (!open->direct || f->source == WEIR_PROXY)
			return 1;
		answer.reason = WEIR_REASON_POLICY;
	}
	weir_write_down(f, open, destination, answer.rule, answer.reason);
	return 0;
}

WEIR_FUNCTION struct weir_port *weir_owner_at(const struct weir_view *view,
					      const struct weir_revoked *out, __u16 port)
{
	struct weir_port_key key = {};
	void *table;

	if (!view || !out)
		return NULL;
	key.netns = out->netns;
	key.port = port;
	key.protocol = out->protocol;
	table = WEIR_TABLE_OF(ports, view);
	return table ? bpf_map_lookup_elem(table, &key) : NULL;
}

/* Whose an address and port are that are no service's. Returns whether the address is positively
 * not of this node. */
WEIR_FUNCTION int weir_whose(struct weir_finding *f, struct weir_open *open,
			     const struct weir_address *address)
{
	struct weir_port *owner;

	if (!f || !open || !address)
		return 0;
	if (!weir_address_is_loopback(address))
		return weir_resolve(f, address);
	owner = weir_owner_at(&f->view, &open->out, f->port);
	if (!owner && f->view.generation && weir_is_apart(f->view.generation, open->out.netns)) {
		/* Loopback of a pod: both ends are its own, if nobody wrote down otherwise. */
		f->destination = f->source;
		f->identity = f->source_identity;
		return 0;
	}
	f->destination = owner ? owner->workload : WEIR_HOST;
	f->identity = owner ? owner->identity : WEIR_HOST;
	return 0;
}

/* The service that an application asked for; NULL: none. */
WEIR_FUNCTION struct weir_service *weir_asked_for(const struct weir_view *view,
						  const struct weir_open *open)
{
	struct weir_service_key key = {};
	void *table;

	if (!view || !open)
		return NULL;
	key.address = open->direct ? open->out.remote : open->original;
	key.port = open->direct ? open->out.remote_port : open->original_port;
	key.protocol = open->out.protocol;
	table = WEIR_TABLE_OF(services, view);
	return table ? bpf_map_lookup_elem(table, &key) : NULL;
}

/*
 * Finds out where a connection leads, where its storage does not say, or says what nobody is
 * called any more: as connect() would. Returns whether the address is positively not of this node.
 */
WEIR_FUNCTION int weir_destination_of(struct weir_finding *f, struct weir_open *open)
{
	const struct weir_address *address;
	struct weir_service *service;
	struct weir_backend *backend;
	_Bool known;
	void *table;

	if (!f || !open)
		return 0;
	address = open->direct ? &open->out.remote : &open->original;
	table = WEIR_TABLE_OF(workloads, &f->view);
	f->identity = table && f->destination ? weir_declared(table, f->destination) : 0;
	known = f->identity && (open->flags & WEIR_SOCKET_JUDGED);
	if (known && f->destination != WEIR_OUTSIDE &&
	    !(f->destination == WEIR_HOST && weir_address_is_loopback(address)))
		return 0;
	/* Which block of addresses, and whose port, the generation says, whoever it was before. */
	service = known ? NULL : weir_asked_for(&f->view, open);
	if (!service)
		return weir_whose(f, open, address);
	f->destination = service->workload;
	f->identity = service->identity;
	if (service->flags & WEIR_SERVICE_PROXY)
		return 1;
	/* Which of its backends, nobody wrote down; one speaks for all. */
	backend = weir_backend_in(WEIR_TABLE_OF(slots, &f->view), WEIR_TABLE_OF(backends, &f->view),
				  service, 0);
	f->identity = WEIR_UNKNOWN;
	if (backend) {
		f->destination = backend->workload;
		f->identity = backend->identity;
		f->port = backend->port;
	}
	return 1;
}

/* A connection that this side made. */
WEIR_FUNCTION int weir_may_stay(struct weir_finding *f, struct weir_open *open)
{
	struct weir_endpoint *endpoint;
	struct weir_port *owner;
	__u64 other;
	void *table;
	int remote;

	if (!f || !open)
		return 1;
	remote = weir_destination_of(f, open);
	if (!weir_still(f, open, f->destination, f->identity))
		return 0;
	if (!open->direct || remote)
		return 1;
	owner = weir_owner_at(&f->view, &open->out, open->out.remote_port);
	if (!owner || owner->workload == f->destination || owner->workload == f->source)
		return 1;
	if (!weir_address_is_loopback(&open->out.remote)) {
		struct weir_address key = open->out.remote; /* as in weir_resolve() */

		table = WEIR_TABLE_OF(endpoints, &f->view);
		endpoint = table ? bpf_map_lookup_elem(table, &key) : NULL;
		other = endpoint ? weir_other_namespace(&key, open->out.netns) : 0;
		if (endpoint && (endpoint->flags & WEIR_ENDPOINT_REMOTE ||
				 (other && other != WEIR_SEVERAL_NAMESPACES)))
			return 1;
	}
	return weir_still(f, open, owner->workload, owner->identity);
}

/*
 * A connection that somebody made to this side. One from this node, of whatever namespace, is
 * judged where it was made; one from elsewhere here, by its address.
 */
WEIR_FUNCTION int weir_may_keep(struct weir_finding *f, struct weir_open *open)
{
	struct weir_address key;
	__u32 workload, demand;
	__u16 identity;
	void *table;

	if (!f || !open)
		return 1;
	key = open->out.remote; /* as in weir_resolve() */
	if (open->by_lo || weir_address_is_loopback(&open->out.remote) ||
	    weir_address_equal(&open->out.remote, &open->out.local) ||
	    bpf_map_lookup_elem(&addresses, &key))
		return 1;
	workload = f->source;
	table = WEIR_TABLE_OF(workloads, &f->view);
	identity = table ? weir_identity_of(table, workload) : WEIR_UNKNOWN;
	weir_resolve_source(f, &open->out.remote);
	f->destination = workload;
	f->port = open->out.local_port;
	open->out.source = f->source;
	open->out.port = f->port;
	open->direct = 1;
	if (!weir_still(f, open, workload, identity))
		return 0;
	if (open->out.protocol != WEIR_TCP)
		return 1;
	demand = weir_demand_in(f->view.slot, identity, f->port);
	if (!demand)
		return 1;
	weir_write_down(f, open, workload, demand & 0xffff, WEIR_REASON_POLICY);
	return 0;
}

WEIR_PROVEN_ONCE int weir_tell_revoked(const struct weir_revoked *out, __u32 slot)
{
	struct weir_event *event;
	struct weir_view view;

	if (!out)
		return 0;
	weir_count(WEIR_COUNTER_REVOKED);
	event = weir_begin_event(out->source);
	if (!event)
		return 0;
	weir_look_in(&view, slot & 1);
	/* Who runs now is the one who walks, not the one whose connection it was. */
	event->pid = 0;
	__builtin_memset(event->comm, 0, sizeof(event->comm));
	event->generation = view.generation ? view.generation->number : 0;
	event->cgroup = out->cgroup;
	event->address = out->remote;
	event->source = out->source;
	event->destination = out->destination;
	event->rule = out->rule;
	event->port = out->port;
	event->protocol = out->protocol;
	event->hook = WEIR_HOOK_REVOKE;
	event->reason = out->reason;
	bpf_ringbuf_submit(event, 0);
	return 0;
}

/* Both ends in canonical form. */
WEIR_INLINE void weir_ends_of(struct sock_common *sk, struct weir_revoked *out)
{
	out->family = sk->skc_family;
	out->local_port = sk->skc_num;
	out->remote_port = bpf_ntohs(sk->skc_dport);
	out->interface = sk->skc_bound_dev_if;
	out->netns = sk->skc_net.net->net_cookie;
	if (sk->skc_family == WEIR_AF_INET) {
		weir_address_from_v4(&out->local, sk->skc_rcv_saddr);
		weir_address_from_v4(&out->remote, sk->skc_daddr);
		return;
	}
	weir_address_from_v6(&out->local, sk->skc_v6_rcv_saddr.in6_u.u6_addr32[0],
			     sk->skc_v6_rcv_saddr.in6_u.u6_addr32[1],
			     sk->skc_v6_rcv_saddr.in6_u.u6_addr32[2],
			     sk->skc_v6_rcv_saddr.in6_u.u6_addr32[3]);
	weir_address_from_v6(&out->remote, sk->skc_v6_daddr.in6_u.u6_addr32[0],
			     sk->skc_v6_daddr.in6_u.u6_addr32[1],
			     sk->skc_v6_daddr.in6_u.u6_addr32[2],
			     sk->skc_v6_daddr.in6_u.u6_addr32[3]);
}

/* Takes down what the storage of a socket says. */
WEIR_INLINE void weir_take_down(struct weir_open *open, const struct weir_socket *socket)
{
	if (!socket)
		return;
	open->flags = socket->flags;
	open->original = socket->original;
	open->original_port = socket->original_port;
	if (socket->flags & WEIR_SOCKET_JUDGED) {
		open->out.source = socket->source;
		open->out.destination = socket->destination;
		open->out.port = socket->port;
	}
}

/*
 * Whether a socket that waits for others does so on a port that another workload has declared, which
 * only one can that had it before: no other is given it. From now on nothing comes to it
 * (ingress.bpf.c), however often it listens again; with a generation that says otherwise, it does.
 */
WEIR_PROVEN_ONCE int weir_usurps(struct weir_open *open, __u32 slot)
{
	struct weir_view view;
	__u32 owner = 0;

	if (!open)
		return 0;
	weir_look_in(&view, slot & 1);
	if (open->owner)
		owner = weir_port_owner(open->out.netns,
					open->out.local_port | (__u32)open->out.protocol << 16,
					slot);
	if (!view.generation || !owner || owner == open->owner ||
	    view.generation->flags & WEIR_GENERATION_AUDIT)
		return 0;
	open->out.source = open->owner;
	open->out.destination = owner;
	open->out.port = open->out.local_port;
	open->out.rule = weir_stable_rule(&view, view.generation->mesh_rule);
	open->out.reason = WEIR_REASON_PORT_OWNED;
	open->out.flags |= WEIR_REVOKED_PORT;
	return 1;
}

/* Judges an open connection, or one who waits, by one slot; true: it may go on. Else `out` says why not. */
WEIR_PROVEN_ONCE int weir_judge_open(struct weir_open *open, __u32 slot)
{
	struct weir_generation *generation;
	struct weir_finding f = {};
	struct weir_port *owner;
	void *table;

	if (!open)
		return 1;
	if (open->waits)
		return !weir_usurps(open, slot);
	weir_look_in(&f.view, slot & 1);
	generation = f.view.generation;
	table = WEIR_TABLE_OF(workloads, &f.view);
	/* The proxy's side of a connection goes with the client's. */
	if (!generation || !table || generation->flags & WEIR_GENERATION_AUDIT ||
	    open->flags & WEIR_SOCKET_ACCEPTED)
		return 1;
	open->direct = !(open->flags & WEIR_SOCKET_HANDOVER);
	f.source = open->owner;
	f.port = open->out.remote_port;
	if (open->flags & WEIR_SOCKET_JUDGED) {
		open->accepted = 0;
		f.destination = open->out.destination;
		f.port = open->out.port;
		/* Who made it, unless nobody is called that any more. */
		if (open->out.source != WEIR_HOST && weir_declared(table, open->out.source))
			f.source = open->out.source;
	}
	if (f.source == 0 ||
	    (f.source == WEIR_HOST && !(generation->flags & WEIR_GENERATION_HOST_GOVERNED)))
		return 1;
	f.source_identity = weir_identity_of(table, f.source);
	open->out.source = f.source;
	if (!(open->flags & WEIR_SOCKET_JUDGED) && !open->accepted) {
		/* listen(fd, 0) leaves no trace in what it accepts; who owns the port was called. */
		owner = weir_owner_at(&f.view, &open->out, open->out.local_port);
		open->accepted =
			(owner && owner->workload == f.source) || (open->flags & WEIR_SOCKET_HEARD);
	}
	if (open->accepted) {
		open->out.flags |= WEIR_REVOKED_ACCEPTED;
		return f.source == WEIR_PROXY || weir_may_keep(&f, open);
	}
	if (weir_may_stay(&f, open))
		return 1;
	open->out.port = f.port;
	return 0;
}

WEIR_FUNCTION int weir_unmark(struct weir_socket *socket)
{
	if (socket && socket->usurps)
		socket->usurps = 0;
	return 0;
}

/* Without memory for the mark it is only told of. */
WEIR_FUNCTION int weir_mark(const struct weir_open *open, struct weir_socket *socket)
{
	if (!open)
		return 0;
	if (!socket) {
		weir_count(WEIR_COUNTER_NO_STORAGE);
		return 0;
	}
	if (!socket->birth_cgroup) {
		socket->birth_cgroup = open->out.cgroup;
		socket->birth_workload = open->owner;
		socket->netns = open->out.netns;
	}
	socket->usurps = 1;
	return 0;
}

/* The workload of a socket's cgroup; 0: outside the mesh, or nothing is in force. By itself for the
 * sake of the stack. */
WEIR_PROVEN_ONCE __u32 weir_lives_now(__u64 cgroup, __u32 slot)
{
	struct weir_view view;

	weir_look_in(&view, slot & 1);
	return view.generation ? weir_lives(cgroup, view.slot, view.generation->root) : 0;
}

/* One TCP socket. */
WEIR_INLINE int weir_visit_tcp(struct bpf_iter__tcp *ctx, _Bool destroy)
{
	struct sock_common *sk = ctx->sk_common;
	struct tcp_request_sock *half_open = NULL;
	struct weir_open open = {};
	__u32 slot;
	struct cgroup *cgroup;
	struct sock *full;
	int state;

	if (!sk)
		return 0;
	state = sk->skc_state;
	if (state == WEIR_STATE_TIME_WAIT || state == WEIR_STATE_CLOSE)
		return 0;
	slot = weir_slot_now();
	if (state == WEIR_STATE_NEW_SYN_RECV) {
		half_open = bpf_skc_to_tcp_request_sock(sk);
		if (!half_open)
			return 0;
		full = BPF_CORE_READ(half_open, req.req.__req_common.skc_listener);
	} else {
		full = (struct sock *)bpf_skc_to_tcp_sock(sk);
	}
	if (!full)
		return 0;
	cgroup = BPF_CORE_READ(full, sk_cgrp_data.cgroup);
	open.owner = weir_lives_now((__u64)cgroup, slot);
	if (half_open) {
		open.accepted = 1;
	} else {
		open.waits = state == WEIR_STATE_LISTEN;
		open.accepted = BPF_CORE_READ(full, sk_max_ack_backlog) != 0;
		open.by_lo = open.accepted && weir_came_by_lo(full);
		weir_take_down(&open, bpf_sk_storage_get(&sockets, sk, NULL, 0));
		open.out.cookie = bpf_get_socket_cookie(sk);
	}
	if (!open.owner && !(open.flags & WEIR_SOCKET_JUDGED))
		return 0;
	open.out.cgroup = BPF_CORE_READ(cgroup, kn, id);
	open.out.protocol = WEIR_TCP;
	weir_ends_of(sk, &open.out);
	if (weir_judge_open(&open, slot))
		return open.waits ? weir_unmark(bpf_sk_storage_get(&sockets, sk, NULL, 0)) : 0;
	if (destroy)
		open.out.flags |= WEIR_REVOKED_DESTROYED;
	/* No room: the walk stops here, and goes on with this same socket at the next read. */
	if (bpf_seq_write(ctx->meta->seq, &open.out, sizeof(open.out)))
		return 0;
	/* The mark outlives the end of this listener, which could listen again. */
	if (open.waits)
		weir_mark(&open,
			  bpf_sk_storage_get(&sockets, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE));
	if (destroy)
		bpf_sock_destroy(sk);
	weir_tell_revoked(&open.out, slot);
	return 0;
}

/* One UDP socket: a connected one is asked for no datagram, any other for each, and for its port. */
WEIR_INLINE int weir_visit_udp(struct bpf_iter__udp *ctx, _Bool destroy)
{
	struct udp_sock *udp = ctx->udp_sk;
	struct weir_open open = {};
	struct weir_socket *socket;
	__u32 slot;
	struct cgroup *cgroup;
	struct sock *full;

	if (!udp)
		return 0;
	full = (struct sock *)udp;
	slot = weir_slot_now();
	cgroup = BPF_CORE_READ(full, sk_cgrp_data.cgroup);
	open.owner = weir_lives_now((__u64)cgroup, slot);
	open.out.cookie = bpf_get_socket_cookie(udp);
	open.out.cgroup = BPF_CORE_READ(cgroup, kn, id);
	open.out.protocol = WEIR_UDP;
	weir_ends_of(&full->__sk_common, &open.out);
	socket = bpf_sk_storage_get(&sockets, udp, NULL, 0);
	if (full->__sk_common.skc_state != WEIR_STATE_ESTABLISHED) {
		/* Nothing can take its port from it; the mark is enough. */
		open.out.flags = WEIR_REVOKED_DESTROYED;
		if (!weir_usurps(&open, slot))
			return weir_unmark(socket);
		if ((socket && socket->usurps) ||
		    bpf_seq_write(ctx->meta->seq, &open.out, sizeof(open.out)))
			return 0;
		socket = bpf_sk_storage_get(&sockets, udp, NULL, BPF_SK_STORAGE_GET_F_CREATE);
		weir_mark(&open, socket);
		weir_tell_revoked(&open.out, slot);
		return 0;
	}
	weir_take_down(&open, socket);
	if (!open.owner && !(open.flags & WEIR_SOCKET_JUDGED))
		return 0;
	if (weir_judge_open(&open, slot))
		return 0;
	if (destroy)
		open.out.flags |= WEIR_REVOKED_DESTROYED;
	if (bpf_seq_write(ctx->meta->seq, &open.out, sizeof(open.out)))
		return 0;
	if (destroy)
		bpf_sock_destroy((struct sock_common *)udp);
	weir_tell_revoked(&open.out, slot);
	return 0;
}

/* The loader takes the first two, or, where the kernel has no bpf_sock_destroy(), the others. */
SEC("?iter/tcp")
int weir_revoke_tcp(struct bpf_iter__tcp *ctx)
{
	return weir_visit_tcp(ctx, 1);
}

SEC("?iter/udp")
int weir_revoke_udp(struct bpf_iter__udp *ctx)
{
	return weir_visit_udp(ctx, 1);
}

SEC("?iter/tcp")
int weir_list_tcp(struct bpf_iter__tcp *ctx)
{
	return weir_visit_tcp(ctx, 0);
}

SEC("?iter/udp")
int weir_list_udp(struct bpf_iter__udp *ctx)
{
	return weir_visit_udp(ctx, 0);
}

/* -- what open connections have carried --------------------------------------- */

/* The coarse clock, which iterators cannot read, is never further behind than this (HZ=100). */
#define WEIR_TICK_NS 10000000ULL

/*
 * Moves one count on from what is in `pairs` to what it is now, and returns the difference; 0 if
 * the connection was closed or scraped by somebody else meanwhile, who has then counted it.
 */
WEIR_INLINE __u64 weir_advance(__u64 *counted, __u64 now)
{
	__u64 before = *(volatile __u64 *)counted;

	if ((__s64)(now - before) <= 0 ||
	    __sync_val_compare_and_swap(counted, before, now) != before)
		return 0;
	return now - before;
}

/*
 * Before the counters are read: adds to each pair what its open connections have carried since they
 * were counted the last time. Its counters only grow, whoever reads them and how often.
 */
SEC("iter/bpf_sk_storage_map")
int weir_count_open(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	struct weir_socket *socket = ctx->value;
	struct sock *sk = ctx->sk;
	struct weir_pair *pair;
	struct tcp_sock *tcp;
	__u64 sent, received, until;

	if (!sk || !socket)
		return 0;
	if (!(socket->flags & WEIR_SOCKET_COUNTED))
		return 0;
	tcp = bpf_skc_to_tcp_sock(sk);
	until = socket->counted_until;
	if (!tcp || !until)
		return 0;
	pair = weir_pair_of(socket);
	if (!pair)
		return 0;
	sent = tcp->bytes_acked;
	received = tcp->bytes_received;
	weir_carried(sk->__sk_common.skc_state, socket->verdict & WEIR_ACCEPTED, &sent, &received);
	weir_add(&pair->sent_bytes, weir_advance(&socket->sent_bytes, sent));
	weir_add(&pair->received_bytes, weir_advance(&socket->received_bytes, received));
	weir_add(&pair->retransmits, weir_advance(&socket->retransmits, tcp->total_retrans));
	weir_add(&pair->duration_us_sum,
		 weir_advance(&socket->counted_until, bpf_ktime_get_ns() - WEIR_TICK_NS) / 1000);
	weir_add(&pair->srtt_us_sum, tcp->srtt_us >> 3);
	weir_add(&pair->srtt_samples, 1);
	return 0;
}
