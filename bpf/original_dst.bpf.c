/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * SO_ORIGINAL_DST, as netfilter's getorigdst() answers it (net/netfilter/nf_conntrack_proto.c): the address
 * that the application asked for. Our stored origin wins whatever the kernel said, because with NAT rules
 * in the pod the kernel says 127.0.0.1:15001 and calls that a success.
 */
#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/errno.h>
#include "addr.h"
#include "pod.h"

#define SOL_IP 0
#define SO_ORIGINAL_DST 80

/* For the proxy's listener a missing origin is a loss; any other socket may ask in vain. */
static __always_inline void count_if_lost(struct bpf_sock *sk)
{
	struct caller caller = find_caller();
	const struct policy *policy;

	if (!caller.record)
		return;
	policy = find_policy(caller.record);
	if (policy && sk->src_port == policy->outbound_port)
		count(COUNTER_HANDOFF_LOST);
}

SEC("cgroup/getsockopt")
int shunt_getsockopt(struct bpf_sockopt *ctx)
{
	struct sockaddr_in *answer;
	struct origin *origin;
	struct bpf_sock *sk;
	void *end;

	if (ctx->level != SOL_IP || ctx->optname != SO_ORIGINAL_DST)
		return 1;
	sk = ctx->sk;
	if (!sk)
		return 1;
	origin = bpf_sk_storage_get(&origins, sk, 0, 0);
	if (!origin || origin->role != ORIGIN_ACCEPTED || origin->address.family != FAMILY_IPV4) {
		count_if_lost(sk);
		return 1;
	}
	answer = ctx->optval;
	end = ctx->optval_end;
	if ((void *)(answer + 1) > end || ctx->optlen < (int)sizeof(*answer)) {
		bpf_set_retval(-EINVAL);
		return 1;
	}
	/* optlen stays as the caller gave it. */
	__builtin_memset(answer, 0, sizeof(*answer));
	answer->sin_family = AF_INET;
	answer->sin_port = bpf_htons(origin->port);
	answer->sin_addr.s_addr = origin->address.words[0];
	bpf_set_retval(0);
	return 1;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
