/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Who calls: the pod of the current task, by its cgroup, and the policy that it has. */
#ifndef SHUNT_POD_H
#define SHUNT_POD_H

#include <stdbool.h>
#include "maps.h"

/* Set by the agent before load. Sockets of the host's namespace are never steered. */
const volatile __u64 host_netns_cookie __weak = 0;

#define MAX_LEVELS 16 /* levels below the root at which a pod's cgroup may be */

static __always_inline void count(enum counter counter)
{
	__u32 key = counter;
	__u64 *value = bpf_map_lookup_elem(&counters, &key);

	/* Per CPU, but a program may be preempted by another one on the same CPU. */
	if (value)
		__sync_fetch_and_add(value, 1);
}

static __always_inline const struct control *control(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&controls, &zero);
}

struct caller {
	__u64 pod;			 /* cgroup id; 0: the task is in no pod that is enrolled */
	__u32 level;			 /* of the pod's cgroup */
	bool outside;			 /* in a pod that is known and not enrolled */
	const struct pod_record *record; /* NULL with a pod: its slot is another's by now */
};

/*
 * The pod is the task's nearest ancestor to the root that is in the map: a cgroup that an application
 * makes below its own cannot take its place. Levels at which there are no pods cost nothing.
 */
static __always_inline struct caller find_caller(void)
{
	const struct control *c = control();
	struct caller caller = {};
	__u32 i;

	if (!c)
		return caller;

	for (i = 0; i < MAX_LEVELS; i++) {
		__u32 level = c->first_level + i, *slot;
		__u64 id;

		if (!(c->pod_levels >> i))
			return caller;
		if (!(c->pod_levels >> i & 1))
			continue;
		id = bpf_get_current_ancestor_cgroup_id(level);
		if (!id)
			return caller;
		slot = bpf_map_lookup_elem(&pods, &id);
		if (!slot)
			continue;
		if (*slot == POD_SLOT_OUTSIDE) {
			caller.outside = true;
			return caller;
		}
		caller.pod = id;
		caller.level = level;
		caller.record = bpf_map_lookup_elem(&pod_records, slot);
		if (caller.record && caller.record->cgroup_id != id)
			caller.record = NULL;
		return caller;
	}
	return caller;
}

/*
 * In a pod that the agent has not entered: kubelet puts nothing but pods below their root, so who is below it and in no
 * pod that is known is in an unknown one. No entry is needed for that, which could come too late.
 */
static __always_inline bool is_in_unknown_pod(const struct caller *caller)
{
	const struct control *c = control();

	return !caller->pod && !caller->outside && c && bpf_get_current_ancestor_cgroup_id(c->first_level);
}

/* A pod's sockets are those of its own network namespace; the host's never are. */
static __always_inline bool is_foreign_netns(const struct pod_record *record, __u64 cookie)
{
	return cookie == host_netns_cookie || (record->netns_cookie && record->netns_cookie != cookie);
}

struct netns_search {
	__u64 cookie;
	struct caller found;
};

static long is_pod_of_netns(__u32 index, struct netns_search *search)
{
	const struct pod_record *record = bpf_map_lookup_elem(&pod_records, &index);
	__u32 *slot;
	__u64 id;

	if (!record)
		return 1; /* past the end */
	if (record->netns_cookie != search->cookie)
		return 0;
	id = record->cgroup_id;
	slot = bpf_map_lookup_elem(&pods, &id);
	/* An outside pod's slot is no index. */
	if (!slot || *slot != index)
		return 0;
	search->found.pod = id;
	return 1;
}

/*
 * The pod whose namespace it is; pod 0: no pod's that is known. Every record is looked at, because nobody but a pod
 * with sockets of another namespace comes here: nested containers, and who got a socket from another pod.
 */
static __always_inline struct caller find_pod_of_netns(__u64 cookie)
{
	struct netns_search search = {.cookie = cookie};
	__u32 *slot;

	bpf_loop(1 << 20, is_pod_of_netns, &search, 0);
	if (!search.found.pod)
		return search.found;
	slot = bpf_map_lookup_elem(&pods, &search.found.pod);
	search.found.record = slot ? bpf_map_lookup_elem(&pod_records, slot) : NULL;
	if (search.found.record && search.found.record->cgroup_id != search.found.pod)
		search.found.record = NULL;
	return search.found;
}

static __always_inline const struct policy *policy_by_id(__u64 id)
{
	const struct policy *policy = bpf_map_lookup_elem(&policies, &id);

	return policy && policy->id == id ? policy : NULL;
}

/*
 * The id is read once; everything that is decided comes from that policy. The agent deletes an old policy
 * only a grace period after the flip, so a miss means that the flip went past us: read once more.
 * NULL: the map and the record disagree. The caller refuses.
 */
static __always_inline const struct policy *find_policy(const struct pod_record *record)
{
	const volatile __u64 *id = &record->policy;
	const struct policy *policy = policy_by_id(*id);

	return policy ? policy : policy_by_id(*id);
}

/* Under the proxy container's cgroup, which is one level below the pod's. */
static __always_inline bool is_proxy_cgroup(const struct caller *caller)
{
	__u64 id = caller->record->proxy_cgroup_id;

	return id && bpf_get_current_ancestor_cgroup_id(caller->level + 1) == id;
}

#endif
