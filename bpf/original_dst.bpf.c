/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * SO_ORIGINAL_DST, as netfilter's getorigdst() answers it (net/netfilter/nf_conntrack_proto.c): the address
 * that the application asked for. Our stored origin wins whatever the kernel said, because with NAT rules
 * in the pod the kernel says 127.0.0.1:15001 and calls that a success.
 */
#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/errno.h>
#include "pod.h"
#include "socket.h"

#define SOL_IP 0
#define SOL_IPV6 41
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

static __always_inline int fail(int error)
{
	bpf_set_retval(error);
	return 1;
}

/* optlen stays as the caller gave it. */
static __always_inline int answer(struct bpf_sockopt *ctx, const struct address *address, __u16 port)
{
	void *end = ctx->optval_end;

	if (address->family == FAMILY_IPV4) {
		struct sockaddr_in *four = ctx->optval;

		if ((void *)(four + 1) > end || ctx->optlen < (int)sizeof(*four))
			return fail(-EINVAL);
		__builtin_memset(four, 0, sizeof(*four));
		four->sin_family = AF_INET;
		four->sin_port = bpf_htons(port);
		four->sin_addr.s_addr = address->words[0];
	} else {
		struct sockaddr_in6 *six = ctx->optval;

		if ((void *)(six + 1) > end || ctx->optlen < (int)sizeof(*six))
			return fail(-EINVAL);
		__builtin_memset(six, 0, sizeof(*six));
		six->sin6_family = AF_INET6;
		six->sin6_port = bpf_htons(port);
		six->sin6_addr.in6_u.u6_addr32[0] = address->words[0];
		six->sin6_addr.in6_u.u6_addr32[1] = address->words[1];
		six->sin6_addr.in6_u.u6_addr32[2] = address->words[2];
		six->sin6_addr.in6_u.u6_addr32[3] = address->words[3];
	}
	return fail(0);
}

/* Level 0 asks for IPv4, of an AF_INET6 socket for v4-mapped; level 41 for IPv6. */
static __always_inline bool is_asked(__s32 level, const struct address *address)
{
	return address->family == (level == SOL_IP ? FAMILY_IPV4 : FAMILY_IPV6);
}

SEC("cgroup/getsockopt")
int shunt_getsockopt(struct bpf_sockopt *ctx)
{
	struct address local;
	struct origin *origin;
	struct bpf_sock *sk;
	__s32 level = ctx->level;

	if ((level != SOL_IP && level != SOL_IPV6) || ctx->optname != SO_ORIGINAL_DST)
		return 1;
	sk = ctx->sk;
	if (!sk)
		return 1;
	origin = bpf_sk_storage_get(&origins, sk, 0, 0);
	if (origin && origin->role == ORIGIN_ACCEPTED && is_asked(level, &origin->address))
		return answer(ctx, &origin->address, origin->port);
	/*
	 * Steered in by the socket lookup: it has the address that was asked for. With NAT rules in the pod the
	 * kernel may know of an earlier one, and says so.
	 */
	if (sk->state != BPF_TCP_LISTEN && bpf_sk_storage_get(&proxy_sockets, sk, 0, 0)) {
		local = bound_source(sk, sk->family == AF_INET6);
		if (bpf_get_retval() == 0 || !is_asked(level, &local))
			return 1;
		return answer(ctx, &local, sk->src_port);
	}
	count_if_lost(sk);
	return 1;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
