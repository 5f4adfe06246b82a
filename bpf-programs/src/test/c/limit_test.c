// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * The limit against its definition: one more is let through if and only if, for every moment at
 * which something came through before, what has come through since, this one included, is at most
 * burst + rate * time. The oracle sums that up anew each time, in 128 bits.
 */
#include <stdlib.h>
#include <string.h>

#include "tap.h"
#include "tables.h"
#include "weir/limit.h"

#define STEPS 400

struct passed {
	__u64 at;
	__u32 count;
};

static struct passed passed[STEPS];
static int passes;
static __u64 seed = 20261121;

static __u64 number(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static int oracle(const struct weir_limit *limit, __u64 now, __u32 count)
{
	__u64 sum = count;

	if (sum > limit->burst)
		return 0;
	for (int i = passes - 1; i >= 0; i--) {
		sum += passed[i].count;
		if ((unsigned __int128)sum * 1000000000 >
		    (unsigned __int128)limit->burst * 1000000000 +
			    (unsigned __int128)limit->per_second * (now - passed[i].at))
			return 0;
	}
	return 1;
}

static __u32 some(__u32 most)
{
	static const __u32 edges[] = {1, 2, 3, 7, 10, 999, 1000, 700000000, 999999999, 1000000000};
	__u32 n = number() % 3 ? edges[number() % 10] : 1 + number() % 1000000000;

	return n > most ? 1 + n % most : n;
}

/* Histories of all kinds: bursts, evenly spaced about the rate, long rests, several at once. */
static long histories(int times)
{
	long differing = 0;

	for (int h = 0; h < times; h++) {
		struct weir_limit limit = {.per_second = some(1000000000)};
		__u64 since = 0, level = 0, now = number() % 4 ? number() % (1ULL << 58) : 0;
		__u64 pace;

		limit.burst = some(h % 2 ? 20 : 1000000000);
		pace = 2000000000ULL / limit.per_second + 2;
		passes = 0;
		for (int i = 0; i < STEPS; i++) {
			__u32 count = number() % 4 ? 1 : some(limit.burst);
			int expected;

			switch (number() % 8) {
			case 0:
			case 1:
				break;
			case 2:
				now += number() % (limit.burst * (pace / 2) + 1) % (1ULL << 54);
				break;
			case 3:
				now += number() % 64 ? 1 : number() % (1ULL << 50);
				break;
			default:
				now += number() % pace;
			}
			expected = oracle(&limit, now, count);
			if (weir_conforms(&since, &level, &limit, now, count) != expected) {
				differing++;
				break;
			}
			if (expected) {
				passed[passes].at = now;
				passed[passes++].count = count;
			}
		}
	}
	return differing;
}

/* As many as come get through: at a rate that does not divide a second into whole nanoseconds. */
static long through(__u32 rate, __u32 burst, __u64 nanoseconds, __u64 step)
{
	struct weir_limit limit = {.per_second = rate, .burst = burst};
	__u64 since = 0, level = 0;
	long count = 0;

	for (__u64 now = 5; now <= 5 + nanoseconds; now += step)
		count += weir_conforms(&since, &level, &limit, now, 1);
	return count;
}

int main(void)
{
	struct weir_limit limit = {.per_second = 10, .burst = 5}, faster = {1000, 5, 0, 0, 0, {0}};
	struct weir_limit smaller = {.per_second = 1, .burst = 2}, broken = {.burst = 1};
	__u64 since = 0, level = 0;
	long differing = histories(20000), count;

	check(differing == 0,
	      "lets through what its definition says (%ld of 20000 histories differ)", differing);

	count = through(3, 2, 10000000000ULL, 1000);
	check(count == 2 + 30, "3 a second for ten seconds are 30, and the burst (%ld)", count);
	count = through(7, 4, 10000000000ULL, 1000);
	check(count == 4 + 70, "7 a second with a burst of 4 are 74 (%ld)", count);
	count = through(700000000, 2, 1000000, 1);
	check(count == 2 + 700000, "7 in 10 ns are neither 10 nor 5 (%ld)", count);

	for (int i = 0; i < 5; i++)
		weir_conforms(&since, &level, &limit, 1000000000, 1);
	check(!weir_conforms(&since, &level, &limit, 1000000000, 1), "the burst is used up");
	check(!weir_conforms(&since, &level, &limit, 900000000, 1) && since == 1000000000,
	      "a clock that was read before gains nothing");
	check(!weir_conforms(&since, &level, &limit, 1099999999, 1) &&
		      weir_conforms(&since, &level, &limit, 1100000000, 1),
	      "one passes after exactly a tenth of a second");
	check(!weir_conforms(&since, &level, &faster, 1100999999, 1) &&
		      weir_conforms(&since, &level, &faster, 1101000000, 1),
	      "another rate drains what is there");
	check(!weir_conforms(&since, &level, &smaller, 1101000001, 1) &&
		      weir_conforms(&since, &level, &smaller, 2101000000, 1),
	      "a smaller burst need not wait for what is above it");
	check(!weir_conforms(&since, &level, &broken, 1ULL << 60, 1),
	      "no rate lets nothing through");
	check(!weir_conforms(&since, &level, &limit, 1ULL << 60, 6) &&
		      weir_conforms(&since, &level, &limit, 1ULL << 60, 5),
	      "more at once than the burst never pass");
	return tap_end();
}
