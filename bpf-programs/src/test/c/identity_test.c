// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
#include "tap.h"
#include "tables.h"
#include "weir/identity.h"
#include "weir/telemetry.h"

static struct weir_workload workloads[32];
static struct test_table table = TABLE(workloads);

/* A socket born in cgroup 100 of workload 20, used elsewhere. */
static int allowed(__u64 cgroup, __u32 workload)
{
	struct weir_socket socket = {.birth_cgroup = 100, .birth_workload = 20};

	return weir_birth_allows(&table, &socket, cgroup, workload);
}

static void test_slot(void)
{
	const __u64 deadline = 1000;

	check(weir_slot_in_force(0, 5000) == 0 && weir_slot_in_force(1, 5000) == 1,
	      "without a deadline the slot is the lowest bit");
	check(weir_slot_in_force(deadline << 1 | 1, 999) == 1 &&
		      weir_slot_in_force(deadline << 1, 999) == 0,
	      "before the deadline too");
	check(weir_slot_in_force(deadline << 1 | 1, 1000) == 0 &&
		      weir_slot_in_force(deadline << 1, 1000) == 1 &&
		      weir_slot_in_force(deadline << 1, ~0ULL) == 1,
	      "from the deadline on it is the other one");
}

static void test_identity(void)
{
	int reserved = 1;

	workloads[20].identity = 12;
	workloads[3].identity = 77;
	check(weir_identity_of(&table, 20) == 12, "a workload has the identity of this generation");
	check(weir_identity_of(&table, 21) == WEIR_UNKNOWN, "one that has none is unknown");
	check(weir_identity_of(&table, 32) == WEIR_UNKNOWN, "one outside the table too");
	for (__u32 w = 0; w < WEIR_FIRST_WORKLOAD; w++)
		reserved &= weir_identity_of(&table, w) == w;
	check(reserved,
	      "reserved workloads are identities of the same number, whatever the table says");
}

static void test_birth(void)
{
	workloads[20].flags = 0;
	check(allowed(100, 20), "where it was born");
	check(allowed(101, 20), "in another cgroup of the same workload");
	check(allowed(100, 21), "in its own cgroup, though that was declared only later");
	check(!allowed(101, 21), "not in another workload");
	check(!allowed(101, WEIR_HOST), "not outside all workloads");
	workloads[20].flags = WEIR_WORKLOAD_HANDS_OUT_SOCKETS;
	check(allowed(101, 21), "unless its maker is declared to hand out sockets");
	workloads[21].flags = WEIR_WORKLOAD_HANDS_OUT_SOCKETS;
	workloads[20].flags = 0;
	check(!allowed(101, 21), "which the user's being so does not replace");
	table.count = 10;
	check(!allowed(101, 21), "a maker outside the table is not declared so");
	table.count = 32;
}

static void test_dwelling(void)
{
	const struct weir_cgroup renamed = {.workload = {20, 21}}, gone = {.workload = {0, 22}},
				 older = {.workload = {0, 23}};
	struct weir_dweller dweller = {};

	check(weir_dwells(&dweller, &renamed, 0) && dweller.workload == 20 &&
		      weir_dwells(&dweller, &renamed, 1) && dweller.workload == 21,
	      "a cgroup is whose the slot in force says");
	dweller = (struct weir_dweller){};
	check(!weir_dwells(&dweller, &gone, 0) && weir_dwells(&dweller, &renamed, 0) &&
		      dweller.workload == 20,
	      "what the slot does not declare belongs to the ancestor");
	dweller = (struct weir_dweller){};
	check(!weir_dwells(&dweller, &gone, 0) && !weir_dwells(&dweller, &older, 0) &&
		      dweller.elsewhere == 22,
	      "and it is remembered who the other slot says, the nearest");
}

static void test_telemetry(void)
{
	__u64 due = 0;
	int burst = 0;

	check(weir_latency_bucket(0) == 0 && weir_latency_bucket(1) == 1 &&
		      weir_latency_bucket(2) == 2 && weir_latency_bucket(3) == 2 &&
		      weir_latency_bucket(4) == 3 && weir_latency_bucket(1023) == 10 &&
		      weir_latency_bucket(1024) == 11,
	      "latency bucket i is below 2^i microseconds");
	check(weir_latency_bucket((1 << 22) - 1) == 22 && weir_latency_bucket(1 << 22) == 23 &&
		      weir_latency_bucket(1 << 23) == 23 && weir_latency_bucket(~0ULL) == 23,
	      "the last takes the rest");
	while (weir_within_budget(&due, 5000000000ULL) && burst < 1000)
		burst++;
	check(burst == WEIR_EVENT_BURST, "a burst of events (%d), then none", burst);
	check(!weir_within_budget(&due, 5000000000ULL + WEIR_EVENT_INTERVAL - 1) &&
		      weir_within_budget(&due, 5000000000ULL + WEIR_EVENT_INTERVAL) &&
		      !weir_within_budget(&due, 5000000000ULL + WEIR_EVENT_INTERVAL),
	      "then one each interval");
	burst = 0;
	while (weir_within_budget(&due, 900000000000ULL) && burst < 1000)
		burst++;
	check(burst == WEIR_EVENT_BURST, "after a long quiet a burst again, not more (%d)", burst);
}

int main(void)
{
	test_slot();
	test_identity();
	test_birth();
	test_dwelling();
	test_telemetry();
	return tap_end();
}
