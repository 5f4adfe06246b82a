// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * How often, and from whom: each UDP packet of this node, where a plan limits packets, or where
 * workloads have addresses of their own. Nothing else runs per packet, and this is attached only
 * while one of these is so: sendmsg is not asked for a connected socket, nor in how many packets the
 * kernel sends what it was given (UDP_SEGMENT), and when it is asked the packet has no sender's
 * address yet.
 *
 * Whom a packet is for is read from the packet, never from what the socket was last used for:
 * threads share sockets.
 */
#include <linux/if_ether.h>

#include "weir/limit.h"
#include "weir/socket.h"

/* Where a packet goes. */
struct weir_departure {
	struct weir_address from;
	struct weir_address to;
	__u16 from_port;
	__u16 port;
};

/* True: it could be read. */
WEIR_PROVEN_ONCE int weir_read_departure(struct __sk_buff *ctx, struct weir_departure *d)
{
	__u32 words[8], at;
	__u16 ports[2];
	__u8 v4;

	if (!d)
		return 0;
	v4 = ctx->protocol == bpf_htons(ETH_P_IP);
	if (v4) {
		if (bpf_skb_load_bytes(ctx, 12, words, 8))
			return 0;
		weir_address_from_v4(&d->from, words[0]);
		weir_address_from_v4(&d->to, words[1]);
	} else {
		if (bpf_skb_load_bytes(ctx, 8, words, 32))
			return 0;
		weir_address_from_v6(&d->from, words[0], words[1], words[2], words[3]);
		weir_address_from_v6(&d->to, words[4], words[5], words[6], words[7]);
	}
	at = weir_transport(ctx, v4, IPPROTO_UDP);
	if (!at || bpf_skb_load_bytes(ctx, at, ports, 4))
		return 0;
	d->from_port = bpf_ntohs(ports[0]);
	d->port = bpf_ntohs(ports[1]);
	return 1;
}

#define WEIR_NOTE_AGAIN_NS 1000000000ULL

/* Leaves word of who sent a packet, if it goes to another network namespace of this node. */
WEIR_PROVEN_ONCE int weir_leave_word(const struct weir_departure *d, __u32 slot, __u64 netns,
				     __u32 source)
{
	struct weir_view view = {.slot = slot};
	struct weir_datagram_key key = {};
	struct weir_datagram word = {}, *before;

	if (!d)
		return 0;
	weir_look_in(&view, slot & 1);
	if (!netns || !view.generation ||
	    !weir_is_near(&d->to, slot, netns, weir_is_apart(view.generation, netns)))
		return 0;
	key.client = d->from;
	key.server = d->to;
	key.client_port = d->from_port;
	key.server_port = d->port;
	word.sent = bpf_ktime_get_ns();
	word.source = source;
	before = bpf_map_lookup_elem(&datagrams, &key);
	if (!before || before->source != source || word.sent - before->sent > WEIR_NOTE_AGAIN_NS)
		bpf_map_update_elem(&datagrams, &key, &word, BPF_ANY);
	return 0;
}

/* The workload that has an address, or the port on this node; 0: none is known. */
WEIR_PROVEN_ONCE __u32 weir_taker(__u32 slot, const struct weir_departure *d, __u64 netns)
{
	struct weir_view view = {.slot = slot};
	struct weir_port_key key = {};
	struct weir_endpoint *endpoint;
	struct weir_address to;
	struct weir_port *owner;
	void *table;

	if (!d)
		return 0;
	to = d->to;
	table = WEIR_TABLE_OF(endpoints, &view);
	endpoint = table ? bpf_map_lookup_elem(table, &to) : NULL;
	if (endpoint)
		return endpoint->workload;
	key.netns = netns;
	key.port = d->port;
	key.protocol = WEIR_UDP;
	table = WEIR_TABLE_OF(ports, &view);
	owner = table ? bpf_map_lookup_elem(table, &key) : NULL;
	return owner ? owner->workload : 0;
}

/* The service whose virtual address this socket's packets to there were sent to, if it is limited;
 * `port` is the virtual one. 0: none. */
WEIR_PROVEN_ONCE __u32 weir_limited_service(struct __sk_buff *ctx, __u32 slot,
					    const struct weir_socket *socket,
					    const struct weir_departure *d, __u16 *port)
{
	struct weir_view view = {.slot = slot};
	struct weir_reply_key peer_key = {};
	struct weir_service_key key = {};
	struct weir_service *service;
	struct weir_reply *peer;
	void *table;

	if (!socket || !d || !port)
		return 0;
	if ((socket->flags & WEIR_SOCKET_STEERED) && socket->steered_port == d->port &&
	    weir_address_equal(&socket->steered, &d->to)) {
		key.address = socket->original;
		key.port = socket->original_port;
	} else {
		peer_key.socket = bpf_get_socket_cookie(ctx);
		peer_key.address = d->to;
		peer_key.port = d->port;
		peer = bpf_map_lookup_elem(&reply_peers, &peer_key);
		if (!peer || peer->original_port == 0)
			return 0;
		key.address = peer->original;
		key.port = peer->original_port;
	}
	key.protocol = WEIR_UDP;
	table = WEIR_TABLE_OF(services, &view);
	service = table ? bpf_map_lookup_elem(table, &key) : NULL;
	if (!service || !(service->flags & WEIR_SERVICE_LIMITED))
		return 0;
	*port = key.port;
	return service->workload;
}

/* Asks one limit. True: it passes. */
WEIR_FUNCTION int weir_packets_within(struct weir_finding *f, struct weir_arrival *a,
				      __u32 destination, __u16 port, __u32 packets)
{
	__u32 limited;

	if (!f || !a)
		return 0;
	limited = weir_limited(f->view.slot, f->source, destination, port | (__u32)WEIR_UDP << 16,
			       packets);
	if (!limited)
		return 1;
	a->receiver = destination;
	if (port)
		a->port = port;
	return weir_turn_away(f, a, limited & 0xffff, WEIR_REASON_RATE_LIMIT);
}

SEC("cgroup_skb/egress")
int weir_packet(struct __sk_buff *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct weir_arrival a = {.hook = WEIR_HOOK_PACKET, .protocol = WEIR_UDP};
	struct weir_departure d = {};
	struct weir_socket *socket, nothing = {};
	struct weir_finding f = {};
	__u32 packets = ctx->gso_segs, destination;
	__u16 port = 0;

	if (!sk)
		return 1;
	sk = bpf_sk_fullsock(sk);
	/* Every packet of a TCP connection leaves here. */
	if (!sk || sk->protocol != IPPROTO_UDP)
		return 1;
	weir_look(&f.view);
	/* Who sends without a generation was refused before. */
	if (!f.view.generation)
		return 1;
	socket = bpf_sk_storage_get(&sockets, sk, NULL, 0);
	f.source = socket && (socket->flags & WEIR_SOCKET_JUDGED)
			   ? socket->source
			   : weir_workload_of_socket(sk, f.view.slot);
	/* Behind more extension headers than anybody sends: whom it is for must be known. */
	if (!weir_read_departure(ctx, &d))
		return f.source == WEIR_HOST &&
		       !(f.view.generation->flags & WEIR_GENERATION_HOST_GOVERNED);
	/* What goes by lo is known where it comes in. A word of it would only serve who spoofs one of
	 * this node's own addresses. */
	if (ctx->ifindex != WEIR_LO)
		weir_leave_word(&d, f.view.slot, socket ? socket->netns : 0, f.source);
	if (f.source == WEIR_HOST && !(f.view.generation->flags & WEIR_GENERATION_HOST_GOVERNED))
		return 1;
	if (packets == 0)
		packets = 1;
	a.cgroup = bpf_sk_cgroup_id(sk);
	a.peer = d.to;
	a.port = d.port;
	if (!socket)
		socket = &nothing;
	destination = weir_limited_service(ctx, f.view.slot, socket, &d, &port);
	if (destination && !weir_packets_within(&f, &a, destination, port, packets))
		return 0;
	if (!(f.view.generation->flags & WEIR_GENERATION_LIMITS))
		return 1;
	destination = weir_taker(f.view.slot, &d, socket->netns);
	a.port = d.port;
	if (destination && destination != f.source &&
	    !weir_packets_within(&f, &a, destination, 0, packets))
		return 0;
	return 1;
}
