// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * Who may go where, and which way: connect() and sendto() of every process below the cgroup at
 * which this is attached, once per connection or datagram, before the first packet.
 *
 * Every path that cannot answer refuses a governed workload; only the host, which nobody governs,
 * passes. See bpf-programs/README.md for the order of questions.
 */
#include "weir/affinity.h"
#include "weir/eject.h"
#include "weir/limit.h"
#include "weir/socket.h"
#include "weir/steer.h"
#include "weir/verdict.h"

enum weir_way {
	WEIR_WAY_REFUSED, /* the errno is set */
	/* Not 1: clang would hand this on as what the hook returns, and the verifier knows no bounds
	 * of what a function proven by itself returns. */
	WEIR_WAY_STRAIGHT = 2,
	WEIR_WAY_STEERED, /* to `steered` and `steered_port` of the request */
};

/* What a hook asks, in canonical form, and what it gets back if steered. */
struct weir_request {
	struct weir_address address;
	struct weir_address steered;
	__u16 port;
	__u16 steered_port;
	__u8 protocol;
	__u8 hook; /* WEIR_HOOK_CONNECT or WEIR_HOOK_SENDMSG */
	__u8 v4;   /* the hook speaks IPv4, so the new destination must too */
};

#define WEIR_MEANING_DIRECT \
	2                    /* beside the slot: the address is what was dialled, not a backend's */
#define WEIR_MEANING_APART 4 /* in a network namespace of its own */

/* What a decision has found out so far. */
struct weir_finding {
	struct weir_view view;
	__u32 source;
	__u32 destination; /* workload */
	__u32 source_identity;
	__u32 owner; /* workload that owns the port on this node, where it may be meant; or 0 */
	__u32 keeps; /* slot of the backend that affinity begins to keep to, and one more; or 0 */
	__u16 identity; /* of the destination */
	__u16 port;     /* as judged */
	__u8 governed;  /* the source is judged */
	__u8 inspect;   /* allowed as far as the proxy */
	__u8 audited;   /* let pass, and reported as what would have been refused */
	__u8 steered;
	__u8 ejects; /* the service passes over backends that do not answer */
	__u8 near;   /* leads to a workload of this node by its address */
	__u8 reply;  /* let pass as the answer to a datagram that came in, against the verdict */
	__u8 apart;  /* WEIR_MEANING_APART: asked in a network namespace of its own */
};

/* The rest of weir_refuse(), which is proven once: it is called from many places. */
WEIR_PROVEN_ONCE int weir_refuse_as(const struct weir_generation *generation, __u32 slot,
				    struct weir_refusal_key *key,
				    const struct weir_address *address, __u32 rule_and_hook)
{
	struct weir_view view = {.slot = slot};
	__u32 rule = rule_and_hook & 0xffff, flags = 0;
	__u64 number = 0;

	if (!key || !address)
		return 0;
	/* Made only to be refused, also where audit mode refuses nobody: no news for anybody. */
	if (key->source == WEIR_CANARY_REFUSED) {
		weir_count(WEIR_COUNTER_CANARIES_REFUSED);
		bpf_set_retval(-ECONNREFUSED);
		return 0;
	}
	if (generation) {
		flags = generation->flags;
		number = generation->number;
		key->rule = weir_stable_rule(&view, rule ? rule : generation->mesh_rule);
	}
	/* What cannot be carried out cannot be let pass either. */
	if (key->reason == WEIR_REASON_NO_BACKEND || key->reason == WEIR_REASON_NO_GENERATION ||
	    key->reason == WEIR_REASON_NO_PROXY)
		flags &= ~WEIR_GENERATION_AUDIT;
	if (flags & WEIR_GENERATION_AUDIT)
		key->reason |= WEIR_AUDITED;
	weir_report(key, address, number, rule_and_hook >> 16);
	if (flags & WEIR_GENERATION_AUDIT)
		return 1;
	bpf_set_retval(flags & WEIR_GENERATION_EPERM ? -EPERM : -ECONNREFUSED);
	return 0;
}

/*
 * Counts and reports what is refused, and refuses it: false, and the errno is set. True in audit
 * mode, where it is only counted. Nothing to count under is still a refusal.
 */
WEIR_FUNCTION int weir_refuse(const struct weir_finding *f, const struct weir_request *request,
			      __u32 rule, __u8 reason)
{
	struct weir_refusal_key key = {};

	if (!f || !request)
		return 0;
	key.source = f->source;
	key.destination = f->destination;
	key.port = f->port;
	key.protocol = request->protocol;
	key.reason = reason;
	return weir_refuse_as(f->view.generation, f->view.slot, &key, &request->address,
			      (rule & 0xffff) | (__u32)request->hook << 16);
}

/*
 * A datagram from this peer was let in a short while ago: the socket may answer it. The table is
 * bounded, and whom it forgot is refused; so it is counted when a socket that has been written to
 * meets a refusal.
 */
WEIR_PROVEN_ONCE int weir_is_reply(struct bpf_sock_addr *ctx, const struct weir_request *request,
				   __u32 generation)
{
	struct weir_reply_key key = {};
	struct weir_socket *socket;
	struct weir_reply *peer;
	struct bpf_sock *sk;
	__u64 received;

	if (!request || request->protocol != WEIR_UDP)
		return 0;
	key.socket = bpf_get_socket_cookie(ctx);
	key.address = request->address;
	key.port = request->port;
	peer = bpf_map_lookup_elem(&reply_peers, &key);
	if (peer && peer->generation == generation) {
		received = peer->received;
		if (received && bpf_ktime_get_ns() - received < WEIR_REPLY_NS)
			return 1;
	}
	sk = ctx->sk;
	if (!sk)
		return 0;
	socket = bpf_sk_storage_get(&sockets, sk, NULL, 0);
	if (socket && (socket->flags & WEIR_SOCKET_HEARD))
		weir_count(WEIR_COUNTER_REPLIES_REFUSED);
	return 0;
}

/* Judges with the tables of a slot. A table that is missing is no generation: refused. */
WEIR_PROVEN_ONCE int weir_judge_in(__u32 slot, const struct weir_generation *generation,
				   const struct weir_question *question, struct weir_answer *answer)
{
	struct weir_view view = {.slot = slot};
	struct weir_verdict_tables tables;

	if (!generation || !question || !answer)
		return 0;
	answer->verdict = WEIR_REFUSE;
	answer->reason = WEIR_REASON_NO_GENERATION;
	answer->rule = 0;
	tables.identities = WEIR_TABLE_OF(identities, &view);
	tables.verdicts = WEIR_TABLE_OF(verdicts, &view);
	tables.port_classes = WEIR_TABLE_OF(port_classes, &view);
	if (tables.identities && tables.verdicts && tables.port_classes)
		weir_judge(&tables, generation, question, answer);
	return 0;
}

/* Asks whether the source may reach one destination, and acts on the answer. True: go on. */
WEIR_FUNCTION int weir_may(struct bpf_sock_addr *ctx, struct weir_finding *f,
			   const struct weir_request *request, __u32 destination, __u16 identity)
{
	struct weir_question question = {};
	struct weir_answer answer = {};
	struct weir_refusal_key key = {};
	struct weir_generation *generation;

	if (!f || !request)
		return 0;
	generation = f->view.generation;
	if (!generation)
		return 0;
	/* A policy selects peers; nothing keeps a workload from itself (as in Kubernetes). */
	if (destination == f->source && destination >= WEIR_FIRST_WORKLOAD)
		return 1;
	question.source = f->source_identity;
	question.destination = identity;
	question.port = f->port;
	question.protocol = request->protocol;
	weir_judge_in(f->view.slot, generation, &question, &answer);
	if (answer.verdict == WEIR_ALLOW)
		return 1;
	if (answer.verdict == WEIR_INSPECT) {
		if (f->source == WEIR_PROXY)
			return 1;
		if (request->protocol == WEIR_TCP) {
			f->inspect = 1;
			return 1;
		}
		/* The proxy cannot look into this: what it should have seen does not pass. */
		answer.reason = WEIR_REASON_POLICY;
	}
	if (weir_is_reply(ctx, request, generation->number)) {
		f->reply = 1;
		return 1;
	}
	if (answer.verdict == WEIR_AUDIT) {
		key.source = f->source;
		key.destination = destination;
		key.rule = weir_stable_rule(&f->view, answer.rule);
		key.port = f->port;
		key.protocol = request->protocol;
		key.reason = answer.reason | WEIR_AUDITED;
		weir_report(&key, &request->address, generation->number, request->hook);
		f->audited = 1;
		return 1;
	}
	f->destination = destination;
	if (!weir_refuse(f, request, answer.rule, answer.reason))
		return 0;
	f->audited = 1;
	return 1;
}

/* Asks one limit of a destination. True: go on. */
WEIR_FUNCTION int weir_within(struct weir_finding *f, const struct weir_request *request,
			      __u32 destination, __u16 port)
{
	__u32 limited;

	if (!f || !request)
		return 0;
	limited = weir_limited(f->view.slot, f->source, destination,
			       port | (__u32)request->protocol << 16, 1);
	if (!limited)
		return 1;
	f->destination = destination;
	if (!weir_refuse(f, request, limited & 0xffff, WEIR_REASON_RATE_LIMIT))
		return 0;
	f->audited = 1;
	return 1;
}

/*
 * Whether one more connection is within the limits of the service and of whom it leads to. What
 * goes to the proxy reaches no workload yet; the proxy's own connection does.
 */
WEIR_FUNCTION int weir_within_limits(struct weir_finding *f, const struct weir_request *request,
				     const struct weir_service *service)
{
	__u32 destination, workload;
	__u16 port;
	int within = 1;

	if (!f || !request || !f->view.generation)
		return 0;
	destination = f->destination;
	port = f->port;
	if (service && (service->flags & WEIR_SERVICE_LIMITED)) {
		f->port = request->port;
		within = weir_within(f, request, service->workload, request->port);
		f->port = port;
	}
	workload = destination >= WEIR_FIRST_WORKLOAD ? destination : f->owner;
	/* Nothing keeps a workload from itself. */
	if (within && !f->inspect && workload != f->source &&
	    (f->view.generation->flags & WEIR_GENERATION_LIMITS))
		within = weir_within(f, request, workload, 0);
	f->destination = destination;
	return within;
}

/* Whose address is it, if it belongs to anybody? Sets destination and identity. Returns whether
 * the address is positively not of this node. */
WEIR_FUNCTION int weir_resolve(struct weir_finding *f, const struct weir_address *address)
{
	struct weir_endpoint *endpoint;
	struct weir_cidr_key key;
	struct weir_cidr *cidr;
	void *table;

	if (!f || !address || !f->view.generation)
		return 0;
	key.address = *address; /* 6.1 takes no key from an argument's memory */
	table = WEIR_TABLE_OF(endpoints, &f->view);
	endpoint = table ? bpf_map_lookup_elem(table, &key.address) : NULL;
	if (endpoint) {
		f->destination = endpoint->workload;
		f->identity = endpoint->identity;
		return endpoint->flags & WEIR_ENDPOINT_REMOTE;
	}
	f->destination = WEIR_OUTSIDE;
	f->identity = WEIR_OUTSIDE;
	if (f->view.generation->flags & WEIR_GENERATION_CIDRS) {
		table = WEIR_TABLE_OF(cidrs, &f->view);
		key.prefix_length = 128;
		key.address = *address;
		cidr = table ? bpf_map_lookup_elem(table, &key) : NULL;
		if (cidr)
			f->identity = cidr->identity;
	}
	return 0;
}

/*
 * Who an address is that something comes from over a wire: the source's workload, for what is
 * counted, and its identity. `cidrs` alone says the latter: `endpoints` says who is reached there,
 * and whoever comes from there in plain text has shown no principal. An address of this node's own
 * workloads proves nothing here: who really has it comes by lo, or left a record.
 */
WEIR_FUNCTION int weir_resolve_source(struct weir_finding *f, const struct weir_address *address)
{
	struct weir_endpoint *endpoint;
	struct weir_cidr_key key = {.prefix_length = 128};
	struct weir_cidr *cidr;
	void *table;

	if (!f || !address || !f->view.generation)
		return 0;
	f->source = WEIR_OUTSIDE;
	f->source_identity = WEIR_OUTSIDE;
	key.address = *address; /* as in weir_resolve() */
	table = WEIR_TABLE_OF(endpoints, &f->view);
	endpoint = table ? bpf_map_lookup_elem(table, &key.address) : NULL;
	if (endpoint) {
		if (!(endpoint->flags & WEIR_ENDPOINT_REMOTE))
			return 0;
		f->source = endpoint->workload;
	}
	if (f->view.generation->flags & WEIR_GENERATION_CIDRS) {
		table = WEIR_TABLE_OF(cidrs, &f->view);
		cidr = table ? bpf_map_lookup_elem(table, &key) : NULL;
		if (cidr)
			f->source_identity = cidr->identity;
	}
	return 0;
}

WEIR_INLINE struct weir_port *weir_owner_of(void *context, const struct weir_view *view,
					    __u8 protocol, __u16 port)
{
	struct weir_port_key key = {
		.netns = bpf_get_netns_cookie(context),
		.port = port,
		.protocol = protocol,
	};
	void *table = WEIR_TABLE_OF(ports, view);

	return table ? bpf_map_lookup_elem(table, &key) : NULL;
}

/* The service at the address that is asked for, if it is a virtual one. A function of its own for the
 * sake of the stack, of which 6.1 grants a chain of calls no more than 512 bytes, each frame
 * rounded up to 32. */
WEIR_FUNCTION struct weir_service *weir_service_at(const struct weir_view *view,
						   const struct weir_request *request)
{
	struct weir_service_key key = {};
	void *table;

	if (!view || !request || request->protocol == WEIR_PROTOCOL_ANY)
		return NULL;
	key.address = request->address;
	key.port = request->port;
	key.protocol = request->protocol;
	table = WEIR_TABLE_OF(services, view);
	return table ? bpf_map_lookup_elem(table, &key) : NULL;
}

/* The backend for this connection: any slot for TCP, always the same one for a UDP socket, the one
 * that a source keeps to where affinity is asked for. */
WEIR_FUNCTION struct weir_backend *weir_choose(struct bpf_sock_addr *ctx, struct weir_finding *f,
					       const struct weir_service *service,
					       const struct weir_request *request)
{
	void *slot_table, *backend_table;
	struct weir_backend *backend, *other;
	__u32 slot, instead, kept = 0;

	if (!f || !request || !service || service->slots == 0)
		return NULL;
	if (service->flags & WEIR_SERVICE_AFFINITY) {
		kept = weir_keeps_to(f->view.slot, service, f->source,
				     weir_affinity_of(request->port, request->protocol,
						      weir_address_is_v4(&request->address)));
		slot = kept ? kept - 1 : weir_affinity_slot(f->source, service);
		f->keeps = kept ? 0 : slot + 1;
	} else if (request->protocol == WEIR_UDP) {
		slot = weir_pick(weir_mix(bpf_get_socket_cookie(ctx)), service->slots);
	} else {
		slot = weir_pick(bpf_get_prandom_u32(), service->slots);
	}
	slot_table = WEIR_TABLE_OF(slots, &f->view);
	backend_table = WEIR_TABLE_OF(backends, &f->view);
	backend = weir_backend_in(slot_table, backend_table, service, slot);
	if (service->ejection_failures && request->protocol == WEIR_TCP &&
	    weir_is_ejected(f->source, backend)) {
		instead = weir_instead(f->view.slot, service, f->source);
		other = instead ? weir_backend_in(slot_table, backend_table, service, instead - 1)
				: NULL;
		if (other) {
			f->keeps = instead;
			return other;
		}
	}
	return backend;
}

/*
 * Whether an address is one of this node's workloads, or of another of its network namespaces where
 * `apart` says to look: there the connection does not come by lo, and who made it must be told
 * otherwise.
 */
WEIR_PROVEN_ONCE int weir_is_near(const struct weir_address *address, __u32 slot, __u64 own,
				  __u32 apart)
{
	struct weir_view view = {.slot = slot};
	struct weir_endpoint *endpoint;
	struct weir_address key;
	void *table;

	if (!address || weir_address_is_loopback(address))
		return 0;
	key = *address; /* as in weir_resolve() */
	table = WEIR_TABLE_OF(endpoints, &view);
	endpoint = table ? bpf_map_lookup_elem(table, &key) : NULL;
	if (endpoint)
		return !(endpoint->flags & WEIR_ENDPOINT_REMOTE);
	return apart && weir_other_namespace(&key, own) != 0;
}

enum weir_listener {
	WEIR_LISTENER_NONE = -1,
	WEIR_LISTENER_NAMELESS = -2, /* older than the attach */
};

/*
 * Who listens at an address of this very network namespace: the workload that made the socket, or
 * enum weir_listener. What really comes there is judged once more where it arrives.
 */
WEIR_PROVEN_ONCE int weir_listening(struct bpf_sock_addr *ctx, const struct weir_address *address,
				    __u32 port_and_protocol)
{
	struct bpf_sock_tuple tuple = {};
	struct weir_socket *socket;
	int workload = WEIR_LISTENER_NAMELESS;
	__u16 port = bpf_htons(port_and_protocol & 0xffff);
	struct bpf_sock *sk;
	__u32 size;

	if (!address)
		return WEIR_LISTENER_NONE;
	if (weir_address_is_v4(address)) {
		size = sizeof(tuple.ipv4);
		tuple.ipv4.saddr = address->word[3];
		tuple.ipv4.daddr = address->word[3];
		tuple.ipv4.dport = port;
	} else {
		size = sizeof(tuple.ipv6);
		__builtin_memcpy(tuple.ipv6.saddr, address, 16);
		__builtin_memcpy(tuple.ipv6.daddr, address, 16);
		tuple.ipv6.dport = port;
	}
	if (port_and_protocol >> 16 == WEIR_UDP)
		sk = bpf_sk_lookup_udp(ctx, &tuple, size, BPF_F_CURRENT_NETNS, 0);
	else
		sk = bpf_sk_lookup_tcp(ctx, &tuple, size, BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return WEIR_LISTENER_NONE;
	socket = bpf_sk_storage_get(&sockets, sk, NULL, 0);
	if (socket)
		workload = socket->birth_workload;
	bpf_sk_release(sk);
	return workload;
}

/* The storage of a socket, made at need. `birth_cgroup` 0 never is: a socket older than the attach
 * counts as born where it is first used. */
WEIR_INLINE struct weir_socket *weir_socket_of(struct bpf_sock_addr *ctx, struct bpf_sock *sk,
					       __u32 source)
{
	struct weir_socket *socket = bpf_sk_storage_get(&sockets, sk, NULL, 0);

	if (socket)
		return socket;
	weir_count(WEIR_COUNTER_NO_STORAGE);
	socket = bpf_sk_storage_get(&sockets, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (socket) {
		socket->birth_cgroup = bpf_get_current_cgroup_id();
		socket->birth_workload = source;
		socket->netns = bpf_get_netns_cookie(ctx);
	}
	return socket;
}

/* Remembers, for a UDP socket, which virtual address stands behind a peer. The socket says first that
 * there is something to look for. */
WEIR_PROVEN_ONCE int weir_remember_peer(struct bpf_sock_addr *ctx, const struct weir_address *peer,
					__u16 port, const struct weir_address *original,
					__u16 original_port)
{
	struct weir_reply_key key = {};
	struct weir_reply reply = {}, *old;

	if (!peer || !original)
		return 0;
	key.socket = bpf_get_socket_cookie(ctx);
	key.address = *peer;
	key.port = port;
	old = bpf_map_lookup_elem(&reply_peers, &key);
	if (old)
		reply = *old;
	reply.original = *original;
	reply.original_port = original_port;
	bpf_map_update_elem(&reply_peers, &key, &reply, BPF_ANY);
	return 0;
}

/* The identity, in the generation of a slot, of a workload that an entry of `reply_peers` names: of
 * one outside, which block of addresses, the generation says. */
WEIR_PROVEN_ONCE __u32 weir_identity_at(__u32 slot, __u32 workload, const struct weir_address *peer)
{
	struct weir_finding f = {};
	void *table;

	if (!peer)
		return WEIR_UNKNOWN;
	weir_look_in(&f.view, slot & 1);
	if (workload == WEIR_OUTSIDE) {
		weir_resolve(&f, peer);
		return f.destination == WEIR_OUTSIDE ? f.identity : WEIR_OUTSIDE;
	}
	table = WEIR_TABLE_OF(workloads, &f.view);
	return table ? weir_identity_of(table, workload) : WEIR_UNKNOWN;
}

/*
 * Whether the generation still allows one pair of an entry of `reply_peers`. A workload that it does
 * not declare any more is a stranger.
 */
WEIR_PROVEN_ONCE int weir_pair_may(__u32 slot, __u32 source, __u32 destination, __u16 port,
				   const struct weir_address *peer)
{
	struct weir_question question = {.port = port, .protocol = WEIR_UDP};
	struct weir_answer answer = {};
	struct weir_view view;

	if (!peer)
		return 0;
	weir_look_in(&view, slot & 1);
	if (!view.generation)
		return 0;
	if (source == destination && source >= WEIR_FIRST_WORKLOAD)
		return 1;
	if (view.generation->flags & WEIR_GENERATION_AUDIT)
		return 1;
	if (source == WEIR_HOST && !(view.generation->flags & WEIR_GENERATION_HOST_GOVERNED))
		return 1;
	question.source = weir_identity_at(view.slot, source, peer);
	question.destination = weir_identity_at(view.slot, destination, peer);
	weir_judge_in(view.slot, view.generation, &question, &answer);
	return answer.verdict == WEIR_ALLOW || answer.verdict == WEIR_AUDIT;
}

/*
 * What an earlier generation entitled a socket to, this one is asked for again, before it is worth
 * anything: so it ends with the swap and not with its lifetime. `own` is the socket's workload.
 */
WEIR_PROVEN_ONCE int weir_ask_again(struct weir_reply *peer, const struct weir_address *address,
				    __u32 own, __u32 slot, __u32 generation)
{
	if (!peer || !address || !generation)
		return 0;
	if (peer->received &&
	    !weir_pair_may(slot, peer->heard_from, own, peer->heard_port, address))
		peer->received = 0;
	if (peer->sent && !weir_pair_may(slot, own, peer->sent_to, peer->sent_port, address))
		peer->sent = 0;
	if (peer->sent && peer->sent_owner &&
	    !weir_pair_may(slot, own, peer->sent_owner, peer->sent_port, address))
		peer->sent = 0;
	peer->generation = generation;
	return 0;
}

/* The same before a socket that has been written to sends a datagram, or connects. */
WEIR_PROVEN_ONCE int weir_refresh_reply(struct bpf_sock_addr *ctx,
					const struct weir_request *request, __u32 source,
					__u32 slot, __u32 generation)
{
	struct weir_reply_key key = {};
	struct weir_socket *socket;
	struct weir_reply *peer;
	struct bpf_sock *sk;

	if (!request || request->protocol != WEIR_UDP)
		return 0;
	sk = ctx->sk;
	socket = sk ? bpf_sk_storage_get(&sockets, sk, NULL, 0) : NULL;
	if (!socket || !(socket->flags & WEIR_SOCKET_HEARD))
		return 0;
	key.socket = bpf_get_socket_cookie(ctx);
	key.address = request->address;
	key.port = request->port;
	peer = bpf_map_lookup_elem(&reply_peers, &key);
	if (peer && peer->generation != generation)
		weir_ask_again(peer, &key.address, source, slot, generation);
	return 0;
}

/* Remembers to whom a UDP socket sent by leave of a verdict: the answer comes in without one. What
 * `note` says of it is whom it was sent to, and by which generation. */
WEIR_PROVEN_ONCE int weir_note_sent(struct bpf_sock_addr *ctx, const struct weir_request *request,
				    const struct weir_reply *note, int steered)
{
	struct weir_reply_key key = {};
	struct weir_reply reply, *peer;

	if (!request || !note || !note->generation ||
	    (ctx->sk && ctx->sk->state == WEIR_STATE_ESTABLISHED))
		return 0;
	key.socket = bpf_get_socket_cookie(ctx);
	key.address = steered ? request->steered : request->address;
	key.port = steered ? request->steered_port : request->port;
	peer = bpf_map_lookup_elem(&reply_peers, &key);
	if (!peer) {
		reply = *note; /* 6.1 takes no value from an argument's memory */
		reply.sent = bpf_ktime_get_ns();
		bpf_map_update_elem(&reply_peers, &key, &reply, BPF_ANY);
		return 0;
	}
	/* What came in under another generation was not asked for again: see above. */
	if (peer->generation != note->generation)
		peer->received = 0;
	peer->generation = note->generation;
	peer->sent_to = note->sent_to;
	peer->sent_owner = note->sent_owner;
	peer->sent_port = note->sent_port;
	peer->sent = bpf_ktime_get_ns();
	return 0;
}

/* The same of what was found out; a function of its own for the sake of the stack. */
WEIR_FUNCTION int weir_note(struct bpf_sock_addr *ctx, const struct weir_finding *f,
			    const struct weir_request *request)
{
	struct weir_reply note = {};

	if (!f || !request)
		return 0;
	note.generation = f->view.generation ? f->view.generation->number : 0;
	note.sent_to = f->destination;
	note.sent_owner = f->owner;
	note.sent_port = f->port;
	return weir_note_sent(ctx, request, &note, f->steered);
}

/*
 * Writes down what was decided. A connected socket belongs to its connection; an unconnected one to
 * the last virtual address it sent to, and the one before moves to `reply_peers`.
 */
WEIR_FUNCTION int weir_record(struct bpf_sock_addr *ctx, struct weir_socket *socket,
			      const struct weir_finding *f, const struct weir_request *request)
{
	__u8 flags = WEIR_SOCKET_JUDGED, verdict = WEIR_ALLOW;
	struct weir_pair *pair;
	_Bool same;

	if (!socket || !f || !request)
		return 0;
	if (request->hook == WEIR_HOOK_SENDMSG) {
		if (ctx->sk && ctx->sk->state == WEIR_STATE_ESTABLISHED) {
			socket->no_other = 0;
			if (f->steered)
				weir_remember_peer(ctx, &request->steered, request->steered_port,
						   &request->address, request->port);
			return 0;
		}
		if (socket->flags & WEIR_SOCKET_STEERED) {
			socket->no_other = 0;
			if (f->steered &&
			    !(weir_address_equal(&socket->steered, &request->steered) &&
			      socket->steered_port == request->steered_port))
				weir_remember_peer(ctx, &socket->steered, socket->steered_port,
						   &socket->original, socket->original_port);
			flags |= WEIR_SOCKET_STEERED;
		}
	}
	if (f->steered) {
		flags |= WEIR_SOCKET_STEERED;
		socket->original = request->address;
		socket->original_port = request->port;
		socket->steered = request->steered;
		socket->steered_port = request->steered_port;
	}
	if (f->audited)
		verdict = WEIR_AUDIT;
	if (f->inspect) {
		flags |= WEIR_SOCKET_HANDOVER;
		verdict = WEIR_INSPECT;
	} else if (f->ejects) {
		flags |= WEIR_SOCKET_EJECTS;
	}
	if (f->near)
		flags |= WEIR_SOCKET_NEAR;
	if ((!f->governed && !f->steered) || f->source == WEIR_CANARY_ALLOWED)
		flags &= ~WEIR_SOCKET_JUDGED;
	same = request->hook == WEIR_HOOK_SENDMSG && (socket->flags & WEIR_SOCKET_JUDGED) &&
	       socket->source == f->source && socket->destination == f->destination &&
	       socket->port == f->port && socket->verdict == verdict;
	socket->flags = flags | (socket->flags & WEIR_SOCKET_HEARD);
	socket->verdict = verdict;
	socket->source = f->source;
	socket->destination = f->destination;
	socket->port = f->port;
	socket->protocol = request->protocol;
	/* TCP is counted when it is established; a datagram socket when it turns to a peer. */
	if (request->protocol != WEIR_TCP && (flags & WEIR_SOCKET_JUDGED) && !same) {
		pair = weir_pair_of(socket);
		if (pair)
			weir_add(&pair->opened, 1);
	}
	return 0;
}

/* Is it the address of a workload on another node, or in another network namespace of this one? */
WEIR_PROVEN_ONCE int weir_is_elsewhere(const struct weir_address *address, __u32 slot, __u64 own)
{
	struct weir_view view = {.slot = slot};
	__u64 other;
	struct weir_endpoint *endpoint;
	struct weir_address key;
	void *table;

	if (!address)
		return 0;
	key = *address; /* as in weir_resolve() */
	table = WEIR_TABLE_OF(endpoints, &view);
	endpoint = table ? bpf_map_lookup_elem(table, &key) : NULL;
	if (!endpoint)
		return 0;
	if (endpoint->flags & WEIR_ENDPOINT_REMOTE)
		return 1;
	other = weir_other_namespace(&key, own);
	return other && other != WEIR_SEVERAL_NAMESPACES;
}

/* Whom an address and port mean to a socket. */
struct weir_meaning {
	__u32 destination;    /* workload */
	__u32 owner;          /* who owns the port in this network namespace; or 0 */
	__u16 identity;       /* of the destination */
	__u16 owner_identity; /* of the owner */
	__u32 remote;         /* the address is positively none of this node's */
};

/*
 * What it means in a network namespace of its own where nobody wrote it down: on loopback who
 * listens there, and if nobody does the source itself, for then the kernel refuses. At an address of
 * another namespace of this node it means who owns the port there: seen from a pod, what is loopback
 * to the node.
 */
WEIR_PROVEN_ONCE __u32 weir_whose_apart(struct bpf_sock_addr *ctx,
					const struct weir_address *address, __u32 slot,
					__u32 port_and_protocol, __u32 source)
{
	struct weir_view view = {.slot = slot};
	struct weir_port_key key = {};
	struct weir_port *owner;
	int workload;
	void *table;

	if (!address)
		return 0;
	if (weir_address_is_loopback(address)) {
		workload = weir_listening(ctx, address, port_and_protocol);
		return workload > 0 ? workload : source;
	}
	key.netns = weir_other_namespace(address, bpf_get_netns_cookie(ctx));
	if (!key.netns)
		return 0;
	key.port = port_and_protocol;
	key.protocol = port_and_protocol >> 16;
	table = WEIR_TABLE_OF(ports, &view);
	owner = table ? bpf_map_lookup_elem(table, &key) : NULL;
	return owner ? owner->workload : 0;
}

/*
 * Fills in `meaning`, in which `destination` is the source; of a backend only who owns the port.
 * Proven once, and its answer in memory, so that the verifier walks what follows once for all cases.
 */
WEIR_PROVEN_ONCE int weir_means(struct bpf_sock_addr *ctx, const struct weir_address *address,
				__u32 slot_and_flags, __u32 port_and_protocol,
				struct weir_meaning *meaning)
{
	struct weir_finding f = {};
	struct weir_port *owner;
	__u32 source, workload;
	void *table;

	if (!address || !meaning)
		return 0;
	weir_look_in(&f.view, slot_and_flags & 1);
	source = meaning->destination;
	f.destination = WEIR_HOST;
	f.identity = WEIR_HOST;
	owner = weir_owner_of(ctx, &f.view, port_and_protocol >> 16, port_and_protocol);
	if (owner) {
		meaning->owner = owner->workload;
		meaning->owner_identity = owner->identity;
		f.destination = owner->workload;
		f.identity = owner->identity;
	}
	if (!(slot_and_flags & WEIR_MEANING_DIRECT))
		return 0;
	if (!weir_address_is_loopback(address))
		meaning->remote = weir_resolve(&f, address);
	if ((slot_and_flags & WEIR_MEANING_APART) &&
	    (f.destination == WEIR_HOST || f.destination == WEIR_OUTSIDE)) {
		workload = weir_whose_apart(ctx, address, f.view.slot, port_and_protocol, source);
		table = workload ? WEIR_TABLE_OF(workloads, &f.view) : NULL;
		if (workload) {
			f.destination = workload;
			f.identity = table ? weir_identity_of(table, workload) : WEIR_UNKNOWN;
		}
	}
	meaning->destination = f.destination;
	meaning->identity = f.identity;
	return 0;
}

/* Judges the destination, and whoever owns the port on this node if the address may mean it. */
WEIR_FUNCTION int weir_may_reach(struct bpf_sock_addr *ctx, struct weir_finding *f,
				 const struct weir_request *request, int direct)
{
	struct weir_meaning meaning = {};
	const struct weir_address *address;
	__u32 flags;

	if (!f || !request)
		return 0;
	address = direct ? &request->address : &request->steered;
	flags = (f->view.slot & 1) | f->apart;
	if (direct)
		flags |= WEIR_MEANING_DIRECT;
	meaning.destination = f->source;
	weir_means(ctx, address, flags, f->port | (__u32)request->protocol << 16, &meaning);
	if (direct) {
		f->destination = meaning.destination;
		f->identity = meaning.identity;
	}
	if (!weir_may(ctx, f, request, f->destination, f->identity))
		return 0;
	if (meaning.remote || !meaning.owner || meaning.owner == f->destination ||
	    meaning.owner == f->source)
		return 1;
	f->owner = meaning.owner;
	/* A backend's address was written as that workload's; only one known to be elsewhere cannot
	 * reach the owner of the port here. */
	if (!weir_address_is_loopback(address) &&
	    weir_is_elsewhere(address, f->view.slot, bpf_get_netns_cookie(ctx)))
		return 1;
	return weir_may(ctx, f, request, meaning.owner, meaning.owner_identity);
}

enum weir_proxy {
	WEIR_PROXY_GONE,    /* nobody listens */
	WEIR_PROXY_LISTENS, /* or somebody of whom it is not known, from before the attach */
	WEIR_PROXY_USURPED, /* somebody else would answer in its place */
};

/* Who listens at the proxy's port, in the namespace of who asks: enum weir_proxy. */
WEIR_PROVEN_ONCE int weir_proxy_here(struct bpf_sock_addr *ctx, __u16 port, __u8 v4)
{
	struct weir_address loopback = {};
	int listener;

	if (v4)
		weir_address_from_v4(&loopback, WEIR_V4_LOOPBACK);
	else
		loopback.word[3] = bpf_htonl(1);
	listener = weir_listening(ctx, &loopback, port | WEIR_TCP << 16);
	if (listener == WEIR_LISTENER_NONE)
		return WEIR_PROXY_GONE;
	return listener == WEIR_PROXY || listener == WEIR_LISTENER_NAMELESS ? WEIR_PROXY_LISTENS
									    : WEIR_PROXY_USURPED;
}

/* Its answer is a number of which the verifier knows nothing, so it walks what follows once. */
WEIR_PROVEN_ONCE int weir_here_apart(struct bpf_sock_addr *ctx,
				     const struct weir_generation *generation)
{
	return generation && weir_is_apart(generation, bpf_get_netns_cookie(ctx))
		       ? WEIR_MEANING_APART
		       : 0;
}

/*
 * Sets the address by which a backend is reached. False: there is no way to it, or no backend. The
 * socket may know no other family than the one the application speaks. Loopback is in a namespace
 * of its own not the node's; what listens there on the node is reached by the node's address.
 */
WEIR_PROVEN_ONCE int weir_lead_to(const struct weir_backend *backend,
				  const struct weir_generation *generation,
				  struct weir_request *request, __u32 apart)
{
	_Bool v4;

	if (!backend || !generation || !request)
		return 0;
	request->steered = backend->address;
	request->steered_port = backend->port;
	v4 = weir_address_is_v4(&backend->address);
	if (v4 ? request->hook == WEIR_HOOK_SENDMSG && !request->v4 : request->v4)
		return 0;
	if (apart && weir_address_is_loopback(&backend->address)) {
		request->steered = v4 ? generation->node4 : generation->node6;
		if (request->steered.word[3] == 0)
			return 0;
	}
	return 1;
}

/*
 * A datagram that goes where the one before went, from the same socket in the cgroup it was made in,
 * under the same generation and within a quarter of a second, goes the same way without asking: most do, and a
 * decision costs more than sending. Only over IPv4, whose address is read in one piece with the
 * generation that allowed it: two threads that send side by side must never be told of half a
 * destination each. A way; WEIR_WAY_REFUSED: ask.
 */
WEIR_PROVEN_ONCE int weir_same_again(struct bpf_sock_addr *ctx, struct weir_request *request)
{
	struct weir_socket *socket;
	struct bpf_sock *sk = ctx->sk;
	struct weir_view view;
	__u64 asked, led;

	if (!request || !sk || request->protocol != WEIR_UDP ||
	    !weir_address_is_v4(&request->address))
		return WEIR_WAY_REFUSED;
	socket = bpf_sk_storage_get(&sockets, sk, NULL, 0);
	if (!socket || !socket->noted)
		return WEIR_WAY_REFUSED;
	asked = *(volatile __u64 *)&socket->asked;
	led = *(volatile __u64 *)&socket->led;
	weir_look(&view);
	if (!view.generation ||
	    asked != weir_said(&request->address, request->port, view.generation->number) ||
	    ((asked ^ led) & WEIR_SAID_GENERATION) ||
	    bpf_ktime_get_coarse_ns() - socket->noted > WEIR_SAID_NS ||
	    bpf_get_current_cgroup_id() != socket->birth_cgroup)
		return WEIR_WAY_REFUSED;
	weir_count(WEIR_COUNTER_CONNECTS);
	if (asked == led)
		return WEIR_WAY_STRAIGHT;
	weir_address_from_v4(&request->steered, led >> 32);
	request->steered_port = led >> 16;
	return WEIR_WAY_STEERED;
}

/* Says so to the next one, where nothing is to be counted or reported of each datagram. */
WEIR_INLINE void weir_say(struct weir_socket *socket, const struct weir_finding *f,
			  const struct weir_request *request)
{
	const struct weir_address *led = f->steered ? &request->steered : &request->address;
	__u16 port = f->steered ? request->steered_port : request->port;

	if (!socket || f->audited || !f->view.generation ||
	    !weir_address_is_v4(&request->address) || !weir_address_is_v4(led))
		return;
	socket->asked = weir_said(&request->address, request->port, f->view.generation->number);
	socket->led = weir_said(led, port, f->view.generation->number);
	socket->noted = bpf_ktime_get_coarse_ns();
}

WEIR_PROVEN_ONCE int weir_decide(struct bpf_sock_addr *ctx, struct weir_request *request)
{
	struct weir_finding f = {};
	struct weir_generation *generation;
	struct weir_service *service;
	struct weir_backend *backend;
	struct weir_socket *socket;
	struct bpf_sock *sk = ctx->sk;
	__u8 reason;
	void *table;

	if (!request)
		return WEIR_WAY_REFUSED;
	weir_count(WEIR_COUNTER_CONNECTS);
	weir_look(&f.view);
	f.source = weir_current_workload(f.view.slot);
	f.port = request->port;
	f.governed = f.source != WEIR_HOST;
	generation = f.view.generation;
	if (!generation) {
		weir_count(WEIR_COUNTER_NO_GENERATION);
		/* Half a state must not lock anybody out of his own node, nor open a workload. */
		if (!f.governed)
			return WEIR_WAY_STRAIGHT;
		weir_refuse(&f, request, 0, WEIR_REASON_NO_GENERATION);
		return WEIR_WAY_REFUSED;
	}
	if (generation->flags & WEIR_GENERATION_HOST_GOVERNED)
		f.governed = 1;
	table = WEIR_TABLE_OF(workloads, &f.view);
	if (!table || !sk) {
		if (!f.governed)
			return WEIR_WAY_STRAIGHT;
		weir_refuse(&f, request, 0, WEIR_REASON_NO_GENERATION);
		return WEIR_WAY_REFUSED;
	}
	f.source_identity = weir_identity_of(table, f.source);
	f.apart = weir_here_apart(ctx, generation);

	socket = weir_socket_of(ctx, sk, f.source);
	if (socket && !weir_birth_allows(table, socket, bpf_get_current_cgroup_id(), f.source)) {
		if (!weir_refuse(&f, request, 0, WEIR_REASON_BIRTH))
			return WEIR_WAY_REFUSED;
		f.audited = 1;
	}
	weir_refresh_reply(ctx, request, f.source, f.view.slot, generation->number);
	if (request->protocol == WEIR_PROTOCOL_NONE) {
		if (f.governed && !weir_refuse(&f, request, 0, WEIR_REASON_PROTOCOL))
			return WEIR_WAY_REFUSED;
		return WEIR_WAY_STRAIGHT;
	}

	/* Of a ping socket, and who has one by leave of Mesh may go anywhere with it. */
	if (request->protocol == WEIR_PROTOCOL_ANY &&
	    (generation->flags & WEIR_GENERATION_ICMP_ALLOW))
		return WEIR_WAY_STRAIGHT;
	service = weir_service_at(&f.view, request);
	if (!service) {
		if (f.governed && !weir_may_reach(ctx, &f, request, 1))
			return WEIR_WAY_REFUSED;
	} else if ((service->flags & WEIR_SERVICE_PROXY) &&
		   !((service->flags & WEIR_SERVICE_BYPASS) &&
		     weir_proxy_here(ctx, generation->proxy_port,
				     weir_address_is_v4(&request->address)) == WEIR_PROXY_GONE)) {
		f.destination = service->workload;
		f.identity = service->identity;
		if (f.governed && !weir_may(ctx, &f, request, f.destination, f.identity))
			return WEIR_WAY_REFUSED;
		if (f.source != WEIR_PROXY)
			f.inspect = 1;
	} else {
		f.destination = service->workload;
		backend = weir_choose(ctx, &f, service, request);
		if (!weir_lead_to(backend, generation, request, f.apart) || !backend) {
			weir_refuse(&f, request, 0, WEIR_REASON_NO_BACKEND);
			return WEIR_WAY_REFUSED;
		}
		f.destination = backend->workload;
		f.identity = backend->identity;
		f.port = backend->port;
		f.steered = 1;
		f.ejects = service->ejection_failures && request->protocol == WEIR_TCP;
		WEIR_LOOK_AGAIN(&f.view);
		if (f.governed && !weir_may_reach(ctx, &f, request, 0))
			return WEIR_WAY_REFUSED;
		if (f.keeps && (service->flags & WEIR_SERVICE_AFFINITY) && !f.inspect)
			weir_keep_to(f.view.slot, service, f.source,
				     weir_affinity_of(request->port, request->protocol,
						      weir_address_is_v4(&request->address)),
				     f.keeps - 1);
	}

	if (f.inspect) {
		/* Without a port to lead to, or without room to say where it wanted to go, there is
		 * no way to the proxy; and past it there must be none. */
		reason = 0;
		if (generation->proxy_port == 0 || request->protocol != WEIR_TCP || !socket)
			reason = WEIR_REASON_NO_BACKEND;
		/* Whoever else listens there would answer in the proxy's place. */
		else if (weir_proxy_here(ctx, generation->proxy_port,
					 weir_address_is_v4(&request->address)) !=
			 WEIR_PROXY_LISTENS)
			reason = WEIR_REASON_NO_PROXY;
		if (reason) {
			weir_refuse(&f, request, 0, reason);
			return WEIR_WAY_REFUSED;
		}
		weir_proxy_address(&request->steered, &request->address);
		request->steered_port = generation->proxy_port;
		f.steered = 1;
	}
	/* An answer makes no association of its own; nor does a server that connects to who asked, and
	 * what its socket was judged for before is past. */
	if (f.reply && !f.steered) {
		if (socket && request->hook == WEIR_HOOK_CONNECT) {
			socket->flags &= WEIR_SOCKET_HEARD;
			socket->noted = 0;
		} else if (sk->state != WEIR_STATE_ESTABLISHED) {
			weir_say(socket, &f, request);
		}
		return WEIR_WAY_STRAIGHT;
	}
	if (f.governed && request->protocol == WEIR_TCP &&
	    ((generation->flags & WEIR_GENERATION_LIMITS) ||
	     (service && (service->flags & WEIR_SERVICE_LIMITED))) &&
	    !weir_within_limits(&f, request, service))
		return WEIR_WAY_REFUSED;
	if (request->protocol == WEIR_TCP && !f.inspect)
		f.near = weir_is_near(f.steered ? &request->steered : &request->address,
				      f.view.slot, bpf_get_netns_cookie(ctx), f.apart);
	weir_record(ctx, socket, &f, request);
	if (request->hook == WEIR_HOOK_SENDMSG && request->protocol == WEIR_UDP) {
		if (f.governed && !f.reply)
			weir_note(ctx, &f, request);
		if (!f.reply && sk->state != WEIR_STATE_ESTABLISHED)
			weir_say(socket, &f, request);
	} else if (socket) {
		socket->noted = 0; /* it has turned to another peer */
	}
	return f.steered ? WEIR_WAY_STEERED : WEIR_WAY_STRAIGHT;
}

WEIR_INLINE int weir_way(struct bpf_sock_addr *ctx, struct weir_request *request)
{
	int way = WEIR_WAY_REFUSED;

	if (request->hook == WEIR_HOOK_SENDMSG)
		way = weir_same_again(ctx, request);
	return way == WEIR_WAY_REFUSED ? weir_decide(ctx, request) : way;
}

WEIR_INLINE int weir_ask_v4(struct bpf_sock_addr *ctx, __u8 hook)
{
	struct weir_request request = {
		.port = bpf_ntohs(WEIR_CONTEXT_U32(ctx, user_port)),
		.protocol = weir_protocol_of(ctx->protocol),
		.hook = hook,
		.v4 = 1,
	};

	weir_address_from_v4(&request.address, WEIR_CONTEXT_U32(ctx, user_ip4));
	switch (weir_way(ctx, &request)) {
	case WEIR_WAY_STRAIGHT:
		return 1;
	case WEIR_WAY_STEERED:
		ctx->user_ip4 = request.steered.word[3];
		ctx->user_port = bpf_htons(request.steered_port);
		return 1;
	default:
		return 0;
	}
}

WEIR_INLINE int weir_ask_v6(struct bpf_sock_addr *ctx, __u8 hook)
{
	struct weir_request request = {
		.port = bpf_ntohs(WEIR_CONTEXT_U32(ctx, user_port)),
		.protocol = weir_protocol_of(ctx->protocol),
		.hook = hook,
	};

	weir_address_from_v6(&request.address, WEIR_CONTEXT_U32(ctx, user_ip6[0]),
			     WEIR_CONTEXT_U32(ctx, user_ip6[1]), WEIR_CONTEXT_U32(ctx, user_ip6[2]),
			     WEIR_CONTEXT_U32(ctx, user_ip6[3]));
	switch (weir_way(ctx, &request)) {
	case WEIR_WAY_STRAIGHT:
		return 1;
	case WEIR_WAY_STEERED:
		ctx->user_ip6[0] = request.steered.word[0];
		ctx->user_ip6[1] = request.steered.word[1];
		ctx->user_ip6[2] = request.steered.word[2];
		ctx->user_ip6[3] = request.steered.word[3];
		ctx->user_port = bpf_htons(request.steered_port);
		return 1;
	default:
		return 0;
	}
}

SEC("cgroup/connect4")
int weir_connect4(struct bpf_sock_addr *ctx)
{
	return weir_ask_v4(ctx, WEIR_HOOK_CONNECT);
}

SEC("cgroup/connect6")
int weir_connect6(struct bpf_sock_addr *ctx)
{
	return weir_ask_v6(ctx, WEIR_HOOK_CONNECT);
}

/* user_family may be AF_UNSPEC here, and the socket's family 10: only the hook says IPv4. */
SEC("cgroup/sendmsg4")
int weir_sendmsg4(struct bpf_sock_addr *ctx)
{
	return weir_ask_v4(ctx, WEIR_HOOK_SENDMSG);
}

SEC("cgroup/sendmsg6")
int weir_sendmsg6(struct bpf_sock_addr *ctx)
{
	return weir_ask_v6(ctx, WEIR_HOOK_SENDMSG);
}

/*
 * The sender of a datagram that is read, if we had steered to it, is told as the virtual address
 * the application knows. True: `original` says so.
 */
WEIR_PROVEN_ONCE int weir_received(struct bpf_sock_addr *ctx, const struct weir_address *sender,
				   __u16 port, struct weir_address *original, __u16 *original_port)
{
	struct bpf_sock *sk = ctx->sk;
	struct weir_reply_key key = {};
	struct weir_socket *socket;
	struct weir_reply *peer;

	if (!sk || !sender || !original || !original_port)
		return 0;
	socket = bpf_sk_storage_get(&sockets, sk, NULL, 0);
	if (!socket)
		return 0;
	if ((socket->flags & WEIR_SOCKET_STEERED) && socket->steered_port == port &&
	    weir_address_equal(&socket->steered, sender)) {
		*original = socket->original;
		*original_port = socket->original_port;
		return 1;
	}
	if (socket->no_other)
		return 0;
	key.socket = bpf_get_socket_cookie(ctx);
	key.address = *sender;
	key.port = port;
	peer = bpf_map_lookup_elem(&reply_peers, &key);
	if (!peer || peer->original_port == 0)
		return 0;
	*original = peer->original;
	*original_port = peer->original_port;
	return 1;
}

SEC("cgroup/recvmsg4")
int weir_recvmsg4(struct bpf_sock_addr *ctx)
{
	struct weir_address sender, original = {};
	__u16 port = bpf_ntohs(WEIR_CONTEXT_U32(ctx, user_port)), original_port = 0;

	weir_address_from_v4(&sender, WEIR_CONTEXT_U32(ctx, user_ip4));
	if (weir_received(ctx, &sender, port, &original, &original_port) &&
	    weir_address_is_v4(&original)) {
		ctx->user_ip4 = original.word[3];
		ctx->user_port = bpf_htons(original_port);
	}
	return 1;
}

SEC("cgroup/recvmsg6")
int weir_recvmsg6(struct bpf_sock_addr *ctx)
{
	struct weir_address sender, original = {};
	__u16 port = bpf_ntohs(WEIR_CONTEXT_U32(ctx, user_port)), original_port = 0;

	weir_address_from_v6(&sender, WEIR_CONTEXT_U32(ctx, user_ip6[0]),
			     WEIR_CONTEXT_U32(ctx, user_ip6[1]), WEIR_CONTEXT_U32(ctx, user_ip6[2]),
			     WEIR_CONTEXT_U32(ctx, user_ip6[3]));
	if (weir_received(ctx, &sender, port, &original, &original_port)) {
		ctx->user_ip6[0] = original.word[0];
		ctx->user_ip6[1] = original.word[1];
		ctx->user_ip6[2] = original.word[2];
		ctx->user_ip6[3] = original.word[3];
		ctx->user_port = bpf_htons(original_port);
	}
	return 1;
}

/* The peer of a steered socket is the address it asked for. */
WEIR_FUNCTION struct weir_socket *weir_steered_peer(struct bpf_sock_addr *ctx,
						    const struct weir_address *peer, __u16 port)
{
	struct bpf_sock *sk = ctx->sk;
	struct weir_socket *socket;

	if (!sk || !peer)
		return NULL;
	socket = bpf_sk_storage_get(&sockets, sk, NULL, 0);
	if (!socket || !(socket->flags & WEIR_SOCKET_STEERED) || socket->steered_port != port ||
	    !weir_address_equal(&socket->steered, peer))
		return NULL;
	return socket;
}

SEC("cgroup/getpeername4")
int weir_getpeername4(struct bpf_sock_addr *ctx)
{
	struct weir_address peer;
	struct weir_socket *socket;

	weir_address_from_v4(&peer, WEIR_CONTEXT_U32(ctx, user_ip4));
	socket = weir_steered_peer(ctx, &peer, bpf_ntohs(WEIR_CONTEXT_U32(ctx, user_port)));
	if (socket) {
		ctx->user_ip4 = socket->original.word[3];
		ctx->user_port = bpf_htons(socket->original_port);
	}
	return 1;
}

SEC("cgroup/getpeername6")
int weir_getpeername6(struct bpf_sock_addr *ctx)
{
	struct weir_address peer;
	struct weir_socket *socket;

	weir_address_from_v6(&peer, WEIR_CONTEXT_U32(ctx, user_ip6[0]),
			     WEIR_CONTEXT_U32(ctx, user_ip6[1]), WEIR_CONTEXT_U32(ctx, user_ip6[2]),
			     WEIR_CONTEXT_U32(ctx, user_ip6[3]));
	socket = weir_steered_peer(ctx, &peer, bpf_ntohs(WEIR_CONTEXT_U32(ctx, user_port)));
	if (socket) {
		ctx->user_ip6[0] = socket->original.word[0];
		ctx->user_ip6[1] = socket->original.word[1];
		ctx->user_ip6[2] = socket->original.word[2];
		ctx->user_ip6[3] = socket->original.word[3];
		ctx->user_port = bpf_htons(socket->original_port);
	}
	return 1;
}
