/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* getpeername() tells the application what it asked for, not the proxy to which connect() has led it. */
#include <linux/bpf.h>
#include "maps.h"
#include "addr.h"

#define CALL_ALLOWED 1

SEC("cgroup/getpeername4")
int shunt_getpeername4(struct bpf_sock_addr *ctx)
{
	const struct origin *origin = bpf_sk_storage_get(&origins, ctx->sk, 0, 0);

	if (origin && origin->role == ORIGIN_ASKED && origin->address.family == FAMILY_IPV4) {
		ctx->user_ip4 = origin->address.words[0];
		ctx->user_port = bpf_htons(origin->port);
	}
	return CALL_ALLOWED;
}

SEC("cgroup/getpeername6")
int shunt_getpeername6(struct bpf_sock_addr *ctx)
{
	const struct origin *origin = bpf_sk_storage_get(&origins, ctx->sk, 0, 0);
	bool ipv4;

	if (!origin || origin->role != ORIGIN_ASKED)
		return CALL_ALLOWED;
	ipv4 = origin->address.family == FAMILY_IPV4;
	ctx->user_ip6[0] = ipv4 ? 0 : origin->address.words[0];
	ctx->user_ip6[1] = ipv4 ? 0 : origin->address.words[1];
	ctx->user_ip6[2] = ipv4 ? bpf_htonl(0xffff) : origin->address.words[2];
	ctx->user_ip6[3] = ipv4 ? origin->address.words[0] : origin->address.words[3];
	ctx->user_port = bpf_htons(origin->port);
	return CALL_ALLOWED;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
