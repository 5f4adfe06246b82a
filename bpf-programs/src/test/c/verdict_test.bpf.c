// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * The verdict of the generation in force, asked through bpf_prog_test_run: the same header on the
 * same maps as connect(), so that whoever writes the tables can hold them to their meaning.
 *
 * data_in and data_out are one struct weir_verdict_test; the return value is the verdict.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "weir/identity.h"
#include "weir/maps.h"
#include "weir/verdict.h"

struct weir_verdict_test {
	__u8 ethernet[16]; /* the test runner wants a header; zeroes */
	/* in */
	__u32 source;      /* identity */
	__u32 destination; /* identity */
	__u16 port;
	__u8 protocol; /* enum weir_protocol */
	/* out */
	__u8 verdict; /* enum weir_verdict */
	__u16 rule;
	__u8 reason;   /* enum weir_reason */
	__u8 answered; /* 1; 0: no generation is in force */
	__u64 generation;
};

const struct weir_verdict_test_layout {
	struct weir_verdict_test test;
} weir_verdict_test_layout SEC(".weir_layout") = {};

SEC("tc")
int weir_verdict_test(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct weir_verdict_test *test = data;
	struct weir_verdict_tables tables;
	struct weir_question question = {};
	struct weir_answer answer = {};
	struct weir_view view;

	if ((void *)(test + 1) > end)
		return -1;
	test->answered = 0;
	weir_look(&view);
	if (!view.generation)
		return -1;
	tables.identities = WEIR_TABLE_OF(identities, &view);
	tables.verdicts = WEIR_TABLE_OF(verdicts, &view);
	tables.port_classes = WEIR_TABLE_OF(port_classes, &view);
	if (!tables.identities || !tables.verdicts || !tables.port_classes)
		return -1;
	question.source = test->source;
	question.destination = test->destination;
	question.port = test->port;
	question.protocol = test->protocol;
	weir_judge(&tables, view.generation, &question, &answer);
	test->verdict = answer.verdict;
	test->rule = answer.rule;
	test->reason = answer.reason;
	test->answered = 1;
	test->generation = view.generation->number;
	return answer.verdict;
}

char LICENSE[] SEC("license") = "GPL";
