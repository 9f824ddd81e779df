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

/* optlen stays as the caller gave it. */
static __always_inline int answer_ipv4(struct bpf_sockopt *ctx, __be32 address, __u16 port)
{
	struct sockaddr_in *answer = ctx->optval;
	void *end = ctx->optval_end;

	if ((void *)(answer + 1) > end || ctx->optlen < (int)sizeof(*answer)) {
		bpf_set_retval(-EINVAL);
		return 1;
	}
	__builtin_memset(answer, 0, sizeof(*answer));
	answer->sin_family = AF_INET;
	answer->sin_port = bpf_htons(port);
	answer->sin_addr.s_addr = address;
	bpf_set_retval(0);
	return 1;
}

SEC("cgroup/getsockopt")
int shunt_getsockopt(struct bpf_sockopt *ctx)
{
	struct origin *origin;
	struct bpf_sock *sk;

	if (ctx->level != SOL_IP || ctx->optname != SO_ORIGINAL_DST)
		return 1;
	sk = ctx->sk;
	if (!sk)
		return 1;
	origin = bpf_sk_storage_get(&origins, sk, 0, 0);
	if (origin && origin->role == ORIGIN_ACCEPTED && origin->address.family == FAMILY_IPV4)
		return answer_ipv4(ctx, origin->address.words[0], origin->port);
	/*
	 * Steered in by the socket lookup: it has the address that was asked for. With NAT rules in the pod the
	 * kernel may know of an earlier one, and says so.
	 */
	if (sk->state != BPF_TCP_LISTEN && bpf_sk_storage_get(&proxy_sockets, sk, 0, 0)) {
		if (bpf_get_retval() == 0)
			return 1;
		return answer_ipv4(ctx, sk->src_ip4, sk->src_port);
	}
	count_if_lost(sk);
	return 1;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
