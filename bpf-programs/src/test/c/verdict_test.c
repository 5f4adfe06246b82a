// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* The order of look-ups against an oracle that walks plain rows; the hash against the file that
 * Java's table builder reads too. */
#include <stdlib.h>
#include <string.h>

#include "tap.h"
#include "tables.h"
#include "weir/verdict.h"

#define BUCKETS 256
#define SEED    0x9d2c5680ca3f17e1ULL

static struct weir_verdict_bucket buckets[BUCKETS];
static struct weir_identity identities[64];
static struct weir_port_classes classes[2048];
static struct test_table verdict_table = TABLE(buckets), identity_table = TABLE(identities),
			 class_table = TABLE(classes);
static struct weir_verdict_tables tables = {&identity_table, &verdict_table, &class_table};
static struct weir_generation generation;

/* The same rows again, unhashed, for the oracle. */
static struct plain {
	__u16 source, destination, port, rule;
	__u8 protocol, verdict;
} plain[2048];
static int rows;

static void reset(void)
{
	memset(buckets, 0, sizeof(buckets));
	memset(identities, 0, sizeof(identities));
	memset(classes, 0, sizeof(classes));
	generation = (struct weir_generation){
		.number = 1, .verdict_seed = SEED, .verdict_mask = BUCKETS - 1, .mesh_rule = 999};
	rows = 0;
}

static int add(__u16 source, __u16 destination, __u8 protocol, __u16 port, __u8 verdict, __u16 rule)
{
	__u64 key = weir_row_key(source, destination, protocol, port), hash = weir_hash(key, SEED);
	__u32 choice[2] = {weir_first_bucket(hash, BUCKETS - 1),
			   weir_second_bucket(hash, BUCKETS - 1)};

	if (weir_find_row(&verdict_table, SEED, BUCKETS - 1, key))
		return 0;
	/* The emptier one, as a real builder would; here it keeps both choices in use. */
	for (int i = 0; i < WEIR_BUCKET_ROWS; i++)
		for (int c = 0; c < 2; c++)
			if (!buckets[choice[c]].row[i]) {
				buckets[choice[c]].row[i] = weir_row(key, verdict, rule);
				plain[rows++] = (struct plain){source, destination, port,
							       rule,   protocol,    verdict};
				return 1;
			}
	return 0;
}

static const struct plain *plain_row(int source, int destination, int protocol, int port)
{
	for (int i = 0; i < rows; i++)
		if (plain[i].source == source && plain[i].destination == destination &&
		    plain[i].protocol == protocol && plain[i].port == port)
			return &plain[i];
	return NULL;
}

static struct weir_answer ask(int source, int destination, int protocol, int port)
{
	struct weir_question question = {source, destination, port, protocol};
	struct weir_answer answer;

	memset(&answer, 0xff, sizeof(answer));
	weir_judge(&tables, &generation, &question, &answer);
	return answer;
}

/* What the comment at the head of verdict.h says, as plainly as can be. */
static struct weir_answer oracle(int source, int destination, int protocol, int port)
{
	int egress = identities[source].flags & WEIR_EGRESS_ISOLATED;
	int ingress = identities[destination].flags & WEIR_INGRESS_ISOLATED;
	const int tries[9][4] = {
		{source, destination, protocol, port},
		{source, destination, protocol, 0},
		{source, destination, WEIR_PROTOCOL_ANY, 0},
		{WEIR_ANY, destination, protocol, port},
		{WEIR_ANY, destination, protocol, 0},
		{WEIR_ANY, destination, WEIR_PROTOCOL_ANY, 0},
		{source, WEIR_ANY, protocol, port},
		{source, WEIR_ANY, protocol, 0},
		{source, WEIR_ANY, WEIR_PROTOCOL_ANY, 0},
	};
	struct weir_answer answer = {.verdict = WEIR_ALLOW};

	if (!egress && !ingress)
		return answer;
	for (int i = 0; i < 9; i++) {
		const struct plain *row;

		if ((egress && i >= 3 && i < 6) || (ingress && i >= 6))
			continue;
		row = plain_row(tries[i][0], tries[i][1], tries[i][2], tries[i][3]);
		if (!row)
			continue;
		answer.verdict = row->verdict;
		answer.rule = row->rule;
		if (row->verdict == WEIR_REFUSE || row->verdict == WEIR_AUDIT)
			answer.reason = WEIR_REASON_POLICY;
		return answer;
	}
	int there = ingress && !(identities[destination].flags & WEIR_INGRESS_AUDIT);
	int here = egress && !(identities[source].flags & WEIR_EGRESS_AUDIT);

	answer.verdict = there || here ? WEIR_REFUSE : WEIR_AUDIT;
	answer.reason = WEIR_REASON_DEFAULT_DENY;
	if (there || !egress)
		answer.rule = identities[destination].ingress_rule;
	else if (here || !ingress)
		answer.rule = identities[source].egress_rule;
	else
		answer.rule = identities[destination].ingress_rule;
	if (!answer.rule)
		answer.rule = generation.mesh_rule;
	return answer;
}

static int says(struct weir_answer a, int verdict, int reason, int rule)
{
	return a.verdict == verdict && a.reason == reason && a.rule == rule;
}

static void test_order(void)
{
	reset();
	check(says(ask(8, 9, WEIR_TCP, 80), WEIR_ALLOW, 0, 0) && verdict_table.look_ups == 0,
	      "neither isolated: allowed without a look-up");

	identities[9] = (struct weir_identity){WEIR_INGRESS_ISOLATED, 21, 0, 0};
	check(says(ask(8, 9, WEIR_TCP, 80), WEIR_REFUSE, WEIR_REASON_DEFAULT_DENY, 21),
	      "default deny in the name of the policy that isolates the destination");
	identities[9].ingress_rule = 0;
	check(ask(8, 9, WEIR_TCP, 80).rule == 999, "or of Mesh, where no policy does");
	identities[8] = (struct weir_identity){WEIR_EGRESS_ISOLATED, 0, 22, 0};
	identities[9].ingress_rule = 21;
	check(ask(8, 9, WEIR_TCP, 80).rule == 21, "both isolated: the destination's is named");
	check(says(ask(8, 10, WEIR_TCP, 80), WEIR_REFUSE, WEIR_REASON_DEFAULT_DENY, 22),
	      "only the source isolated: the source's is named");
	identities[9].flags |= WEIR_INGRESS_AUDIT;
	check(says(ask(7, 9, WEIR_TCP, 80), WEIR_AUDIT, WEIR_REASON_DEFAULT_DENY, 21),
	      "isolated in audit: made, and reported in the policy's name");
	check(says(ask(8, 9, WEIR_TCP, 80), WEIR_REFUSE, WEIR_REASON_DEFAULT_DENY, 22),
	      "one side in audit does not open the other, which is named");
	identities[8].flags |= WEIR_EGRESS_AUDIT;
	check(says(ask(8, 9, WEIR_TCP, 80), WEIR_AUDIT, WEIR_REASON_DEFAULT_DENY, 21),
	      "both in audit: made, and reported");

	reset();
	identities[9].flags = WEIR_INGRESS_ISOLATED;
	add(WEIR_ANY, 9, WEIR_PROTOCOL_ANY, 0, WEIR_ALLOW, 1);
	check(ask(8, 9, WEIR_TCP, 80).rule == 1, "from anybody, any protocol");
	check(ask(8, 9, WEIR_PROTOCOL_ANY, 0).rule == 1, "a protocol without ports finds it too");
	add(WEIR_ANY, 9, WEIR_TCP, 0, WEIR_REFUSE, 2);
	check(says(ask(8, 9, WEIR_TCP, 80), WEIR_REFUSE, WEIR_REASON_POLICY, 2),
	      "from anybody, this protocol, goes first");
	add(WEIR_ANY, 9, WEIR_TCP, 80, WEIR_INSPECT, 3);
	check(says(ask(8, 9, WEIR_TCP, 80), WEIR_INSPECT, 0, 3), "then the port");
	add(8, 9, WEIR_PROTOCOL_ANY, 0, WEIR_AUDIT, 4);
	check(says(ask(8, 9, WEIR_TCP, 80), WEIR_AUDIT, WEIR_REASON_POLICY, 4),
	      "then the exact pair, any protocol");
	add(8, 9, WEIR_TCP, 0, WEIR_ALLOW, 5);
	check(ask(8, 9, WEIR_TCP, 80).rule == 5, "then the exact pair and protocol");
	add(8, 9, WEIR_TCP, 80, WEIR_REFUSE, 6);
	check(ask(8, 9, WEIR_TCP, 80).rule == 6, "first of all the exact pair, protocol and port");
	check(ask(8, 9, WEIR_UDP, 80).rule == 4 && ask(7, 9, WEIR_UDP, 80).rule == 1,
	      "another protocol, another row");

	identities[8].flags = WEIR_EGRESS_ISOLATED;
	reset();
	identities[8].flags = WEIR_EGRESS_ISOLATED;
	identities[9].flags = WEIR_INGRESS_ISOLATED;
	add(WEIR_ANY, 9, WEIR_TCP, 80, WEIR_ALLOW, 1);
	add(8, WEIR_ANY, WEIR_TCP, 80, WEIR_ALLOW, 2);
	check(ask(8, 9, WEIR_TCP, 80).verdict == WEIR_REFUSE,
	      "both isolated: neither side's wildcard speaks for the other");
	identities[9].flags = 0;
	check(ask(8, 9, WEIR_TCP, 80).rule == 2, "only egress isolated: the source's wildcard");

	reset();
	check(says(ask(8, 63, WEIR_TCP, 80), WEIR_ALLOW, 0, 0),
	      "the last identity that is described");
	check(says(ask(8, 64, WEIR_TCP, 80), WEIR_REFUSE, WEIR_REASON_DEFAULT_DENY, 999) &&
		      says(ask(64, 8, WEIR_TCP, 80), WEIR_REFUSE, WEIR_REASON_DEFAULT_DENY, 999),
	      "an identity nobody described is isolated both ways");
}

static void test_port_classes(void)
{
	reset();
	identities[9].flags = WEIR_INGRESS_ISOLATED;
	for (int port = 0; port < 65536; port++)
		classes[port / 32].class[port % 32] = port < 1000 ? port : 1000;
	add(8, 9, WEIR_TCP, 1000, WEIR_ALLOW, 1);
	check(ask(8, 9, WEIR_TCP, 60000).verdict == WEIR_REFUSE,
	      "without the flag a port is itself");
	generation.flags = WEIR_GENERATION_PORT_CLASSES;
	check(ask(8, 9, WEIR_TCP, 60000).rule == 1 && ask(8, 9, WEIR_TCP, 65535).rule == 1 &&
		      ask(8, 9, WEIR_TCP, 1000).rule == 1,
	      "with it, the class is asked for");
	check(ask(8, 9, WEIR_TCP, 999).verdict == WEIR_REFUSE, "and the next class is another");
}

static void test_oracle(void)
{
	int wrong = 0, verdicts[4] = {};

	srand(20);
	for (int round = 0; round < 60; round++) {
		const int ports[] = {0, 1, 80, 443, 8080, 65535};

		reset();
		for (int i = 0; i < 12; i++)
			identities[i] =
				(struct weir_identity){rand() % 16, rand() % 3, rand() % 3, 0};
		for (int i = 0; i < 300; i++) {
			int source = rand() % 12, destination = rand() % 12, protocol = rand() % 4;

			/* Rows a compiler writes: one side may be ANY; no port without protocol. */
			if (!source && !destination)
				continue;
			add(source, destination, protocol, protocol ? ports[rand() % 6] : 0,
			    rand() % 4, 1 + rand() % 100);
		}
		for (int i = 0; i < 5000; i++) {
			int source = 1 + rand() % 11, destination = 1 + rand() % 11;
			int protocol = rand() % 4, port = protocol ? ports[rand() % 6] : 0;
			struct weir_answer a = ask(source, destination, protocol, port);
			struct weir_answer b = oracle(source, destination, protocol, port);

			wrong += !says(a, b.verdict, b.reason, b.rule);
			verdicts[a.verdict]++;
		}
	}
	check(wrong == 0, "300,000 random questions answered as the oracle does (%d not)", wrong);
	check(verdicts[0] && verdicts[1] && verdicts[2] && verdicts[3],
	      "and every verdict among the answers (%d %d %d %d)", verdicts[0], verdicts[1],
	      verdicts[2], verdicts[3]);
}

static void test_vectors(const char *path)
{
	FILE *file = fopen(path, "r");
	unsigned source, destination, protocol, port, verdict, rule, mask, bucket1, bucket2;
	unsigned long long seed, key, row;
	int vectors = 0, wrong = 0;
	char header[256];

	if (!file || !fgets(header, sizeof(header), file)) {
		check(0, "%s can be read", path);
		return;
	}
	while (fscanf(file, "%u,%u,%u,%u,%u,%u,%llx,%u,%llx,%llx,%u,%u\n", &source, &destination,
		      &protocol, &port, &verdict, &rule, &seed, &mask, &key, &row, &bucket1,
		      &bucket2) == 12) {
		__u64 hash = weir_hash(key, seed);

		vectors++;
		wrong += weir_row_key(source, destination, protocol, port) != key ||
			 weir_row(key, verdict, rule) != row || weir_row_verdict(row) != verdict ||
			 weir_row_rule(row) != rule || weir_first_bucket(hash, mask) != bucket1 ||
			 weir_second_bucket(hash, mask) != bucket2;
	}
	check(vectors == 40 && wrong == 0 && feof(file), "%d vectors of verdict-hash.csv, %d wrong",
	      vectors, wrong);
	fclose(file);
}

static void test_second_bucket(void)
{
	int second = 0, found = 0;

	reset();
	for (int i = 0; i < 1200; i++)
		add(8 + i % 50, 8 + i / 50, WEIR_TCP, 80, WEIR_ALLOW, i);
	for (int i = 0; i < rows; i++) {
		__u64 key = weir_row_key(plain[i].source, plain[i].destination, WEIR_TCP, 80);
		__u64 row = weir_find_row(&verdict_table, SEED, BUCKETS - 1, key);
		__u32 first = weir_first_bucket(weir_hash(key, SEED), BUCKETS - 1);
		int in_first = 0;

		found += row == weir_row(key, WEIR_ALLOW, plain[i].rule);
		for (int k = 0; k < WEIR_BUCKET_ROWS; k++)
			in_first |= buckets[first].row[k] == row;
		second += !in_first;
	}
	check(rows == 1200 && found == rows,
	      "every row of a table more than half full is found (%d)", found);
	check(second > 300, "many of them in their second bucket (%d)", second);
	verdict_table.count = 1;
	check(weir_find_row(&verdict_table, SEED, BUCKETS - 1, weir_row_key(8, 8, WEIR_TCP, 81)) ==
		      0,
	      "a table shorter than its mask finds nothing, and nothing bad happens");
	verdict_table.count = BUCKETS;
}

int main(void)
{
	test_order();
	test_port_classes();
	test_second_bucket();
	test_oracle();
	test_vectors("src/test/resources/verdict-hash.csv");
	return tap_end();
}
