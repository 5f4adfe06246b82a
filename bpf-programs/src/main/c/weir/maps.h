/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Every map: key -> value, who writes, who reads, and what a miss means.
 *
 * Tables of a generation are ARRAY_OF_MAPS with two slots, one in force and one
 * being written; a program reads `current` once per decision and takes every
 * table from that slot. User space creates the inner maps to the plan's measure
 * (BPF_F_INNER_MAP lets arrays differ in size), writes them whole, and only
 * then stores `current`. Before a slot is written again it waits one RCU grace
 * period, so that no program still reads it.
 *
 * All maps are pinned by name in the pin directory and adopted by the next
 * loader. Sizes marked * are set by the loader before the load.
 */
#ifndef WEIR_MAPS_H
#define WEIR_MAPS_H

#include "types.h"

/* Declares NAME, two slots of inner maps of the given type, key and value. By their sizes, for 6.1
 * takes as inner maps either those that say their types or those that do not (timer_off in
 * bpf_map_meta_equal), and user space makes ones that do not. */
#define WEIR_TABLE(name, inner_type, inner_flags, key_type, value_type) \
	struct name##_inner {                                           \
		__uint(type, inner_type);                               \
		__uint(max_entries, 1);                                 \
		__uint(map_flags, inner_flags);                         \
		__uint(key_size, sizeof(key_type));                     \
		__uint(value_size, sizeof(value_type));                 \
	};                                                              \
	struct {                                                        \
		__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);               \
		__uint(max_entries, WEIR_SLOTS_OF_GENERATIONS);         \
		__type(key, __u32);                                     \
		__array(values, struct name##_inner);                   \
	} name SEC(".maps")

/* -- a generation; written by the loader, read by every decision ----------- */

/* Miss (no inner map): nothing is in force; governed workloads are refused, the host passes. */
WEIR_TABLE(generations, BPF_MAP_TYPE_ARRAY, BPF_F_INNER_MAP, __u32, struct weir_generation);
/* Miss or identity 0: WEIR_UNKNOWN. */
WEIR_TABLE(workloads, BPF_MAP_TYPE_ARRAY, BPF_F_INNER_MAP, __u32, struct weir_workload);
/* Miss: isolated both ways. */
WEIR_TABLE(identities, BPF_MAP_TYPE_ARRAY, BPF_F_INNER_MAP, __u32, struct weir_identity);
/* Miss: no row; what the isolation of the two identities says. */
WEIR_TABLE(verdicts, BPF_MAP_TYPE_ARRAY, BPF_F_INNER_MAP, __u32, struct weir_verdict_bucket);
/* Miss: a rule without a name, 0. */
WEIR_TABLE(rules, BPF_MAP_TYPE_ARRAY, BPF_F_INNER_MAP, __u32, __u32);
/* Miss: not a virtual address. */
WEIR_TABLE(services, BPF_MAP_TYPE_HASH, BPF_F_NO_PREALLOC, struct weir_service_key,
	   struct weir_service);
/* Miss: no backend; refused. */
WEIR_TABLE(slots, BPF_MAP_TYPE_ARRAY, BPF_F_INNER_MAP, __u32, struct weir_slots);
WEIR_TABLE(backends, BPF_MAP_TYPE_ARRAY, BPF_F_INNER_MAP, __u32, struct weir_backend);
/* Miss: no workload's own address; then `ports`, then `cidrs`. */
WEIR_TABLE(endpoints, BPF_MAP_TYPE_HASH, BPF_F_NO_PREALLOC, struct weir_address,
	   struct weir_endpoint);
/* Miss: WEIR_OUTSIDE. */
WEIR_TABLE(cidrs, BPF_MAP_TYPE_LPM_TRIE, BPF_F_NO_PREALLOC, struct weir_cidr_key, struct weir_cidr);
/* Miss: nobody declared the port in this network namespace; anybody may bind it there. */
WEIR_TABLE(ports, BPF_MAP_TYPE_HASH, BPF_F_NO_PREALLOC, struct weir_port_key, struct weir_port);
/* Read only with WEIR_GENERATION_PORT_CLASSES. Miss: the port itself. */
WEIR_TABLE(port_classes, BPF_MAP_TYPE_ARRAY, BPF_F_INNER_MAP, __u32, struct weir_port_classes);
/* Asked for what is flagged alone. Miss: no limit. */
WEIR_TABLE(limits, BPF_MAP_TYPE_HASH, BPF_F_NO_PREALLOC, struct weir_limit_key, struct weir_limit);
/* Asked for identities that are flagged alone. Miss: what the identity says of all its ports. */
WEIR_TABLE(strict_ports, BPF_MAP_TYPE_LPM_TRIE, BPF_F_NO_PREALLOC, struct weir_strict_key,
	   struct weir_strict);

/* Which slot is in force. Written by the loader with one store. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct weir_current);
} current SEC(".maps");

/* -- who lives where: outlives generations --------------------------------- */

/* Written by the loader, the slot that is not in force; read by enroll.bpf.c. Miss: not declared. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, WEIR_ROOM(4096)); /* * */
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct weir_path);
	__type(value, struct weir_cgroup);
} paths SEC(".maps");

/* Written by enroll.bpf.c and, for cgroups older than it, by the loader; read by every decision,
 * deepest ancestor first. Miss, or 0 in the slot in force, on all of them: WEIR_HOST. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192); /* * */
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct weir_cgroup);
} cgroups SEC(".maps");

/* -- connections ------------------------------------------------------------ */

/* Miss: a socket older than the attach; judged by the current cgroup and counted. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct weir_socket);
} sockets SEC(".maps");

/* Written when a steered SYN leaves, taken when the proxy's side is established, removed when the
 * client closes. Miss at the proxy: it closes the connection. Full: counted, and the connection
 * meets that same end, for a handshake cannot be refused any more. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192); /* * */
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct weir_handover_key);
	__type(value, struct weir_origin);
} handovers SEC(".maps");

/* Written and read where datagrams come in and where they are sent; read by recvmsg. Miss, also
 * because the entry was evicted: an ordinary egress or ingress, judged as such; a datagram whose
 * sender is told as it is. An entry of another generation is judged again before it counts, so that
 * nothing need be taken out at a swap. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096); /* * */
	__type(key, struct weir_reply_key);
	__type(value, struct weir_reply);
} reply_peers SEC(".maps");

/* Written where a datagram leaves for another network namespace of this node, read where it comes
 * in. Miss, also because the entry was evicted: it is judged by its address, as one from outside. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024); /* * */
	__type(key, struct weir_datagram_key);
	__type(value, struct weir_datagram);
} datagrams SEC(".maps");

/* Written by sock_ops when a connect to a backend of a service that ejects ends, read by connect.
 * Miss: not ejected. Full: the least recently used entry goes, and that backend is tried again. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct weir_ejection_key);
	__type(value, struct weir_ejection);
} ejections SEC(".maps");

/* Written and read where a service with affinity is asked for. Miss, also because the least recently
 * used entry went: a new client, whose backend its hash says. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024); /* * */
	__type(key, struct weir_affinity_key);
	__type(value, struct weir_affinity);
} affinities SEC(".maps");

/* Written by connect and by the packet hook; who reads counters takes out what has drained long
 * ago when it becomes full. Miss: nothing has come yet. Full: refused, and counted. Not an LRU map: what it
 * forgets would be let through again. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096); /* * */
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct weir_limit_state_key);
	__type(value, struct weir_limit_state);
} limit_states SEC(".maps");

/* Addresses of all network namespaces of this node -> cookie of the namespace; the node's own, if that
 * has it; else, of several, WEIR_SEVERAL_NAMESPACES. Written by the loader before a walk over the open connections, and by the agent from time to time;
 * read by that walk, and by connect in namespaces that are not the node's own. Miss: an address
 * elsewhere. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, WEIR_ROOM(4096));
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct weir_address);
	__type(value, __u64);
} addresses SEC(".maps");

/* Cookies of network namespaces that are workloads' own -> whose. Written by the loader and, from time
 * to time, by the agent, who ask where the addresses are; until then by who makes a socket in one that
 * is nobody's yet. Read by bind. Miss: nobody declared its ports. Full: counted. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 512); /* * */
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct weir_home);
} homes SEC(".maps");

/* -- telemetry: written by the programs, read by the agent ------------------ */

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 2048); /* * */
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct weir_pair_key);
	__type(value, struct weir_pair);
} pairs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 2048); /* * */
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct weir_refusal_key);
	__type(value, __u64);
} refusals SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} events SEC(".maps");

#define WEIR_EVENT_BUDGETS 64
/* How soon a source may write the next event (GCRA, CLOCK_BOOTTIME ns); index source % 64. Only the
 * programs use it. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, WEIR_EVENT_BUDGETS);
	__type(key, __u32);
	__type(value, __u64);
} event_budgets SEC(".maps");

/* Written when a process begins, and when it is moved; read then. Only the programs use it. Miss: no
 * memory, or older than the attach and made since it was looked for: where from is not told. */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct weir_task);
} tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, WEIR_COUNTER_MAX);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

/* -- for user space ----------------------------------------------------------- */

/*
 * User space learns layouts from the BTF of this object. What is named only as the value of an
 * inner map, or only behind a pointer, clang would leave there as a forward declaration; here it is
 * by value. No program refers to this section and libbpf does not load it.
 */
const struct weir_layout {
	struct weir_generation generation;
	struct weir_workload workload;
	struct weir_identity identity;
	struct weir_verdict_bucket verdict_bucket;
	struct weir_service_key service_key;
	struct weir_service service;
	struct weir_slots slots;
	struct weir_backend backend;
	struct weir_endpoint endpoint;
	struct weir_cidr_key cidr_key;
	struct weir_cidr cidr;
	struct weir_port_key port_key;
	struct weir_port port;
	struct weir_home home;
	struct weir_port_classes port_classes;
	struct weir_limit_key limit_key;
	struct weir_limit limit;
	struct weir_strict_key strict_key;
	struct weir_strict strict;
	struct weir_event event;
	struct weir_origin origin;
	struct weir_revoked revoked;
	enum weir_reserved reserved;
	enum weir_protocol protocol;
	enum weir_verdict verdict;
	enum weir_reason reason;
	enum weir_generation_flags generation_flags;
	enum weir_identity_flags identity_flags;
	enum weir_workload_flags workload_flags;
	enum weir_service_flags service_flags;
	enum weir_endpoint_flags endpoint_flags;
	enum weir_socket_flags socket_flags;
	enum weir_revoked_flags revoked_flags;
	enum weir_hook hook;
	enum weir_counter counter;
} weir_layout SEC(".weir_layout") = {};

#endif
