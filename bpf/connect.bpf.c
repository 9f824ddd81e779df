/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * connect(): find the pod, decide, and on a redirect remember on the socket what was asked, take the pod's
 * own address as the source, and go to the proxy instead. getpeername() then tells what was asked.
 */
#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/errno.h>
#include "record.h"

#define CALL_REFUSED 0
#define CALL_ALLOWED 1

/* Source and destination as the kernel will have them: it takes 0.0.0.0 for the socket's own address. */
static __always_inline void read_request(struct bpf_sock_addr *ctx, const struct caller *caller,
					 struct request *r)
{
	__be32 source = ctx->sk->src_ip4, destination = ctx->user_ip4;

	if (!destination)
		destination = source ? source : IPV4_LOOPBACK;
	r->pod = caller->pod;
	if (source)
		r->source = address_ipv4(source);
	r->destination = address_ipv4(destination);
	r->port = bpf_ntohs(ctx->user_port);
	r->protocol = ctx->protocol;
	identify(caller, r);
}

/* Fails closed: a connection whose destination the proxy could not learn is refused. */
static __always_inline int refuse(int error)
{
	bpf_set_retval(error);
	return CALL_REFUSED;
}

/* The proxy has to see the pod's address, as it does with iptables, and not 127.0.0.1. */
static __always_inline void bind_source(struct bpf_sock_addr *ctx, const struct pod_record *record)
{
	struct sockaddr_in source = {.sin_family = AF_INET};

	if (ctx->sk->src_ip4)
		return; /* the application has bound it */
	source.sin_addr.s_addr = record->ipv4.words[0];
	/* Open: without it the connection works, the proxy only sees another peer. Unknown before the sandbox. */
	if (record->ipv4.family != FAMILY_IPV4 || bpf_bind(ctx, (struct sockaddr *)&source, sizeof(source)))
		count(COUNTER_SOURCE_UNBOUND);
}

static __always_inline bool remember(struct bpf_sock_addr *ctx, const struct request *r)
{
	struct origin *origin = bpf_sk_storage_get(&origins, ctx->sk, 0, BPF_SK_STORAGE_GET_F_CREATE);

	if (!origin)
		return false;
	origin->address = r->destination;
	origin->port = r->port;
	origin->role = ORIGIN_ASKED;
	return true;
}

SEC("cgroup/connect4")
int shunt_connect4(struct bpf_sock_addr *ctx)
{
	struct caller caller = find_caller();
	const struct policy *policy;
	struct request r = {};
	struct decision d;
	int error = -EPERM;

	/* Open: under the root, but of no pod that the agent has enrolled. Other protocols are not captured. */
	if (!caller.pod || ctx->protocol != IPPROTO_TCP)
		return CALL_ALLOWED;
	if (!caller.record) {
		/* Closed: the pod is known, its policy is not. */
		count(COUNTER_RECORD_FOREIGN);
		return refuse(-EPERM);
	}
	read_request(ctx, &caller, &r);
	if (is_foreign_netns(caller.record, bpf_get_netns_cookie(ctx))) {
		d = bypass(REASON_FOREIGN_NETNS);
	} else if ((policy = find_policy(caller.record))) {
		d = decide_outbound(policy, &r);
	} else {
		count(COUNTER_POLICY_MISSING);
		d = (struct decision){.verdict = VERDICT_DENY, .reason = REASON_UNKNOWN_POD};
	}
	if (d.verdict == VERDICT_REDIRECT && !remember(ctx, &r)) {
		/* An application can bring this about by filling its socket's option memory. */
		d = (struct decision){.verdict = VERDICT_DENY, .reason = REASON_NO_MEMORY};
		error = -ENOMEM;
	}

	count_verdict(r.pod, DIRECTION_OUTBOUND, d);
	record_flow(&r, ctx->sk->src_port, DIRECTION_OUTBOUND, d, true);

	if (d.verdict == VERDICT_DENY)
		return refuse(error);
	if (d.verdict == VERDICT_BYPASS) {
		/* The socket may have been redirected by an earlier connect(). */
		bpf_sk_storage_delete(&origins, ctx->sk);
		return CALL_ALLOWED;
	}
	bind_source(ctx, caller.record);
	ctx->user_ip4 = IPV4_LOOPBACK;
	ctx->user_port = bpf_htons(d.target_port);
	return CALL_ALLOWED;
}

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

char LICENSE[] SEC("license") = "Dual BSD/GPL";
