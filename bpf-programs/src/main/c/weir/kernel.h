/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * The few fields of kernel structures that we read, found by name in the running kernel's BTF when
 * the program is loaded (CO-RE); order and offsets here mean nothing. This instead of a generated
 * vmlinux.h: what we depend on can be read in one look, and no kernel of a build machine gets in.
 */
#ifndef WEIR_KERNEL_H
#define WEIR_KERNEL_H

#include <linux/types.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct kernfs_node {
	__u64 id; /* what bpf_get_current_cgroup_id() says */
};

struct cgroup_root {
	int hierarchy_id; /* 0: cgroup2 */
};

struct cgroup;

struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
};

struct cgroup {
	struct cgroup_subsys_state self;
	struct kernfs_node *kn;
	struct cgroup_root *root;
};

struct css_set {
	struct cgroup *dfl_cgrp; /* in cgroup2 */
};

struct task_struct {
	int pid;
	int tgid;
	char comm[16];
	struct css_set *cgroups;
};

struct net {
	__u64 net_cookie; /* what bpf_get_netns_cookie() says */
};

struct weir_possible_net {
	struct net *net;
};

struct in6_addr {
	union {
		__u32 u6_addr32[4];
	} in6_u;
};

struct sock;

struct sock_common {
	__u32 skc_daddr;
	__u32 skc_rcv_saddr;
	__u16 skc_dport; /* network order */
	__u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	int skc_bound_dev_if;
	struct weir_possible_net skc_net;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
	struct sock *skc_listener; /* of a half-open connection */
};

struct sock_cgroup_data {
	struct cgroup *cgroup; /* of birth */
};

struct sock {
	struct sock_common __sk_common;
	struct sock_cgroup_data sk_cgrp_data;
	__u32 sk_max_ack_backlog; /* accepted sockets have their listener's */
	int sk_err;
};

struct ipv6_pinfo {
	int mcast_oif; /* of an accepted IPv6 connection: the interface it came by */
};

struct inet_sock {
	struct sock sk;
	struct ipv6_pinfo *pinet6;
	int mc_index; /* of an accepted IPv4 connection: the interface it came by */
};

struct inet_connection_sock {
	struct inet_sock icsk_inet;
};

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	__u64 bytes_acked;
	__u64 bytes_received;
	__u32 total_retrans;
	__u32 srtt_us; /* eight times that */
};

struct udp_sock {
	struct inet_sock inet;
};

struct request_sock {
	struct sock_common __req_common;
};

struct inet_request_sock {
	struct request_sock req;
};

struct tcp_request_sock {
	struct inet_request_sock req;
};

struct bpf_iter_meta {
	struct seq_file *seq;
};

#pragma clang attribute pop

/* Contexts, whose layout is fixed. */
struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task; /* NULL: the walk is over */
};

struct bpf_iter__tcp {
	struct bpf_iter_meta *meta;
	struct sock_common *sk_common; /* NULL: the walk is over */
	__u32 uid;
};

struct bpf_iter__bpf_sk_storage_map {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
	struct sock *sk __attribute__((aligned(8))); /* NULL: the walk is over */
	void *value;
};

struct bpf_iter__udp {
	struct bpf_iter_meta *meta;
	struct udp_sock *udp_sk; /* NULL: the walk is over */
	__u32 uid __attribute__((aligned(8)));
	int bucket __attribute__((aligned(8)));
};

#endif
