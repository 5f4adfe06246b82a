// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * The headers that decide, under libFuzzer with ASan and UBSan (make fuzz): an input is the tables
 * of a generation and questions about them. Tables may be as short, as full and as wrong as any
 * loader's bug could leave them; what is answered must be what a walk over plain rows says, and no
 * table that lacks something may open anything.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tables.h"

struct weir_strict_key;
static void *longest_prefix(void *table, const struct weir_strict_key *key);
#define WEIR_LOOKUP_BY_PREFIX(table, key) longest_prefix(table, key)

#include "weir/address.h"
#include "weir/identity.h"
#include "weir/steer.h"
#include "weir/strict.h"
#include "weir/verdict.h"

#define IDENTITIES 12
#define BUCKETS    8
#define ROWS       96
#define QUESTIONS  64

static const uint8_t *input;
static size_t left;

/* The next bytes of the input; zeroes behind its end. */
static uint64_t take(int bytes)
{
	uint64_t value = 0;

	while (bytes-- > 0) {
		value <<= 8;
		if (left) {
			value |= *input++;
			left--;
		}
	}
	return value;
}

static void require(int holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "decision_fuzz: does not hold: %s\n", what);
	abort();
}

static struct weir_verdict_bucket buckets[BUCKETS];
static struct weir_identity identities[IDENTITIES];
static struct weir_port_classes classes[2048];
static struct test_table verdict_table = TABLE(buckets), identity_table = TABLE(identities),
			 class_table = TABLE(classes);
static struct weir_generation generation;
static uint64_t plain[ROWS];
static int rows;

static const uint16_t ports[] = {0, 1, 31, 32, 80, 443, 8080, 65535};

/* Puts a row where the loader may: into either bucket of its key. */
static void add(void)
{
	uint16_t source = take(1) % IDENTITIES, destination = take(1) % IDENTITIES;
	uint8_t protocol = take(1) & 3, verdict = take(1) & 3;
	uint16_t port = protocol ? ports[take(1) % 8] : 0, rule = take(2);
	uint64_t key = weir_row_key(source, destination, protocol, port);
	uint64_t hash = weir_hash(key, generation.verdict_seed);
	uint32_t mask = generation.verdict_mask, second = take(1) & 1;

	if (!source && !destination)
		return;
	for (int i = 0; i < rows; i++)
		if (((plain[i] ^ key) & WEIR_ROW_KEY_MASK) == 0)
			return;
	for (int c = 0; c < 2; c++) {
		uint32_t at = (c ^ second) ? weir_second_bucket(hash, mask)
					   : weir_first_bucket(hash, mask);

		for (int i = 0; at < verdict_table.count && i < WEIR_BUCKET_ROWS; i++)
			if (!buckets[at].row[i]) {
				buckets[at].row[i] = weir_row(key, verdict, rule);
				plain[rows++] = buckets[at].row[i];
				return;
			}
	}
}

static uint64_t plain_row(uint16_t source, uint16_t destination, uint8_t protocol, uint16_t port)
{
	uint64_t key = (uint64_t)source | (uint64_t)destination << 14 | (uint64_t)port << 28 |
		       (uint64_t)protocol << 44;

	for (int i = 0; i < rows; i++)
		if ((plain[i] & WEIR_ROW_KEY_MASK) == key)
			return plain[i];
	return 0;
}

/* One side given or ANY: port, protocol, anything. A port 0 has no row of its own. */
static uint64_t plain_pair(uint16_t source, uint16_t destination, uint8_t protocol, uint16_t port)
{
	uint64_t row = plain_row(source, destination, protocol, port);

	if (!row)
		row = plain_row(source, destination, protocol, 0);
	if (!row)
		row = plain_row(source, destination, WEIR_PROTOCOL_ANY, 0);
	return row;
}

static void question(const struct weir_verdict_tables *tables)
{
	struct weir_question q = {
		.source = take(1) % (IDENTITIES + 2),
		.destination = take(1) % (IDENTITIES + 2),
		.protocol = take(1) & 3,
	};
	struct weir_answer answer;
	struct weir_identity none = {.flags = WEIR_INGRESS_ISOLATED | WEIR_EGRESS_ISOLATED};
	const struct weir_identity *from =
		q.source < identity_table.count ? &identities[q.source] : &none;
	const struct weir_identity *to =
		q.destination < identity_table.count ? &identities[q.destination] : &none;
	int egress = from->flags & WEIR_EGRESS_ISOLATED,
	    ingress = to->flags & WEIR_INGRESS_ISOLATED;
	uint16_t port;
	uint64_t row;

	/* Nobody asks as ANY. */
	if (q.source == WEIR_ANY || q.destination == WEIR_ANY)
		return;
	q.port = port = q.protocol ? ports[take(1) % 8] : 0;
	memset(&answer, 0xff, sizeof(answer));
	weir_judge(tables, &generation, &q, &answer);
	require(answer.verdict <= WEIR_INSPECT, "a verdict is one of four");
	if (!egress && !ingress) {
		require(answer.verdict == WEIR_ALLOW && answer.rule == 0, "nobody is isolated");
		return;
	}
	if (tables->port_classes && (generation.flags & WEIR_GENERATION_PORT_CLASSES) &&
	    port / 32 < class_table.count)
		port = classes[port / 32].class[port % 32];
	row = plain_pair(q.source, q.destination, q.protocol, port);
	if (!row && !egress)
		row = plain_pair(WEIR_ANY, q.destination, q.protocol, port);
	if (!row && !ingress)
		row = plain_pair(q.source, WEIR_ANY, q.protocol, port);
	if (row) {
		require(answer.verdict == (row >> 46 & 3) && answer.rule == row >> 48,
			"the first row decides");
		return;
	}
	int there = ingress && !(to->flags & WEIR_INGRESS_AUDIT);
	int here = egress && !(from->flags & WEIR_EGRESS_AUDIT);

	require(answer.verdict == (there || here ? WEIR_REFUSE : WEIR_AUDIT), "without a row");
	require(answer.reason == WEIR_REASON_DEFAULT_DENY, "in the name of who isolates");
}

static void verdicts(void)
{
	struct weir_verdict_tables tables = {&identity_table, &verdict_table, &class_table};
	int count;

	memset(buckets, 0, sizeof(buckets));
	rows = 0;
	generation = (struct weir_generation){
		.number = 1,
		.verdict_seed = take(8),
		.verdict_mask = (1U << take(1) % 4) - 1,
		.flags = take(1),
		.mesh_rule = take(1),
	};
	/* As short as they may be; a bucket that is not there holds nothing. */
	verdict_table.count = take(1) % (BUCKETS + 1);
	identity_table.count = take(1) % (IDENTITIES + 1);
	class_table.count = take(1) & 1 ? 2048 : take(1);
	if (take(1) % 8 == 0)
		tables.port_classes = NULL;
	for (int i = 0; i < IDENTITIES; i++)
		identities[i] = (struct weir_identity){take(1) & 15, take(1), take(1), 0};
	for (size_t i = 0; i < sizeof(ports) / sizeof(*ports); i++)
		classes[ports[i] / 32].class[ports[i] % 32] = ports[take(1) % 8];
	for (count = take(1) % ROWS; count > 0; count--)
		add();
	for (count = 0; count < QUESTIONS && left; count++)
		question(&tables);
}

/* Blocks of ports, as a trie of the kernel holds them. */
struct block {
	uint32_t bits;
	int length;
	struct weir_strict value;
};

static struct block blocks[16];
static int block_count;

static void *longest_prefix(void *table, const struct weir_strict_key *key)
{
	uint32_t bits = (uint32_t)key->bits[0] << 24 | key->bits[1] << 16 | key->bits[2] << 8 |
			key->bits[3];
	struct block *longest = NULL;

	require(table == blocks, "the table that was given");
	require(key->prefix_length == 32, "a whole port of an identity");
	for (int i = 0; i < block_count; i++)
		if (((blocks[i].bits ^ bits) >> (32 - blocks[i].length)) == 0 &&
		    (!longest || blocks[i].length > longest->length))
			longest = &blocks[i];
	return longest ? &longest->value : NULL;
}

/* On which ports mutual TLS is demanded. */
static void demands(void)
{
	static struct weir_identity described[IDENTITIES];
	struct test_table table = TABLE(described);
	int there = take(1) & 7;

	for (int i = 0; i < IDENTITIES; i++)
		described[i] = (struct weir_identity){.flags = take(1), .strict_rule = take(1) & 3};
	table.count = take(1) % (IDENTITIES + 1);
	block_count = take(1) % 16;
	for (int i = 0; i < block_count; i++)
		blocks[i] = (struct block){
			(uint32_t)(take(1) % IDENTITIES) << 16 | ports[take(1) % 8],
			16 + take(1) % 17,
			{.rule = take(1) & 3},
		};
	for (int i = 0; i < 16 && left; i++) {
		uint32_t identity = take(1) % (IDENTITIES + 2);
		uint16_t port = ports[take(1) % 8], rule;
		uint32_t demand = weir_demand(&table, there ? blocks : NULL, identity, port);
		struct weir_strict_key key = {32, {0, identity, port >> 8, port}};
		struct weir_strict *exception;

		if (identity >= table.count) {
			require(demand == 0, "nobody demands nothing");
			continue;
		}
		rule = described[identity].strict_rule;
		if (described[identity].flags & WEIR_STRICT_PORTS) {
			if (!there) {
				require(demand, "what should be there excepts nothing");
				continue;
			}
			exception = longest_prefix(blocks, &key);
			if (exception)
				rule = exception->rule;
		}
		require(demand == (rule ? WEIR_DEMANDED | (uint32_t)rule : 0), "the narrowest");
	}
}

/* Whatever was written, an index is inside its table or nothing is found. */
static void steering(void)
{
	static struct weir_slots slots[4];
	static struct weir_backend backends[5];
	struct test_table slot_table = TABLE(slots), backend_table = TABLE(backends);
	struct weir_service service = {.first_slot = take(4), .slots = take(4)};
	struct weir_backend *found;
	uint32_t random = take(4), number;

	for (size_t i = 0; i < 4 * WEIR_SLOTS_PER_CHUNK; i++)
		slots[i / WEIR_SLOTS_PER_CHUNK].backend[i % WEIR_SLOTS_PER_CHUNK] = take(1) % 8;
	for (int i = 0; i < 5; i++)
		backends[i].port = take(1) & 1;
	slot_table.count = take(1) % 5;
	backend_table.count = take(1) % 6;
	if (take(1) & 1)
		service.first_slot %= 200;
	if (service.slots == 0)
		return;
	number = weir_pick(random, service.slots);
	require(number < service.slots, "a slot of the service");
	found = weir_backend_in(&slot_table, &backend_table, &service, number);
	require(!found || (found >= backends && found < backends + backend_table.count &&
			   found->port != 0),
		"a backend that somebody wrote");
}

static void addresses(void)
{
	uint32_t w[4] = {take(1) & 1 ? take(4) : 0, take(1) & 1 ? take(4) : 0, take(4), take(4)};
	struct weir_address a, b;

	weir_address_from_v4(&a, w[3]);
	weir_address_from_v6(&b, 0, 0, WEIR_V4_MAPPED, w[3]);
	require(weir_address_equal(&a, &b) && weir_address_is_v4(&a),
		"one form of an IPv4 address");
	require(a.word[3] != 0, "0.0.0.0 is loopback");
	weir_address_from_v6(&b, w[0], w[1], w[2], w[3]);
	require(b.word[0] | b.word[1] | b.word[2] | b.word[3], ":: is loopback");
	if (w[0] | w[1] | w[2] | w[3])
		require(b.word[0] == w[0] && b.word[1] == w[1] && b.word[2] == w[2],
			"else as it is");
	if (weir_address_is_loopback(&b))
		require(weir_address_is_v4(&b) || b.word[3] == bpf_htonl(1), "127/8 or ::1");
}

static void who(void)
{
	static struct weir_workload workloads[32];
	struct test_table table = TABLE(workloads);
	struct weir_socket socket = {.birth_cgroup = take(1) & 3, .birth_workload = take(1) % 48};
	uint64_t word = take(8), seconds = take(4), cgroup = take(1) & 3;
	uint32_t workload = take(1) % 48, slot = weir_slot_in_force(word, seconds);
	uint16_t identity;

	require(slot < WEIR_SLOTS_OF_GENERATIONS, "one of two slots");
	require(slot == (word & 1) || (word >> 1 && seconds >= word >> 1), "till the deadline");
	for (int i = 0; i < 32; i++)
		workloads[i] = (struct weir_workload){take(1), take(1) & 1, 0};
	table.count = take(1) % 33;
	identity = weir_identity_of(&table, workload);
	if (workload >= WEIR_FIRST_WORKLOAD && workload >= table.count)
		require(identity == WEIR_UNKNOWN, "nobody in this generation");
	require(identity != WEIR_ANY || workload == 0, "nobody is everybody");
	if (weir_birth_allows(&table, &socket, cgroup, workload))
		require(socket.birth_cgroup == cgroup || socket.birth_workload == workload ||
				(socket.birth_workload < table.count &&
				 workloads[socket.birth_workload].flags),
			"only its own maker's socket, or a lender's");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	input = data;
	left = size;
	who();
	addresses();
	steering();
	demands();
	verdicts();
	return 0;
}
