// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "tap.h"
#include "tables.h"
#include "weir/steer.h"

static struct weir_slots slots[40];
static struct weir_backend backends[4];
static struct test_table slot_table = TABLE(slots), backend_table = TABLE(backends);

static int port_in(const struct weir_service *service, __u32 number)
{
	struct weir_backend *backend =
		weir_backend_in(&slot_table, &backend_table, service, number);

	return backend ? backend->port : 0;
}

static struct weir_address address(const char *text)
{
	struct weir_address a;

	inet_pton(AF_INET6, text, &a);
	return a;
}

int main(void)
{
	struct weir_service service = {.first_slot = 50, .slots = 1000};
	struct weir_address proxy, original;
	long counts[4] = {}, spread[8] = {};
	int below = 1, same = 1;

	backends[1].port = 8001;
	backends[2].port = 8002;
	/* 990 slots to one, 10 to the other, across chunk borders and not from a chunk's start. */
	for (__u32 n = 0; n < 1000; n++)
		slots[(50 + n) / 32].backend[(50 + n) % 32] = n < 990 ? 1 : 2;
	for (__u32 n = 0; n < 1000; n++)
		counts[port_in(&service, n) - 8000]++;
	check(counts[1] == 990 && counts[2] == 10, "weights are counts of slots (%ld, %ld)",
	      counts[1], counts[2]);
	check(port_in(&service, 0) == 8001 && port_in(&service, 989) == 8001 &&
		      port_in(&service, 990) == 8002,
	      "a slot is looked up in its chunk");

	for (__u32 n = 1; n < 70000; n = n * 3 + 1)
		below &= weir_pick(0, n) == 0 && weir_pick(0xffffffff, n) == n - 1 &&
			 weir_pick(0x7fffffff, n) < n;
	check(below, "a pick is below the number of slots, from the first to the last");
	memset(counts, 0, sizeof(counts));
	srand(7);
	for (int i = 0; i < 300000; i++)
		counts[weir_pick((__u32)rand() << 1 ^ rand(), 3)]++;
	check(labs(counts[0] - 100000) < 1500 && labs(counts[1] - 100000) < 1500 &&
		      labs(counts[2] - 100000) < 1500,
	      "picks are even (%ld, %ld, %ld)", counts[0], counts[1], counts[2]);
	for (__u64 cookie = 1; cookie <= 8000; cookie++) {
		same &= weir_mix(cookie) == weir_mix(cookie);
		spread[weir_pick(weir_mix(cookie), 8)]++;
	}
	for (int i = 0; i < 8; i++)
		below &= labs(spread[i] - 1000) < 150;
	check(same && below, "cookies in a row spread over slots, each always to the same");

	service.first_slot = 40 * 32;
	check(port_in(&service, 0) == 0, "a slot outside the table is no backend");
	service.first_slot = 50;
	slots[50 / 32].backend[50 % 32] = 9;
	check(port_in(&service, 0) == 0, "a backend outside the table is none");
	slots[50 / 32].backend[50 % 32] = 3;
	check(port_in(&service, 0) == 0, "a backend nobody wrote is none");
	check(!weir_backend_in(NULL, &backend_table, &service, 0) &&
		      !weir_backend_in(&slot_table, NULL, &service, 0),
	      "a table that is not there has none");

	original = address("::ffff:10.96.0.5");
	weir_proxy_address(&proxy, &original);
	original = address("::ffff:127.0.0.1");
	check(weir_address_equal(&proxy, &original), "IPv4 is led to 127.0.0.1");
	original = address("fd00::5");
	weir_proxy_address(&proxy, &original);
	original = address("::1");
	check(weir_address_equal(&proxy, &original), "IPv6 is led to ::1");
	return tap_end();
}
