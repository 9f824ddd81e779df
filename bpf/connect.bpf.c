/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * connect(): find the pod, decide, and on a redirect remember on the socket what was asked, take the pod's
 * own address as the source, and go to the proxy instead. peer.bpf.c then tells what was asked.
 *
 * Of an AF_INET6 socket a v4-mapped destination is IPv4: Java, Go and Node.js connect so.
 */
#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/errno.h>
#include "proxy_address.h"
#include "unknown.h"

#define CALL_REFUSED 0
#define CALL_ALLOWED 1

/* Fails closed: a connection whose destination the proxy could not learn is refused. */
static __always_inline int refuse(int error)
{
	bpf_set_retval(error);
	return CALL_REFUSED;
}

/* The MPTCP socket is what the application has; connect() sees its first subflow. */
static __always_inline struct mptcp_sock *mptcp_socket(struct bpf_sock_addr *ctx)
{
	return bpf_skc_to_mptcp_sock(ctx->sk);
}

static __always_inline bool remember(struct bpf_sock_addr *ctx, const struct request *r)
{
	struct origin *origin = bpf_sk_storage_get(&origins, ctx->sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	struct mptcp_sock *mptcp;

	if (!origin)
		return false;
	origin->address = r->destination;
	origin->port = r->port;
	origin->role = ORIGIN_ASKED;
	mptcp = mptcp_socket(ctx);
	if (!mptcp)
		return true;
	origin = bpf_sk_storage_get(&origins, mptcp, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!origin)
		return false;
	origin->address = r->destination;
	origin->port = r->port;
	origin->role = ORIGIN_ASKED;
	return true;
}

/* The socket may have been redirected by an earlier connect(). */
static __always_inline void forget(struct bpf_sock_addr *ctx)
{
	struct mptcp_sock *mptcp = mptcp_socket(ctx);

	bpf_sk_storage_delete(&origins, ctx->sk);
	if (mptcp)
		bpf_sk_storage_delete(&origins, mptcp);
}

/* The verdict on a call, counted and told. @error: what connect() says where it is refused. */
static __always_inline struct decision decide_call(struct bpf_sock_addr *ctx, struct caller *caller,
						   struct request *r, int *error)
{
	struct decision d = judge(caller, bpf_get_netns_cookie(ctx), r);

	*error = -EPERM;
	if (d.verdict == VERDICT_REDIRECT && !remember(ctx, r)) {
		/* An application can bring this about by filling its socket's option memory. */
		d = (struct decision){.verdict = VERDICT_DENY, .reason = REASON_NO_MEMORY};
		*error = -ENOMEM;
	}
	/* Of datagrams only what is steered is told. */
	if (r->protocol == IPPROTO_TCP || d.verdict != VERDICT_BYPASS) {
		count_verdict(r->pod, DIRECTION_OUTBOUND, d);
		record_flow(r, ctx->sk->src_port, DIRECTION_OUTBOUND, d, true);
	}
	if (d.verdict == VERDICT_BYPASS)
		forget(ctx);
	return d;
}

/* @return whether connect() may go on. */
static __always_inline int call_of_unknown(struct bpf_sock_addr *ctx, struct request *r)
{
	struct decision d = decide_unknown(bpf_get_netns_cookie(ctx));

	record_unknown(r, ctx->sk->src_port, d);
	if (d.verdict == VERDICT_DENY)
		return refuse(-EPERM);
	forget(ctx);
	return CALL_ALLOWED;
}

/* Open: of a pod that the agent knows and has not enrolled. Other protocols are not captured. */
static __always_inline bool is_others(const struct bpf_sock_addr *ctx, const struct caller *caller)
{
	return !caller->pod || (ctx->protocol != IPPROTO_TCP && ctx->protocol != IPPROTO_UDP);
}

/*
 * The proxy has to see the pod's address, as it does with iptables, and not 127.0.0.1. Open: without it the
 * connection works, the proxy only sees another peer. The address is not known before the sandbox.
 */
static __always_inline void bind_ipv4(struct bpf_sock_addr *ctx, const struct pod_record *record)
{
	struct sockaddr_in source = {.sin_family = AF_INET, .sin_addr.s_addr = record->ipv4.words[0]};

	if (record->ipv4.family != FAMILY_IPV4 || bpf_bind(ctx, (struct sockaddr *)&source, sizeof(source)))
		count(COUNTER_SOURCE_UNBOUND);
}

static __always_inline void bind_ipv6(struct bpf_sock_addr *ctx, const struct address *address)
{
	struct sockaddr_in6 source = {.sin6_family = AF_INET6};
	bool ipv4 = address->family == FAMILY_IPV4;

	source.sin6_addr.in6_u.u6_addr32[0] = ipv4 ? 0 : address->words[0];
	source.sin6_addr.in6_u.u6_addr32[1] = ipv4 ? 0 : address->words[1];
	source.sin6_addr.in6_u.u6_addr32[2] = ipv4 ? bpf_htonl(0xffff) : address->words[2];
	source.sin6_addr.in6_u.u6_addr32[3] = ipv4 ? address->words[0] : address->words[3];
	if (address->family == FAMILY_NONE || bpf_bind(ctx, (struct sockaddr *)&source, sizeof(source)))
		count(COUNTER_SOURCE_UNBOUND);
}

/*
 * Of a datagram socket, so that getsockname() tells what it tells with iptables: programs connect one to a public DNS
 * server only to learn their own address. One that has a port already cannot be bound; loopback is its source then.
 */
static __always_inline bool needs_source(const struct bpf_sock_addr *ctx, const struct request *r)
{
	return r->source.family == FAMILY_NONE && (r->protocol == IPPROTO_TCP || !ctx->sk->src_port);
}

static __always_inline struct request request_ipv4(const struct bpf_sock_addr *ctx)
{
	struct request r = {.protocol = ctx->protocol, .port = bpf_ntohs(ctx->user_port)};

	/* An AF_INET6 socket of UDP comes here too when it is given an AF_INET address. */
	r.source = bound_source(ctx->sk, ctx->sk->family == AF_INET6);
	r.destination = address_ipv4(ctx->user_ip4);
	/* The kernel takes 0.0.0.0 for the socket's own address. */
	if (address_is_unspecified(&r.destination))
		r.destination = r.source.family == FAMILY_IPV4 ? r.source : address_ipv4(IPV4_LOOPBACK);
	return r;
}

SEC("cgroup/connect4")
int shunt_connect4(struct bpf_sock_addr *ctx)
{
	struct caller caller = find_caller();
	struct request r;
	struct decision d;
	int error;

	if (is_in_unknown_pod(&caller)) {
		r = request_ipv4(ctx);
		return call_of_unknown(ctx, &r);
	}
	if (is_others(ctx, &caller))
		return CALL_ALLOWED;
	if (!caller.record) {
		/* Closed: the pod is known, its policy is not. */
		count(COUNTER_RECORD_FOREIGN);
		return refuse(-EPERM);
	}
	r = request_ipv4(ctx);
	r.pod = caller.pod;
	d = decide_call(ctx, &caller, &r, &error);
	if (d.verdict == VERDICT_DENY)
		return refuse(error);
	if (d.verdict == VERDICT_BYPASS)
		return CALL_ALLOWED;
	if (needs_source(ctx, &r))
		bind_ipv4(ctx, caller.record);
	ctx->user_ip4 = proxy_ipv4(ctx, &r, d, caller.record);
	ctx->user_port = bpf_htons(d.target_port);
	return CALL_ALLOWED;
}

static __always_inline struct request request_ipv6(const struct bpf_sock_addr *ctx)
{
	struct request r = {.protocol = ctx->protocol, .port = bpf_ntohs(ctx->user_port)};

	r.source = bound_source(ctx->sk, true);
	r.destination = address_ipv6(ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3]);
	if (!address_is_unspecified(&r.destination))
		return r;
	/* Linux 6.18, tcp_v6_connect(): :: is ::1, or ::ffff:127.0.0.1 where the socket is bound to a mapped address. */
	if (r.destination.family == FAMILY_IPV4)
		r.destination = r.source.family == FAMILY_IPV4 ? r.source : address_ipv4(IPV4_LOOPBACK);
	else if (r.source.family == FAMILY_IPV4)
		r.destination = address_ipv4(IPV4_LOOPBACK);
	else
		r.destination.words[3] = bpf_htonl(1);
	return r;
}

SEC("cgroup/connect6")
int shunt_connect6(struct bpf_sock_addr *ctx)
{
	struct caller caller = find_caller();
	struct request r;
	struct decision d;
	int error;

	if (is_in_unknown_pod(&caller)) {
		r = request_ipv6(ctx);
		return call_of_unknown(ctx, &r);
	}
	if (is_others(ctx, &caller))
		return CALL_ALLOWED;
	if (!caller.record) {
		/* Closed: the pod is known, its policy is not. */
		count(COUNTER_RECORD_FOREIGN);
		return refuse(-EPERM);
	}
	r = request_ipv6(ctx);
	r.pod = caller.pod;

	d = decide_call(ctx, &caller, &r, &error);
	if (d.verdict == VERDICT_DENY)
		return refuse(error);
	if (d.verdict == VERDICT_BYPASS)
		return CALL_ALLOWED;
	if (r.destination.family == FAMILY_IPV4) {
		if (needs_source(ctx, &r))
			bind_ipv6(ctx, &caller.record->ipv4);
		ctx->user_ip6[0] = 0;
		ctx->user_ip6[1] = 0;
		ctx->user_ip6[2] = bpf_htonl(0xffff);
		ctx->user_ip6[3] = proxy_ipv4(ctx, &r, d, caller.record);
	} else {
		if (needs_source(ctx, &r))
			bind_ipv6(ctx, &caller.record->ipv6);
		ctx->user_ip6[0] = 0;
		ctx->user_ip6[1] = 0;
		ctx->user_ip6[2] = 0;
		ctx->user_ip6[3] = bpf_htonl(1);
	}
	ctx->user_port = bpf_htons(d.target_port);
	return CALL_ALLOWED;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
