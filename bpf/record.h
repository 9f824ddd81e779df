/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is told of a decision: a count always, a flow where sampled. Neither ever holds up a connection. */
#ifndef SHUNT_RECORD_H
#define SHUNT_RECORD_H

#include "decide.h"
#include "pod.h"

static __always_inline void count_verdict(__u64 pod, __u8 direction, struct decision d)
{
	struct verdict_key key = {
		.pod = pod,
		.direction = direction,
		.verdict = d.verdict,
		.reason = d.reason,
	};
	__u64 *value = bpf_map_lookup_elem(&verdicts, &key), zero = 0;

	if (!value) {
		/* Another CPU may be first; the element is then ours as well. */
		bpf_map_update_elem(&verdicts, &key, &zero, BPF_NOEXIST);
		value = bpf_map_lookup_elem(&verdicts, &key);
	}
	if (value)
		__sync_fetch_and_add(value, 1);
	else
		count(COUNTER_VERDICT_UNCOUNTED);
}

static __always_inline bool is_sampled(void)
{
	const struct control *c = control();
	__u64 interval = c ? c->flow_interval : 0;

	if (interval <= 1)
		return interval;
	return bpf_get_prandom_u32() % (__u32)interval == 0;
}

static __always_inline void record_flow(const struct request *r, __u16 source_port, __u8 direction,
					struct decision d)
{
	struct flow *flow;

	if (!is_sampled())
		return;
	flow = bpf_ringbuf_reserve(&flows, sizeof(*flow), 0);
	if (!flow) {
		count(COUNTER_FLOW_LOST);
		return;
	}
	flow->time = bpf_ktime_get_ns();
	flow->pod = r->pod;
	flow->source = r->source;
	flow->destination = r->destination;
	flow->source_port = source_port;
	flow->destination_port = r->port;
	flow->pid = bpf_get_current_pid_tgid() >> 32;
	flow->uid = r->uid;
	flow->direction = direction;
	flow->verdict = d.verdict;
	flow->reason = d.reason;
	flow->protocol = r->protocol;
	flow->target_port = d.target_port;
	flow->pad[0] = flow->pad[1] = 0;
	flow->pad2 = 0;
	bpf_get_current_comm(flow->command, sizeof(flow->command));
	bpf_ringbuf_submit(flow, 0);
}

#endif
