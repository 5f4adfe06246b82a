// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* All programs in one object, so that every map exists once. */
#include "egress.bpf.c"
#include "ingress.bpf.c"
#include "packet.bpf.c"
#include "socket.bpf.c"
#include "enroll.bpf.c"
#include "iterate.bpf.c"

/* The helpers we call are open to GPL-compatible programs only. */
char LICENSE[] SEC("license") = "GPL";
