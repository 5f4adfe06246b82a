// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
#include <arpa/inet.h>
#include <string.h>

#include "tap.h"
#include "tables.h"
#include "weir/address.h"

static struct weir_address from6(const char *text)
{
	struct weir_address a;
	__u32 w[4];

	inet_pton(AF_INET6, text, w);
	weir_address_from_v6(&a, w[0], w[1], w[2], w[3]);
	return a;
}

static struct weir_address from4(const char *text)
{
	struct weir_address a;
	__u32 ip;

	inet_pton(AF_INET, text, &ip);
	weir_address_from_v4(&a, ip);
	return a;
}

static int is(struct weir_address a, const char *text)
{
	unsigned char bytes[16];

	inet_pton(AF_INET6, text, bytes);
	return memcmp(&a, bytes, 16) == 0;
}

static int same(struct weir_address a, struct weir_address b)
{
	return weir_address_equal(&a, &b);
}

static int loopback(struct weir_address a)
{
	return weir_address_is_loopback(&a);
}

static int is_v4(struct weir_address a)
{
	return weir_address_is_v4(&a);
}

int main(void)
{
	const char *looping[] = {"127.0.0.1", "127.9.9.9", "127.255.255.255", "0.0.0.0"};
	const char *not_looping[] = {"126.255.255.255", "128.0.0.1", "1.0.0.127", "10.0.0.1"};
	const char *not_looping6[] = {"::2",      "fe80::1",  "1::1",
				      "::7f00:1", "0:0:1::1", "::127.0.0.1"};

	check(is(from4("10.1.2.3"), "::ffff:10.1.2.3"), "IPv4 becomes v4-mapped, byte by byte");
	check(is(from6("fd00:1:2:3:4:5:6:7"), "fd00:1:2:3:4:5:6:7"), "IPv6 stays as it is");
	check(same(from6("::ffff:10.1.2.3"), from4("10.1.2.3")), "v4-mapped and IPv4 are one");
	check(is(from4("0.0.0.0"), "::ffff:127.0.0.1"), "0.0.0.0 is loopback");
	check(is(from6("::"), "::1"), ":: is loopback");
	check(is(from6("::ffff:0.0.0.0"), "::ffff:127.0.0.1"), "v4-mapped 0.0.0.0 is loopback");
	check(is(from6("::2"), "::2") && is(from6("1::"), "1::"), "only the unspecified one is");
	for (size_t i = 0; i < sizeof(looping) / sizeof(*looping); i++)
		check(loopback(from4(looping[i])), "%s is loopback", looping[i]);
	check(loopback(from6("::1")), "::1 is loopback");
	check(loopback(from6("::ffff:127.5.5.5")), "v4-mapped 127.5.5.5 is loopback");
	for (size_t i = 0; i < sizeof(not_looping) / sizeof(*not_looping); i++)
		check(!loopback(from4(not_looping[i])), "%s is not", not_looping[i]);
	for (size_t i = 0; i < sizeof(not_looping6) / sizeof(*not_looping6); i++)
		check(!loopback(from6(not_looping6[i])), "%s is not", not_looping6[i]);
	check(is_v4(from4("1.2.3.4")) && is_v4(from6("::ffff:1.2.3.4")), "v4 in both writings");
	check(!is_v4(from6("::1.2.3.4")) && !is_v4(from6("64:ff9b::1.2.3.4")) &&
		      !is_v4(from6("::fffe:1.2.3.4")),
	      "v4-compatible and NAT64 are IPv6");
	check(!same(from4("1.2.3.4"), from4("1.2.3.5")) && !same(from6("1::"), from6("2::")) &&
		      !same(from6("0:0:0:1::"), from6("0:0:0:2::")),
	      "every word counts in a comparison");
	return tap_end();
}
