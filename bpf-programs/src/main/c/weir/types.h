/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Every structure that the kernel programs and user space both read.
 *
 * Declared here and nowhere else: Java learns names, offsets and sizes from
 * the BTF of the compiled objects at start-up and refuses to run when a field
 * it needs is missing or has another width. Ports are in host byte order,
 * addresses are bytes in network order, times are nanoseconds of CLOCK_BOOTTIME
 * unless a name says otherwise.
 *
 * Numbers a workload carries:
 *   workload  u32, stable for as long as the pins live (registry in the run
 *             directory); what outlives a decision stores this one. Services
 *             that lead to the proxy have a number from the same registry.
 *   identity  14 bits, of one generation; derived anew from the workload
 *             within the generation a decision reads.
 *   rule      16 bits, of one generation; `rules` turns it into the stable
 *             number that counters carry.
 */
#ifndef WEIR_TYPES_H
#define WEIR_TYPES_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#include <linux/bpf.h>
#endif

/*
 * Growing: a mesh that runs is taken over by a later version if every field it knows is still where
 * it was (docs/protocols.md). So a field to come goes to the end of a value or into padding, which is
 * zero in what was written before; keys, and values that programs of both versions use at once
 * (`sockets` and others), grow only into padding. A build that does so, for the test of it:
 */
#ifdef WEIR_TEST_GROWN
#define WEIR_GROWN(field)               __u64 field;
#define WEIR_GROWN_INTO(padding, field) __u64 field;
#define WEIR_ROOM(n)                    (4 * (n))
#else
#define WEIR_GROWN(field)
#define WEIR_GROWN_INTO(padding, field) __u64 padding;
#define WEIR_ROOM(n)                    (n)
#endif

/* Reserved workloads, and the identities of the same number. */
enum weir_reserved {
	WEIR_ANY = 0,     /* rows only: any peer */
	WEIR_UNKNOWN = 1, /* in a governed part of the node, declared by nobody */
	WEIR_HOST = 2,    /* this node, governed by nobody */
	WEIR_OUTSIDE = 3, /* an address of no workload */
	WEIR_PROXY = 4,   /* our own proxy */
	/* Of the agent's audits: one that may reach the host, and one that may reach nobody. */
	WEIR_CANARY_ALLOWED = 5,
	WEIR_CANARY_REFUSED = 6,
	WEIR_FIRST_IDENTITY = 8,
	WEIR_FIRST_WORKLOAD = 16,
};

enum weir_protocol { WEIR_PROTOCOL_ANY = 0, WEIR_TCP = 1, WEIR_UDP = 2, WEIR_SCTP = 3 };

enum weir_verdict {
	WEIR_REFUSE = 0,
	WEIR_ALLOW = 1,
	WEIR_AUDIT = 2,   /* allowed, and reported as what would have been refused */
	WEIR_INSPECT = 3, /* allowed as far as the proxy */
};

/* Why a connection was refused; also the order of the words in user space. */
enum weir_reason {
	WEIR_REASON_NONE = 0,
	WEIR_REASON_POLICY,        /* a rule says refuse */
	WEIR_REASON_DEFAULT_DENY,  /* isolated, and no rule allows it */
	WEIR_REASON_BIRTH,         /* the socket was made by another workload */
	WEIR_REASON_NO_BACKEND,    /* the service has no ready backend */
	WEIR_REASON_PORT_OWNED,    /* a port declared by another workload: bound, or held before */
	WEIR_REASON_NO_GENERATION, /* no generation is readable: fail closed */
	WEIR_REASON_PROTOCOL,      /* a protocol that cannot be governed */
	WEIR_REASON_RATE_LIMIT,    /* allowed, but more than a TrafficPolicy lets through */
	WEIR_REASON_NO_PROXY,      /* no proxy listens in this network namespace */
	WEIR_REASON_MAX,
};

enum weir_generation_flags {
	WEIR_GENERATION_DEFAULT_DENY = 1 << 0,  /* Mesh: isolate every workload */
	WEIR_GENERATION_HOST_GOVERNED = 1 << 1, /* Mesh: judge WEIR_HOST like anybody */
	WEIR_GENERATION_AUDIT = 1 << 2,         /* Mesh: whole node refuses nothing, reports all */
	WEIR_GENERATION_CIDRS = 1 << 3,         /* `cidrs` is not empty */
	WEIR_GENERATION_PORT_CLASSES = 1 << 4,  /* `port_classes` is in use */
	WEIR_GENERATION_EPERM = 1 << 5,         /* refuse with EPERM instead of ECONNREFUSED */
	WEIR_GENERATION_LIMITS = 1 << 6,        /* `limits` names workloads */
	WEIR_GENERATION_ICMP_ALLOW = 1 << 7,    /* Mesh: whoever wants may ping */
	WEIR_GENERATION_ICMP_REFUSE = 1 << 8,   /* Mesh: nobody may */
	WEIR_GENERATION_PROXY = 1 << 9,         /* something leads to the proxy */
};

enum weir_identity_flags {
	WEIR_INGRESS_ISOLATED = 1 << 0, /* only what a row allows may reach it */
	WEIR_EGRESS_ISOLATED = 1 << 1,  /* it may reach only what a row allows */
	/* Isolated by policies in audit alone: what no row allows is made, and reported. */
	WEIR_INGRESS_AUDIT = 1 << 2,
	WEIR_EGRESS_AUDIT = 1 << 3,
	WEIR_STRICT_PORTS = 1 << 4, /* `strict_ports` knows ports that differ from `strict_rule` */
};

enum weir_workload_flags {
	/* Its sockets may be used by others: no birth check. */
	WEIR_WORKLOAD_HANDS_OUT_SOCKETS = 1 << 0,
	/* It has an address here, and with it a network namespace, of its own. */
	WEIR_WORKLOAD_HAS_ADDRESS = 1 << 1,
};

enum weir_service_flags {
	WEIR_SERVICE_PROXY = 1 << 0, /* leads to the proxy */
	/* sessionAffinity: ClientIP; for how many seconds is in two slots behind its roster */
	WEIR_SERVICE_AFFINITY = 1 << 1,
	WEIR_SERVICE_LIMITED = 1 << 2, /* `limits` names it */
	WEIR_SERVICE_BYPASS =
		1 << 3, /* with WEIR_SERVICE_PROXY: to its slots while nobody listens there */
};

/* How often: `limits` and `limit_states`, see limit.h. */
struct weir_limit_key {
	__u32 destination; /* workload number of a service or a workload */
	__u16 port;        /* virtual port of a service; 0 for a workload */
	__u8 protocol;     /* TCP: connections; UDP: packets */
	__u8 pad;
};

struct weir_limit {
	__u32 per_second; /* at least 1 */
	__u32 burst;      /* at most so many at once; at least 1 */
	__u16 rule;
	__u16 port; /* of the state: 0 if all ports of the service share one */
	__u8 each;  /* source workload by itself; 0: all together */
	__u8 pad[3];
};

struct weir_limit_state_key {
	__u32 source; /* workload; 0: all of them */
	__u32 destination;
	__u16 port;
	__u8 protocol;
	__u8 pad;
};

/* What has come and not drained yet, in billionths of one, at a time. Of no generation: another rate
 * drains what is there. */
struct weir_limit_state {
	struct bpf_spin_lock lock;
	__u32 pad;
	__u64 since; /* CLOCK_BOOTTIME ns */
	__u64 level;
};

/* One canonical form: IPv6, or IPv4 as ::ffff:a.b.c.d. */
struct weir_address {
	__u32 word[4]; /* network order */
};

/* `current`, one element, mapped by user space and stored with one 8-byte store.
 * bit 0: the slot in force; bits 1..63: 0, or the second of CLOCK_BOOTTIME from
 * which the other slot is in force again (apply --confirm-within). */
struct weir_current {
	__u64 word;
};

#define WEIR_SLOTS_OF_GENERATIONS 2

/* `cgroups`: cgroup id -> who lives there, in each slot of generations: so identities change with
 * the same store as everything else. 0: that generation does not declare it. */
struct weir_cgroup {
	__u32 workload[WEIR_SLOTS_OF_GENERATIONS];
};

#define WEIR_PATH_MAX 256
/* `paths`: path from the cgroup2 root, NUL-padded -> who lives there. */
struct weir_path {
	char path[WEIR_PATH_MAX];
};

/* `generations`: one element; read once per decision. */
struct weir_generation {
	__u64 number;
	__u64 verdict_seed;
	__u64 root;         /* id of the cgroup at which the programs are attached */
	__u32 verdict_mask; /* buckets - 1 */
	__u32 flags;
	__u32 pad;
	__u16 proxy_port; /* outbound capture, on 127.0.0.1 and ::1 */
	__u16 mesh_rule;  /* names Mesh where a verdict has no other rule */
	/* How other namespaces reach what listens in the node's own; all zero: by no address. */
	struct weir_address node4;
	struct weir_address node6;
	__u64 netns; /* cookie of the node's own network namespace; 0: there is but one */
	WEIR_GROWN(generation_grown)
};

/* `workloads`: index workload number. Identity 0: not in this generation -> WEIR_UNKNOWN. */
struct weir_workload {
	__u16 identity;
	__u16 flags;
	__u32 pad;
};

/* `identities`: index identity. */
struct weir_identity {
	__u16 flags;
	__u16 ingress_rule; /* the policy that isolates it */
	__u16 egress_rule;
	__u16 strict_rule; /* demands mutual TLS on its TCP ports of who comes over a wire; 0: none */
};

/* `strict_ports`: where that is otherwise, longest prefix. See strict.h. */
struct weir_strict_key {
	__u32 prefix_length; /* of `bits` */
	__u8 bits[4];        /* identity and port, both in network order */
};

struct weir_strict {
	__u16 rule; /* 0: nothing is demanded on these ports */
	__u16 pad;
};

/* `verdicts`: a row is one word, the exact key and the value together; 0 is empty.
 *   bits  0-13 source identity       14-27 destination identity
 *   bits 28-43 port or port class    44-45 protocol
 *   bits 46-47 verdict               48-63 rule
 * Two choices of bucket, eight rows each. See verdict.h for the order of look-ups. */
#define WEIR_BUCKET_ROWS 8
struct weir_verdict_bucket {
	__u64 row[WEIR_BUCKET_ROWS];
};

/* `services`: a virtual address. */
struct weir_service_key {
	struct weir_address address;
	__u16 port;
	__u8 protocol; /* enum weir_protocol */
	__u8 pad;
};

struct weir_service {
	__u32 workload; /* its number in the registry */
	__u32 first_slot;
	__u32 slots;    /* 0: no backend */
	__u16 identity; /* with WEIR_SERVICE_PROXY: destination of its verdict */
	__u16 flags;
	__u32 ejection_ms;       /* the n-th time n times as long */
	__u16 ejection_failures; /* in a row that eject a backend; 0: none is ever */
	__u8 ejected_percent;    /* of its backends at most */
	__u8 roster;             /* its backends, once each, in so many slots behind its own */
	WEIR_GROWN(service_grown)
};

#define WEIR_SLOTS_PER_CHUNK 32
/* `slots`: slot n is backend[n % 32] of chunk n / 32. An index into `backends`. */
struct weir_slots {
	__u16 backend[WEIR_SLOTS_PER_CHUNK];
};

struct weir_backend {
	struct weir_address address;
	__u32 workload;
	__u16 port;
	__u16 identity;
};

enum weir_endpoint_flags {
	WEIR_ENDPOINT_REMOTE = 1 << 0, /* on another node: no port of this one can be meant */
};

/* `endpoints`: an address that belongs to one workload. */
struct weir_endpoint {
	__u32 workload;
	__u16 identity;
	__u16 flags; /* enum weir_endpoint_flags */
};

/* `cidrs`: longest prefix of an outside address -> identity. */
struct weir_cidr_key {
	__u32 prefix_length; /* of the 128-bit canonical form */
	struct weir_address address;
};

struct weir_cidr {
	__u16 identity;
	__u16 pad;
};

/* With a workload's number in it, the place of a cookie in `ports`: the network namespace that is
 * its own, whichever that is by now (`homes`). No cookie is that large. */
#define WEIR_PORTS_APART (1ULL << 63)

/* `ports`: who alone may hold a port. */
struct weir_port_key {
	__u64 netns; /* cookie of the node's own, or WEIR_PORTS_APART */
	__u16 port;
	__u8 protocol;
	__u8 pad[5];
};

struct weir_port {
	__u32 workload;
	__u16 identity;
	__u16 pad;
};

/* `homes`: whose a network namespace is. */
struct weir_home {
	__u32 workload; /* 0: of several, and so of none */
	__u32 pad;
};

/* `addresses`: in place of a cookie, where several namespaces have the address and the node's own is
 * none of them. */
#define WEIR_SEVERAL_NAMESPACES ~0ULL

/* `port_classes`: port p is class[p % 32] of chunk p / 32: the lowest port that no rule tells apart from p. */
struct weir_port_classes {
	__u16 class[32];
};

/* `sockets`: socket-local storage; lives as long as the socket, so nothing of a generation in it
 * but its number for the log. */
struct weir_socket {
	__u64 birth_cgroup;
	__u64 netns;           /* cookie */
	__u64 connect_started; /* CLOCK_MONOTONIC ns */
	__u64 counted_until;   /* of its duration; CLOCK_MONOTONIC_COARSE ns, 0: not established */
	__u64 sent_bytes;      /* of these so many are in `pairs` already */
	__u64 received_bytes;
	struct weir_address original; /* as the application asked for it */
	struct weir_address steered;  /* where we led it: what an answer comes from */
	__u32 birth_workload;
	__u32 source;      /* workload, set when judged */
	__u32 destination; /* workload */
	__u16 original_port;
	__u16 steered_port;
	__u16 port; /* as judged */
	__u8 protocol;
	__u8 flags;    /* enum weir_socket_flags */
	__u8 verdict;  /* enum weir_verdict: as what it was let pass; WEIR_ACCEPTED as in `pairs` */
	__u8 no_other; /* `reply_peers` holds no `original` for it; 0: it may */
	__u8 usurps; /* holds a port of another workload's, and had it before: nothing comes to it */
	__u8 pad[1];
	WEIR_GROWN_INTO(pad2, socket_grown)
	__u64 retransmits; /* in `pairs` already */
	/* Of a datagram over IPv4 that was let pass: where to it was sent, and where it was led, each
	 * `enum weir_said`; a word each, so that nobody ever reads half of one. */
	__u64 asked;
	__u64 led;
	__u64 noted; /* when; CLOCK_MONOTONIC_COARSE ns */
	/* Of the datagram over IPv4 that was let in last and asked about: from where, `enum weir_said`,
	 * and when, as `noted`; in the lowest bit of that, whether it came by lo. */
	__u64 heard;
	__u64 heard_at;
};

/* Address in bits 32-63, as it is in a packet; port in bits 16-31; low bits of the number of the
 * generation that said so, which is asked again before they can come round. */
enum weir_said { WEIR_SAID_GENERATION = 0xffff };
#define WEIR_SAID_NS 250000000ULL /* less than any affinity lasts */

enum weir_socket_flags {
	WEIR_SOCKET_JUDGED = 1 << 0,   /* source, destination, port and protocol are set */
	WEIR_SOCKET_STEERED = 1 << 1,  /* destination rewritten: getpeername tells `original` */
	WEIR_SOCKET_HANDOVER = 1 << 2, /* leads to the proxy */
	/* Opened was counted, closed is owed; without WEIR_SOCKET_JUDGED it is one that came from
	 * elsewhere, and its verdict has WEIR_ACCEPTED. */
	WEIR_SOCKET_COUNTED = 1 << 3,
	WEIR_SOCKET_ACCEPTED = 1 << 4, /* proxy side: `original` and `source` came by hand-over */
	WEIR_SOCKET_EJECTS = 1 << 5,   /* whether `steered` answers counts for its ejection */
	WEIR_SOCKET_HEARD = 1 << 6,    /* a datagram was let in by a verdict: it may be answered */
	WEIR_SOCKET_NEAR = 1 << 7,     /* goes to a workload of this node, not by lo */
};

#define WEIR_EJECTION_MOST_MS 300000

/* `ejections`: a backend as one source has met it. */
struct weir_ejection_key {
	struct weir_address address;
	__u32 source; /* workload: what one meets never ejects for another */
	__u16 port;
	__u8 pad[2];
};

struct weir_ejection {
	__u64 until;    /* CLOCK_BOOTTIME ns; 0: never ejected */
	__u32 failures; /* in a row, since it answered or was ejected */
	__u32 times;    /* how often it was ejected without a long rest between */
	WEIR_GROWN(ejection_grown)
};

/* `affinities`: to which backend of a service a client keeps; of no generation. */
struct weir_affinity_key {
	__u32 source;  /* workload: what a client's address is in Kubernetes */
	__u32 service; /* workload number of the service */
	__u16 port;    /* virtual */
	__u8 protocol;
	__u8 v4; /* an address of a service leads to backends of its own family */
};

struct weir_affinity {
	struct weir_address address;
	__u64 used; /* CLOCK_BOOTTIME ns of the latest connection or datagram */
	__u32 slot; /* of the service, in which the backend was found last */
	__u16 port;
	__u8 pad[2];
	WEIR_GROWN(affinity_grown)
};

/* `handovers`: from the client's handshake to the accepted socket. Tuple as the client sees it. */
struct weir_handover_key {
	__u64 netns; /* of the listening side; 0: any, of what does not go to the proxy */
	struct weir_address client;
	struct weir_address proxy;
	__u16 client_port;
	__u16 proxy_port;
	__u32 pad;
};

/* What the proxy reads of an accepted connection: getsockopt(SOL_IP or SOL_IPV6, WEIR_SO_ORIGIN). */
#define WEIR_SO_ORIGIN 0x5745
struct weir_origin {
	struct weir_address address; /* original destination */
	__u64 cgroup;                /* of the source */
	__u32 source;                /* workload */
	__u32 destination;           /* workload number of the service or workload asked for */
	__u16 port;
	__u8 protocol;
	__u8 pad[5];
};

/* `pairs`: per-CPU counters of the connections of one pair, port and verdict. */
struct weir_pair_key {
	__u32 source;      /* workload */
	__u32 destination; /* workload */
	__u16 port;
	__u8 protocol;
	/* enum weir_verdict, never WEIR_REFUSE: that key, all zero, is the overflow row; and
	 * WEIR_ACCEPTED where not the source has counted but who accepted. */
	__u8 verdict;
};

/* Of a connection from elsewhere, whose source has no socket on this node. */
#define WEIR_ACCEPTED 0x80

#define WEIR_LATENCY_BUCKETS 24 /* bucket i: below 2^i microseconds; the last one takes the rest */
struct weir_pair {
	__u64 opened;
	__u64 closed;
	__u64 sent_bytes;
	__u64 received_bytes;
	__u64 retransmits;
	__u64 srtt_us_sum; /* of samples: one of each connection at each scrape and at its close */
	__u64 srtt_samples;
	__u64 duration_us_sum; /* up to the latest scrape, or to the close */
	__u64 connect_us_sum;
	__u64 failed; /* allowed, and then refused or timed out by the peer */
	__u32 connect[WEIR_LATENCY_BUCKETS];
	WEIR_GROWN(pair_grown)
};

/* `refusals`: per-CPU count of one kind of refusal. */
struct weir_refusal_key {
	__u32 source;
	__u32 destination;
	__u32 rule; /* stable number */
	__u16 port;
	__u8 protocol;
	__u8 reason; /* enum weir_reason; with WEIR_AUDITED and WEIR_TURNED_AWAY */
};

#define WEIR_AUDITED     0x80 /* not refused */
#define WEIR_TURNED_AWAY 0x40 /* told where it came in, not where it was sent */

/* `events`: ring buffer. */
enum weir_hook {
	WEIR_HOOK_CONNECT = 1,
	WEIR_HOOK_SENDMSG = 2,
	WEIR_HOOK_BIND = 3,
	WEIR_HOOK_CREATE = 4,
	/* A process entered a governed cgroup: cgroup is the new one, pid who. */
	WEIR_HOOK_MOVED = 5,
	/* An open connection that is not allowed any more: cgroup is the socket's, address its peer. */
	WEIR_HOOK_REVOKE = 6,
	/* A connection or datagram that came to a socket: cgroup is the socket's, address the peer. */
	WEIR_HOOK_INGRESS = 7,
	/* A UDP packet beyond a rate limit. */
	WEIR_HOOK_PACKET = 8,
};

struct weir_event {
	__u64 time; /* CLOCK_BOOTTIME ns */
	__u64 generation;
	__u64 cgroup;
	struct weir_address address;
	__u32 pid; /* thread group, init namespace */
	__u32 source;
	__u32 destination;
	__u32 rule; /* stable number */
	__u16 port;
	__u8 protocol;
	__u8 hook;
	__u8 reason;
	__u8 pad[3];
	char comm[16];
	__u64 left; /* of a process that was moved: id of its cgroup before; 0: not known */
};

/* `tasks`: what is known of a process. */
struct weir_task {
	__u64 cgroup; /* id of the one it is in */
};

enum weir_revoked_flags {
	WEIR_REVOKED_ACCEPTED = 1 << 0,  /* the local side was called: `port` is its own */
	WEIR_REVOKED_DESTROYED = 1 << 1, /* done; else whoever reads this is to do it */
	WEIR_REVOKED_PORT = 1 << 2, /* it waited on a port of another workload's: no connection */
};

/* What iterate.bpf.c writes of each connection that is not allowed any more, and of each socket that
 * waits on a port of another workload's. */
struct weir_revoked {
	struct weir_address local;
	struct weir_address remote;
	__u64 netns;  /* cookie */
	__u64 cgroup; /* of the socket's birth */
	__u64 cookie; /* of the socket; 0: half open, it has none */
	__u32 source;
	__u32 destination;
	__u32 rule;      /* stable number */
	__u32 interface; /* it is bound to, or 0 */
	__u16 local_port;
	__u16 remote_port;
	__u16 port; /* as judged */
	__u16 family;
	__u8 protocol;
	__u8 reason;
	__u8 flags; /* enum weir_revoked_flags */
	__u8 pad[5];
};

/* `reply_peers`: a datagram received entitles the socket to answer, one sent entitles it to the
 * answer; and which virtual address a peer stands for, where the socket talks to more than one. */
struct weir_reply_key {
	__u64 socket; /* cookie */
	struct weir_address address;
	__u16 port;
	__u8 pad[6];
};

struct weir_reply {
	__u64 received; /* CLOCK_MONOTONIC ns of the latest datagram let in by a verdict, 0: none yet */
	__u64 sent; /* CLOCK_MONOTONIC ns of the latest datagram sent by a verdict, 0: none yet */
	struct weir_address original;
	/* Low half of the number of the generation that last allowed both; another one is asked for
	 * them again, with what follows, before they are worth anything. */
	__u32 generation;
	__u32 heard_from; /* workload that `received` came from */
	__u32 sent_to;    /* workload that `sent` went to */
	__u32 sent_owner; /* and the owner of the port here, where that may be meant; or 0 */
	__u16 heard_port; /* as judged */
	__u16 sent_port;
	__u16 original_port; /* 0: the peer stands for itself */
	/* enum weir_came: how `received` came, if by a verdict of which nothing was counted. */
	__u8 came;
	__u8 pad;
};

/* `datagrams`: who sent a datagram that leaves its network namespace for another of this node. Its
 * receiver has no other way to tell. */
struct weir_datagram_key {
	struct weir_address client;
	struct weir_address server;
	__u16 client_port;
	__u16 server_port;
};

struct weir_datagram {
	__u64 sent;   /* CLOCK_MONOTONIC ns of one of the latest, no more than a second old */
	__u32 source; /* workload */
	__u32 pad;
};

/* What came by lo proves nothing of what comes over a wire from the same address. */
enum weir_came { WEIR_CAME_REPORTED, WEIR_CAME_BY_LO, WEIR_CAME_BY_WIRE };

/* `counters`: per-CPU, index enum weir_counter. */
enum weir_counter {
	WEIR_COUNTER_EVENTS_LOST, /* ring buffer full or limited */
	WEIR_COUNTER_PAIRS_FULL,  /* pair counted in the overflow row 0,0,0 */
	WEIR_COUNTER_REFUSALS_FULL,
	WEIR_COUNTER_HANDOVERS_FULL,   /* no room: the proxy will close that connection */
	WEIR_COUNTER_HANDOVERS_MISSED, /* the proxy accepted a connection nobody handed over */
	WEIR_COUNTER_CGROUPS_FULL,
	WEIR_COUNTER_NO_STORAGE, /* socket older than the attach, or no memory */
	WEIR_COUNTER_NO_GENERATION,
	WEIR_COUNTER_CONNECTS,        /* decisions made */
	WEIR_COUNTER_REVOKED,         /* open connections that were ended */
	WEIR_COUNTER_EJECTED,         /* times that a backend was ejected for a source */
	WEIR_COUNTER_REPLIES_REFUSED, /* a socket that has answered before may not answer this peer */
	WEIR_COUNTER_LIMITS_FULL,     /* no room to count for a limit: refused */
	WEIR_COUNTER_CANARIES_REFUSED, /* connects of WEIR_CANARY_REFUSED, which nothing else counts */
	WEIR_COUNTER_AFFINITIES_FULL, /* no room to remember a client's backend: by its hash */
	WEIR_COUNTER_HOMES_FULL, /* no room to know whose a namespace is: its ports are anybody's */
	WEIR_COUNTER_MAX,
};

#endif
