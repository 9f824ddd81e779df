/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Whose listener it is can only be asked where a task calls: at bind(). sockops, which sees the listen(), knows no
 * caller on 6.1 and 6.12. So bind() marks the proxy's socket, and listen() looks at the mark (handoff.bpf.c).
 */
#include <linux/bpf.h>
#include <linux/in.h>
#include "listener.h"
#include "record.h"

#define CALL_ALLOWED 1

/*
 * An address that the application binds to the proxy's port gets no mark: what is steered to the proxy must not
 * end there. A missing mark fails closed, for then the proxy has no listener.
 */
static __always_inline int mark_if_proxy(struct bpf_sock *sk)
{
	struct caller caller = find_caller();
	const struct policy *policy;
	struct request r = {};

	if (!caller.record || sk->protocol != IPPROTO_TCP)
		return CALL_ALLOWED;
	policy = find_policy(caller.record);
	if (!policy || sk->src_port != policy->inbound_port)
		return CALL_ALLOWED;
	if (is_foreign_netns(caller.record, bpf_get_netns_cookie(sk)))
		return CALL_ALLOWED;
	identify(&caller, &r);
	if (!is_proxy_uid(policy, &r) && !is_proxy_gid(policy, &r))
		return CALL_ALLOWED;
	if (!mark_listener(sk, caller.pod))
		count(COUNTER_LISTENER_UNLISTED);
	return CALL_ALLOWED;
}

SEC("cgroup/post_bind4")
int shunt_post_bind4(struct bpf_sock *sk)
{
	return mark_if_proxy(sk);
}

SEC("cgroup/post_bind6")
int shunt_post_bind6(struct bpf_sock *sk)
{
	return mark_if_proxy(sk);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
