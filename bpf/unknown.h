/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Calls from pods that the agent does not know (yet): no Pod object, or one that came later than the pod's first
 * process. Which of the pods' cgroups it is only names could tell, so they are all counted as pod 0, of the node.
 */
#ifndef SHUNT_UNKNOWN_H
#define SHUNT_UNKNOWN_H

#include "record.h"

/*
 * Open or closed: open unless the agent was told otherwise, as the pod may have nothing to do with the mesh. Closed with
 * --unknown-pods=deny, also while no agent runs: a pod that starts then would get around its proxy as well.
 *
 * In the host's namespace always open. No hostNetwork pod is ever captured, and the agent itself is one, as are the API
 * server and the network's own daemons: a node on which they were refused could not come to know anybody.
 */
static __always_inline struct decision decide_unknown(__u64 netns_cookie)
{
	const struct control *c = control();
	bool denied = c && c->unknown_pods == UNKNOWN_PODS_DENY && netns_cookie != host_netns_cookie;

	return (struct decision){
		.verdict = denied ? VERDICT_DENY : VERDICT_BYPASS,
		.reason = REASON_UNKNOWN_POD,
	};
}

/* Counted, and told with the cgroup of the container. Of datagrams only what is refused. */
static __always_inline void record_unknown(struct request *r, __u16 source_port, struct decision d)
{
	if (r->protocol != IPPROTO_TCP && d.verdict == VERDICT_BYPASS)
		return;
	r->pod = bpf_get_current_cgroup_id();
	r->uid = (__u32)bpf_get_current_uid_gid();
	count_verdict(0, DIRECTION_OUTBOUND, d);
	record_flow(r, source_port, DIRECTION_OUTBOUND, d, true);
}

/* Datagrams of unconnected sockets. Where unknown pods pass nobody is looked for. */
static __always_inline bool is_unknown_refused(struct bpf_sock_addr *ctx, struct request *r)
{
	const struct control *c = control();
	struct caller caller;
	struct decision d;

	if (!c || c->unknown_pods != UNKNOWN_PODS_DENY)
		return false;
	caller = find_caller();
	if (!is_in_unknown_pod(&caller))
		return false;
	d = decide_unknown(bpf_get_netns_cookie(ctx));
	record_unknown(r, ctx->sk->src_port, d);
	return d.verdict == VERDICT_DENY;
}

#endif
