// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * Who may come in: the first packet of a TCP connection and each datagram of an unconnected socket,
 * asked where they reach the socket that takes them. So it is the real listener that is judged and
 * not who a port was declared for; broadcast, multicast and every network namespace are seen by the
 * one program at the root.
 *
 * From elsewhere is what did not come by lo: an address alone says nothing. Of what came by lo the
 * sender is a socket of this namespace, which is looked up; its own decision stands if it was made
 * for this listener, and is made again if not.
 *
 * Dropping is silent: a TCP client times out, as the packet cannot be answered from here.
 */
#include <linux/if_ether.h>

#include "weir/socket.h"
#include "weir/strict.h"

#define WEIR_LO 1 /* LOOPBACK_IFINDEX, in every namespace */
/* A copy of a multicast or broadcast that this node sent: it bears the device it left by. */
#define WEIR_PACKET_LOOPBACK 5

#define WEIR_TCP_CLOSE  7
#define WEIR_TCP_LISTEN 10

#define WEIR_FLAG_SYN 0x02
#define WEIR_FLAG_ACK 0x10

#define WEIR_EXTENSIONS 8 /* IPv6 extension headers that we walk past */

/* What came, and to whom. */
struct weir_arrival {
	struct weir_address peer;
	struct weir_address local; /* as the packet says, which may be a group's */
	__u64 cgroup;              /* of the receiver's birth */
	__u32 receiver;            /* workload */
	__u16 peer_port;           /* 0: cannot be told */
	__u16 port;                /* the receiver's */
	__u8 protocol;
	__u8 v4;
	__u8 here; /* sent by this network namespace */
	__u8 syn;  /* opens a connection; also where that cannot be told */
	__u8 usurps; /* the receiver's port is another workload's: nothing comes in, whoever sent it */
	__u8 hook; /* for the event */
};

/* Counts and reports; true: it passes all the same, in audit mode. No process runs here that the
 * packet belongs to, so none is named. */
WEIR_FUNCTION int weir_turn_away(const struct weir_finding *f, const struct weir_arrival *a,
				 __u32 rule, __u8 reason)
{
	struct weir_refusal_key key = {};
	struct weir_generation *generation;
	struct weir_event *event;
	__u64 number = 0;
	__u32 flags = 0;

	if (!f || !a)
		return 0;
	generation = f->view.generation;
	if (generation) {
		flags = generation->flags;
		number = generation->number;
		key.rule = weir_stable_rule(&f->view, rule ? rule : generation->mesh_rule);
	}
	/* AUDIT as an answer is let pass whatever the node's mode. */
	if (reason & WEIR_AUDITED)
		flags |= WEIR_GENERATION_AUDIT;
	if (reason == WEIR_REASON_NO_GENERATION)
		flags &= ~WEIR_GENERATION_AUDIT;
	key.source = f->source;
	key.destination = a->receiver;
	key.port = a->port;
	key.protocol = a->protocol;
	key.reason = reason | (flags & WEIR_GENERATION_AUDIT ? WEIR_AUDITED : 0);
	if (a->hook == WEIR_HOOK_INGRESS)
		key.reason |= WEIR_TURNED_AWAY;
	weir_count_refusal(&key);
	event = weir_reserve_event(key.source);
	if (event) {
		event->generation = number;
		event->cgroup = a->cgroup;
		event->address = a->peer;
		event->source = key.source;
		event->destination = key.destination;
		event->rule = key.rule;
		event->port = key.port;
		event->protocol = key.protocol;
		event->hook = a->hook;
		event->reason = key.reason;
		bpf_ringbuf_submit(event, 0);
	}
	return flags & WEIR_GENERATION_AUDIT ? 1 : 0;
}

/* The workload, in one slot, of the cgroup a socket was born in. */
WEIR_FUNCTION __u32 weir_workload_of_socket(struct bpf_sock *sk, __u32 slot)
{
	struct weir_dweller dweller = {};
	struct weir_cgroup *found;
	__u64 cgroup, ancestor;
	int level;

	if (!sk)
		return WEIR_UNKNOWN;
	cgroup = bpf_sk_cgroup_id(sk);
	found = bpf_map_lookup_elem(&cgroups, &cgroup);
	if (found && weir_dwells(&dweller, found, slot))
		return dweller.workload;
	for (level = WEIR_CGROUP_LEVELS - 1; level > 0; level--) {
		ancestor = bpf_sk_ancestor_cgroup_id(sk, level);
		if (ancestor == 0 || ancestor == cgroup)
			continue;
		found = bpf_map_lookup_elem(&cgroups, &ancestor);
		if (found && weir_dwells(&dweller, found, slot))
			return dweller.workload;
	}
	return weir_nobody(slot, dweller.elsewhere);
}

/* Where the transport header begins; 0 if that cannot be told. */
WEIR_FUNCTION __u32 weir_transport(struct __sk_buff *ctx, __u8 v4, __u8 protocol)
{
	struct {
		__u8 next;
		__u8 length;
	} header;
	__u32 at = 40;
	__u8 first, next;
	int i;

	if (v4) {
		if (bpf_skb_load_bytes(ctx, 0, &first, 1))
			return 0;
		return (first & 0xf) * 4;
	}
	if (bpf_skb_load_bytes(ctx, 6, &next, 1))
		return 0;
	for (i = 0; i < WEIR_EXTENSIONS; i++) {
		if (next == protocol)
			return at;
		if (at > 4096 || bpf_skb_load_bytes(ctx, at, &header, sizeof(header)))
			return 0;
		switch (next) {
		case 0:   /* hop by hop (RFC 8200) */
		case 43:  /* routing */
		case 60:  /* for the destination */
		case 135: /* mobility (RFC 6275) */
			at += (header.length + 1) * 8;
			break;
		case 44: /* fragment */
			at += 8;
			break;
		case 51: /* authentication (RFC 4302) */
			at += (header.length + 2) * 4;
			break;
		default:
			return 0;
		}
		next = header.next;
	}
	return 0;
}

/* The beginning of a packet over IPv4 without options, as by far most are. */
struct weir_plain {
	__u8 version_and_length;
	__u8 before[11];
	__u32 from;
	__u32 to;
	__u16 from_port;
	__u16 to_port;
};

#define WEIR_PLAIN_V4 0x45

/* Reads it where it lies; the three ways that a helper copies it cost more than all that is asked
 * about most packets. False: it is none of that kind, or not in one piece. */
WEIR_INLINE int weir_read_plain(struct __sk_buff *ctx, struct weir_arrival *a)
{
	const struct weir_plain *plain = WEIR_CONTEXT_POINTER(ctx, data);
	const __u8 *end = WEIR_CONTEXT_POINTER(ctx, data_end);
	const __u8 *flags = (const __u8 *)plain + 20 + 13;

	if ((const __u8 *)(plain + 1) > end || plain->version_and_length != WEIR_PLAIN_V4)
		return 0;
	a->syn = 1;
	if (a->protocol == WEIR_TCP) {
		if (flags + 1 > end)
			return 0;
		a->syn = (*flags & (WEIR_FLAG_SYN | WEIR_FLAG_ACK)) == WEIR_FLAG_SYN;
	}
	a->v4 = 1;
	weir_address_from_v4(&a->peer, plain->from);
	weir_address_from_v4(&a->local, plain->to);
	a->peer_port = bpf_ntohs(plain->from_port);
	a->here = ctx->ifindex == WEIR_LO || ctx->pkt_type == WEIR_PACKET_LOOPBACK;
	return 1;
}

/* Reads addresses, ports and flags of the packet. What cannot be read stays 0 and counts as the
 * opening of a connection. */
WEIR_PROVEN_ONCE int weir_read_any(struct __sk_buff *ctx, struct weir_arrival *a)
{
	__u8 protocol, flags = 0;
	__u32 words[8], at;
	__u16 port = 0;

	if (!a)
		return 0;
	protocol = a->protocol == WEIR_TCP ? IPPROTO_TCP : IPPROTO_UDP;
	a->v4 = ctx->protocol == bpf_htons(ETH_P_IP);
	a->here = ctx->ifindex == WEIR_LO || ctx->pkt_type == WEIR_PACKET_LOOPBACK;
	a->syn = 1;
	if (a->v4) {
		if (bpf_skb_load_bytes(ctx, 12, words, 8))
			return 0;
		weir_address_from_v4(&a->peer, words[0]);
		weir_address_from_v4(&a->local, words[1]);
	} else {
		if (bpf_skb_load_bytes(ctx, 8, words, 32))
			return 0;
		weir_address_from_v6(&a->peer, words[0], words[1], words[2], words[3]);
		weir_address_from_v6(&a->local, words[4], words[5], words[6], words[7]);
	}
	at = weir_transport(ctx, a->v4, protocol);
	if (!at || bpf_skb_load_bytes(ctx, at, &port, 2))
		return 0;
	a->peer_port = bpf_ntohs(port);
	if (a->protocol == WEIR_TCP && bpf_skb_load_bytes(ctx, at + 13, &flags, 1) == 0)
		a->syn = (flags & WEIR_FLAG_SYN) && !(flags & WEIR_FLAG_ACK);
	return 0;
}

WEIR_INLINE void weir_read_packet(struct __sk_buff *ctx, struct weir_arrival *a)
{
	if (!weir_read_plain(ctx, a))
		weir_read_any(ctx, a);
}

/*
 * Whose packet it is that came from this namespace. True: its sender needed no leave, or got it for
 * this very listener. Else the finding's source is who must be asked for; one that cannot be found
 * is a stranger.
 */
WEIR_FUNCTION int weir_had_leave(struct __sk_buff *ctx, struct weir_finding *f,
				 const struct weir_arrival *a)
{
	struct bpf_sock_tuple tuple = {};
	struct weir_socket *socket;
	struct bpf_sock *sk;
	__u32 size, flags = 0;
	int leave = 0;

	if (!f || !a)
		return 0;
	f->source = WEIR_UNKNOWN;
	if (a->peer_port == 0)
		return 0;
	/* As if the answer came in: from this listener, to the sender. */
	if (a->v4) {
		size = sizeof(tuple.ipv4);
		tuple.ipv4.saddr = a->local.word[3];
		tuple.ipv4.daddr = a->peer.word[3];
		tuple.ipv4.sport = bpf_htons(a->port);
		tuple.ipv4.dport = bpf_htons(a->peer_port);
	} else {
		size = sizeof(tuple.ipv6);
		__builtin_memcpy(tuple.ipv6.saddr, &a->local, 16);
		__builtin_memcpy(tuple.ipv6.daddr, &a->peer, 16);
		tuple.ipv6.sport = bpf_htons(a->port);
		tuple.ipv6.dport = bpf_htons(a->peer_port);
	}
	if (a->protocol == WEIR_TCP)
		sk = bpf_sk_lookup_tcp(ctx, &tuple, size, BPF_F_CURRENT_NETNS, 0);
	else
		sk = bpf_sk_lookup_udp(ctx, &tuple, size, BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return 0;
	/* A listener did not send this. */
	if (a->protocol == WEIR_TCP && sk->state == WEIR_TCP_LISTEN) {
		bpf_sk_release(sk);
		return 0;
	}
	socket = bpf_sk_storage_get(&sockets, sk, NULL, 0);
	if (socket && (socket->flags & WEIR_SOCKET_JUDGED)) {
		f->source = socket->source;
		leave = !(socket->flags & WEIR_SOCKET_HANDOVER) &&
			socket->destination == a->receiver && socket->port == a->port;
	} else {
		f->source = weir_workload_of_socket(sk, f->view.slot);
	}
	bpf_sk_release(sk);
	if (f->view.generation)
		flags = f->view.generation->flags;
	if (f->source == WEIR_HOST && !(flags & WEIR_GENERATION_HOST_GOVERNED))
		leave = 1;
	return leave;
}

/* Whether who sent a datagram left word of it; then that is the source. */
WEIR_FUNCTION int weir_word_of(struct weir_finding *f, const struct weir_arrival *a)
{
	struct weir_datagram_key key = {};
	struct weir_datagram *word;

	if (!f || !a)
		return 0;
	key.client = a->peer;
	key.server = a->local;
	key.client_port = a->peer_port;
	key.server_port = a->port;
	word = bpf_map_lookup_elem(&datagrams, &key);
	if (!word || bpf_ktime_get_ns() - word->sent > WEIR_REPLY_NS)
		return 0;
	f->source = word->source;
	return 1;
}

/* Whose packet it is that did not come by lo: that of who left a record when it went, in whatever
 * namespace of this node, which is true; else who the address says, which is false. */
WEIR_FUNCTION int weir_from_elsewhere(struct weir_finding *f, const struct weir_arrival *a)
{
	struct weir_handover_key key = {};
	struct weir_origin *origin;

	if (!f || !a)
		return 0;
	if (a->protocol == WEIR_TCP) {
		key.client = a->peer;
		key.proxy = a->local;
		key.client_port = a->peer_port;
		key.proxy_port = a->port;
		origin = bpf_map_lookup_elem(&handovers, &key);
		if (origin) {
			f->source = origin->source;
			return 1;
		}
	}
	if (a->protocol == WEIR_UDP && weir_word_of(f, a))
		return 1;
	weir_resolve_source(f, &a->peer);
	return 0;
}

/* Beside the workload: it was let in, and reported as what would have been refused. */
#define WEIR_ADMITTED_REPORTED (1U << 31)

/* Judges what came in. 0: refused; else the workload it came from. */
WEIR_PROVEN_ONCE __u32 weir_admit(struct __sk_buff *ctx, const struct weir_arrival *a, __u32 slot)
{
	struct weir_question question = {};
	struct weir_answer answer = {};
	struct weir_finding f = {};
	struct weir_generation *generation;
	_Bool over_wire = 0;
	__u32 demand;
	void *table;

	if (!a)
		return 0;
	weir_look_in(&f.view, slot);
	generation = f.view.generation;
	table = WEIR_TABLE_OF(workloads, &f.view);
	f.source = WEIR_UNKNOWN;
	if (!generation || !table) {
		weir_count(WEIR_COUNTER_NO_GENERATION);
		weir_turn_away(&f, a, 0, WEIR_REASON_NO_GENERATION);
		return 0;
	}
	if (a->here) {
		if (weir_had_leave(ctx, &f, a) && !a->usurps)
			return f.source;
		question.source = weir_identity_of(table, f.source);
	} else {
		if (weir_from_elsewhere(&f, a)) {
			if (f.source == WEIR_HOST && !a->usurps &&
			    !(generation->flags & WEIR_GENERATION_HOST_GOVERNED))
				return f.source;
			question.source = weir_identity_of(table, f.source);
		} else {
			question.source = f.source_identity;
			over_wire = a->protocol == WEIR_TCP;
		}
	}
	if (a->usurps)
		return weir_turn_away(&f, a, 0, WEIR_REASON_PORT_OWNED);
	if (f.source == a->receiver && f.source >= WEIR_FIRST_WORKLOAD)
		return f.source;
	question.destination = weir_identity_of(table, a->receiver);
	question.port = a->port;
	question.protocol = a->protocol;
	weir_judge_in(slot, generation, &question, &answer);
	/* Who may come may do so by mutual TLS alone, which is not what came. */
	demand = over_wire && answer.verdict != WEIR_REFUSE
			 ? weir_demand_in(slot, question.destination, a->port)
			 : 0;
	if (demand)
		return weir_turn_away(&f, a, demand & 0xffff, WEIR_REASON_POLICY);
	switch (answer.verdict) {
	case WEIR_ALLOW:
		return f.source;
	case WEIR_AUDIT:
		weir_turn_away(&f, a, answer.rule, answer.reason | WEIR_AUDITED);
		return f.source | WEIR_ADMITTED_REPORTED;
	case WEIR_INSPECT:
		if (f.source == WEIR_PROXY)
			return f.source;
		/* It came past the proxy, which alone could have looked into it. */
		answer.reason = WEIR_REASON_POLICY;
		break;
	}
	return weir_turn_away(&f, a, answer.rule, answer.reason) ? f.source | WEIR_ADMITTED_REPORTED
								 : 0;
}

WEIR_INLINE __u32 weir_generation_of(__u32 slot)
{
	struct weir_view view;

	weir_look_in(&view, slot);
	return view.generation ? view.generation->number : 0;
}

WEIR_INLINE void weir_peer_of(struct __sk_buff *ctx, const struct weir_arrival *a,
			      struct weir_reply_key *key)
{
	key->socket = bpf_get_socket_cookie(ctx);
	key->address = a->peer;
	key->port = a->peer_port;
}

/* Whether it answers a datagram that the socket was allowed to send. This, what is asked if not, and
 * what is written down then are functions side by side for the sake of the stack (see
 * weir_service_at()). */
WEIR_PROVEN_ONCE int weir_is_answer(struct __sk_buff *ctx, const struct weir_arrival *a, __u32 slot)
{
	struct weir_reply_key key = {};
	struct weir_reply *peer;
	__u32 generation;

	if (!a)
		return 0;
	weir_peer_of(ctx, a, &key);
	peer = bpf_map_lookup_elem(&reply_peers, &key);
	if (!peer)
		return 0;
	generation = weir_generation_of(slot);
	if (peer->generation != generation)
		weir_ask_again(peer, &key.address, a->receiver, slot, generation);
	return peer->sent && peer->generation == generation &&
	       bpf_ktime_get_ns() - peer->sent < WEIR_REPLY_NS;
}

/* A datagram from `source` was let in by a verdict: for a while the socket may answer it. */
WEIR_PROVEN_ONCE int weir_heard(struct __sk_buff *ctx, const struct weir_arrival *a, __u32 admitted,
				__u32 slot)
{
	__u32 source = admitted & ~WEIR_ADMITTED_REPORTED;
	__u8 came = WEIR_CAME_REPORTED;
	struct weir_reply_key key = {};
	struct weir_reply reply = {}, *peer;
	struct weir_socket *socket;
	struct bpf_sock *sk;

	if (!a)
		return 0;
	if (!(admitted & WEIR_ADMITTED_REPORTED))
		came = a->here ? WEIR_CAME_BY_LO : WEIR_CAME_BY_WIRE;
	sk = ctx->sk;
	sk = sk ? bpf_sk_fullsock(sk) : NULL;
	/* Without storage an answer that is refused is not known for one. */
	socket = sk ? bpf_sk_storage_get(&sockets, sk, NULL, 0) : NULL;
	if (socket && !(socket->flags & WEIR_SOCKET_HEARD))
		socket->flags |= WEIR_SOCKET_HEARD;
	weir_peer_of(ctx, a, &key);
	peer = bpf_map_lookup_elem(&reply_peers, &key);
	if (peer) {
		peer->heard_from = source;
		peer->heard_port = a->port;
		peer->came = came;
		peer->received = bpf_ktime_get_ns();
		return 0;
	}
	reply.generation = weir_generation_of(slot);
	reply.heard_from = source;
	reply.heard_port = a->port;
	reply.came = came;
	reply.received = bpf_ktime_get_ns();
	bpf_map_update_elem(&reply_peers, &key, &reply, BPF_ANY);
	return 0;
}

/*
 * Whether it is one more of what this socket is used to: it answers what was sent a while ago, or
 * comes from where another was let in a quarter of a second ago, either by the generation in force. Most
 * datagrams do; whose the socket is, and who sent this one, need not be found out again. Who takes
 * over the sender's address and port meanwhile, on this node, was asked when he sent.
 */
WEIR_PROVEN_ONCE int weir_is_usual(struct __sk_buff *ctx, const struct weir_arrival *a, __u32 slot)
{
	struct weir_reply_key key = {};
	struct weir_reply *peer;
	__u32 generation;
	__u64 now;

	if (!a)
		return 0;
	weir_peer_of(ctx, a, &key);
	peer = bpf_map_lookup_elem(&reply_peers, &key);
	generation = peer ? weir_generation_of(slot) : 0;
	if (!peer || !generation || peer->generation != generation)
		return 0;
	now = bpf_ktime_get_ns();
	return (peer->sent && now - peer->sent < WEIR_REPLY_NS) ||
	       (peer->came == (a->here ? WEIR_CAME_BY_LO : WEIR_CAME_BY_WIRE) && peer->received &&
		now - peer->received < WEIR_SAID_NS);
}

/*
 * Whether the one before came from there as well, and was let in by the generation in force no more than a quarter
 * of a second ago: then so is this one, for the price of reading the socket's own storage.
 */
WEIR_INLINE int weir_heard_again(const struct weir_socket *socket, const struct weir_arrival *a,
				 __u32 slot)
{
	__u64 heard = *(volatile __u64 *)&socket->heard, at = *(volatile __u64 *)&socket->heard_at;
	__u32 generation;

	if (!at || (at & 1) != (a->here ? 1 : 0) ||
	    ((heard ^ weir_said(&a->peer, a->peer_port, 0)) & ~(__u64)WEIR_SAID_GENERATION) ||
	    !weir_address_is_v4(&a->peer))
		return 0;
	generation = weir_generation_of(slot);
	return generation && !((heard ^ generation) & WEIR_SAID_GENERATION) &&
	       bpf_ktime_get_coarse_ns() - (at & ~1ULL) < WEIR_SAID_NS;
}

/* Says so to the next one. */
WEIR_INLINE void weir_say_heard(struct weir_socket *socket, const struct weir_arrival *a,
				__u32 slot)
{
	__u32 generation = weir_generation_of(slot);

	if (!socket || !generation || !a->peer_port || !weir_address_is_v4(&a->peer))
		return;
	/* In between it is of nobody, however many look at the same time. */
	*(volatile __u64 *)&socket->heard_at = 0;
	*(volatile __u64 *)&socket->heard = weir_said(&a->peer, a->peer_port, generation);
	*(volatile __u64 *)&socket->heard_at = (bpf_ktime_get_coarse_ns() & ~1ULL) | a->here;
}

SEC("cgroup_skb/ingress")
int weir_ingress(struct __sk_buff *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct weir_arrival a = {.hook = WEIR_HOOK_INGRESS};
	struct weir_socket *socket;
	struct weir_view view;
	__u32 state, slot, source;

	if (!sk)
		return 1;
	state = sk->state;
	if (state != WEIR_TCP_LISTEN && state != WEIR_TCP_CLOSE && state != WEIR_STATE_ESTABLISHED)
		return 1;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return 1;
	/* Every packet of an open connection leaves here. */
	if (sk->protocol == IPPROTO_TCP) {
		if (state != WEIR_TCP_LISTEN)
			return 1;
		a.protocol = WEIR_TCP;
	} else if (sk->protocol == IPPROTO_UDP) {
		a.protocol = WEIR_UDP;
	} else {
		return 1;
	}
	a.port = sk->src_port;
	socket = bpf_sk_storage_get(&sockets, sk, NULL, 0);
	/* A connected socket hears its peer alone, and was allowed to go there: not even read. */
	if (state == WEIR_STATE_ESTABLISHED && socket && (socket->flags & WEIR_SOCKET_JUDGED))
		return 1;
	weir_read_packet(ctx, &a);
	/* The rest of a handshake; what has none to it is of no connection. */
	if (a.protocol == WEIR_TCP && !a.syn)
		return 1;
	slot = weir_slot_now();
	a.usurps = socket && socket->usurps;
	/* Asked before whose it is, which takes a look at each cgroup above it. */
	if (a.protocol == WEIR_UDP && socket && !a.usurps &&
	    (socket->flags & (WEIR_SOCKET_JUDGED | WEIR_SOCKET_HEARD))) {
		if (weir_heard_again(socket, &a, slot))
			return 1;
		if (weir_is_usual(ctx, &a, slot)) {
			weir_say_heard(socket, &a, slot);
			return 1;
		}
	}
	a.receiver = weir_workload_of_socket(sk, slot);
	/* The proxy judges what it takes itself, by listener, and closes what nobody handed over. */
	if (a.receiver == WEIR_PROXY && !a.usurps)
		return 1;
	if (a.receiver == WEIR_HOST && !a.usurps) {
		weir_look_in(&view, slot);
		if (!view.generation || !(view.generation->flags & WEIR_GENERATION_HOST_GOVERNED))
			return 1;
	}
	a.cgroup = bpf_sk_cgroup_id(sk);
	/* To a socket that is not connected: what answers comes in; anything else is judged, and
	 * what is let in may be answered. */
	if (a.protocol == WEIR_UDP) {
		if (!a.usurps && weir_is_answer(ctx, &a, slot))
			return 1;
		source = weir_admit(ctx, &a, slot);
		if (!source)
			return 0;
		weir_heard(ctx, &a, source, slot);
		return 1;
	}
	return weir_admit(ctx, &a, slot) ? 1 : 0;
}
