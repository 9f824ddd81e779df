/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is told of a decision: a count always, a flow where sampled. Neither ever holds up a connection. */
#ifndef SHUNT_RECORD_H
#define SHUNT_RECORD_H

#include "decide.h"
#include "pod.h"

/* Who calls, in the pod's own ids. */
static __always_inline void identify(const struct caller *caller, struct request *r)
{
	const struct pod_record *record = caller->record;
	__u64 ids = bpf_get_current_uid_gid();

	r->uid = (__u32)ids - record->uid_base;
	r->gid = (__u32)(ids >> 32) - record->gid_base;
	r->proxy_cgroup = is_proxy_cgroup(caller);
	r->cgroup_only = record->flags & POD_FLAG_PROXY_CGROUP_ONLY;
	r->ipv6 = record->flags & POD_FLAG_IPV6;
}

/*
 * The socket is of another pod's namespace, passed over a unix socket: its way out is that pod's, and so is the
 * policy. Nobody of this pod is that one's proxy by the cgroup.
 */
static __always_inline bool hand_over(struct caller *caller, __u64 netns_cookie, struct request *r)
{
	struct caller owner;

	if (netns_cookie == host_netns_cookie)
		return false;
	owner = find_pod_of_netns(netns_cookie);
	if (!owner.record)
		return false;
	*caller = owner;
	r->pod = owner.pod;
	r->proxy_cgroup = false;
	r->cgroup_only = owner.record->flags & POD_FLAG_PROXY_CGROUP_ONLY;
	r->ipv6 = owner.record->flags & POD_FLAG_IPV6;
	return true;
}

/* The verdict on what a task of a pod does outbound. @caller: then the pod whose policy it is. */
static __always_inline struct decision judge(struct caller *caller, __u64 netns_cookie, struct request *r)
{
	const struct policy *policy;

	identify(caller, r);
	if (is_foreign_netns(caller->record, netns_cookie) && !hand_over(caller, netns_cookie, r))
		return bypass(REASON_FOREIGN_NETNS);
	policy = find_policy(caller->record);
	if (policy)
		return decide_outbound(policy, r);
	/* Closed: the pod is known, its policy is not. */
	count(COUNTER_POLICY_MISSING);
	return (struct decision){.verdict = VERDICT_DENY, .reason = REASON_UNKNOWN_POD};
}

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

/* @in_task: the current task is the one that asks; where a packet does, nobody is. */
static __always_inline void record_flow(const struct request *r, __u16 source_port, __u8 direction,
					struct decision d, bool in_task)
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
	flow->pid = in_task ? bpf_get_current_pid_tgid() >> 32 : 0;
	flow->uid = r->uid;
	flow->direction = direction;
	flow->verdict = d.verdict;
	flow->reason = d.reason;
	flow->protocol = r->protocol;
	flow->target_port = d.target_port;
	flow->pad[0] = flow->pad[1] = 0;
	flow->pad2 = 0;
	if (in_task)
		bpf_get_current_comm(flow->command, sizeof(flow->command));
	else
		__builtin_memset(flow->command, 0, sizeof(flow->command));
	bpf_ringbuf_submit(flow, 0);
}

#endif
