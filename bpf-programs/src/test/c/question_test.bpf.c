// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * A whole question, as a hook would ask it once it knows who asks and what for: workload or address
 * -> identity -> verdict of the generation in force, with the programs' own functions on the same
 * maps, through bpf_prog_test_run.
 *
 * data_in and data_out are one struct weir_question_test.
 */
#include "weir.bpf.c"

struct weir_question_test {
	__u8 ethernet[16]; /* the test runner wants a header; zeroes */
	/* in */
	struct weir_address from; /* where the workload is 0 */
	struct weir_address to;
	__u32 from_workload;
	__u32 to_workload;
	__u16 port;
	__u8 protocol; /* enum weir_protocol */
	/* out */
	__u8 verdict; /* enum weir_verdict */
	__u16 rule;
	__u8 answered; /* 1; 0: no generation is in force */
	__u8 pad;
};

const struct weir_question_test_layout {
	struct weir_question_test test;
} weir_question_test_layout SEC(".weir_layout") = {};

WEIR_FUNCTION __u32 weir_identity_of_side(struct weir_finding *f, __u32 workload,
					  const struct weir_address *address)
{
	void *table;

	if (!f || !address)
		return WEIR_UNKNOWN;
	if (workload == 0) {
		weir_resolve(f, address);
		return f->identity;
	}
	table = WEIR_TABLE_OF(workloads, &f->view);
	return table ? weir_identity_of(table, workload) : WEIR_UNKNOWN;
}

/* Who comes over a wire is told by its address alone. */
WEIR_FUNCTION __u32 weir_identity_of_source(struct weir_finding *f, __u32 workload,
					    const struct weir_address *address)
{
	if (!f || !address)
		return WEIR_UNKNOWN;
	if (workload)
		return weir_identity_of_side(f, workload, address);
	weir_resolve_source(f, address);
	return f->source_identity;
}

SEC("tc")
int weir_question_test(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct weir_question_test *test = data;
	struct weir_question question = {};
	struct weir_answer answer = {};
	struct weir_finding f = {};
	struct weir_address address;
	__u32 workload, demand;
	_Bool over_wire;

	if ((void *)(test + 1) > end)
		return -1;
	test->answered = 0;
	weir_look(&f.view);
	if (!f.view.generation)
		return -1;
	workload = test->from_workload;
	address = test->from;
	question.source = weir_identity_of_source(&f, workload, &address);
	over_wire = workload == 0 && test->protocol == WEIR_TCP;
	workload = test->to_workload;
	address = test->to;
	question.destination = weir_identity_of_side(&f, workload, &address);
	question.port = test->port;
	question.protocol = test->protocol;
	weir_judge_in(f.view.slot, f.view.generation, &question, &answer);
	/* What weir_admit() does. */
	demand = over_wire && answer.verdict != WEIR_REFUSE
			 ? weir_demand_in(f.view.slot, question.destination, question.port)
			 : 0;
	if (demand) {
		answer.verdict = WEIR_REFUSE;
		answer.rule = demand & 0xffff;
	}
	/* What weir_refuse() and weir_turn_away() do. */
	if (answer.verdict == WEIR_REFUSE && (f.view.generation->flags & WEIR_GENERATION_AUDIT))
		answer.verdict = WEIR_AUDIT;
	test->verdict = answer.verdict;
	test->rule = answer.rule;
	test->answered = 1;
	return answer.verdict;
}
