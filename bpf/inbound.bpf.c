/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Inbound TCP: the socket lookup answers with the proxy's listener where the connection is to be captured. No
 * packet is rewritten, so the accepted socket has the address and port that the peer asked for.
 *
 * One instance a pod, attached to its network namespace: the program can ask neither for the namespace's cookie
 * nor for a socket's storage, and bpf_sk_assign() takes listeners of other namespaces too.
 */
#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/errno.h>
#include "record.h"

#define LOOPBACK_IFINDEX 1 /* in every network namespace: net/core/dev.c, loopback_net_init() */

/* Set by the agent before load. */
const volatile __u64 inbound_pod = 0; /* cgroup id */
const volatile __u64 inbound_netns_cookie = 0;

static __always_inline struct address lookup_address(__u32 family, __be32 ip4, const __be32 *ip6)
{
	if (family != AF_INET6)
		return address_ipv4(ip4);
	return (struct address){.family = FAMILY_IPV6, .words = {ip6[0], ip6[1], ip6[2], ip6[3]}};
}

/*
 * The first listener of this family that takes the connection. One that was shut down is refused (-ESOCKTNOSUPPORT),
 * as is one of IPv6 alone for IPv4 (-EAFNOSUPPORT); another port is that of an earlier policy.
 */
static __always_inline bool assign(struct bpf_sk_lookup *ctx, __u32 family, __u16 port)
{
	struct listener_key key = {.netns_cookie = inbound_netns_cookie, .family = family};
	struct bpf_sock *sk;
	__u32 slot;
	long error;

	/* A counter of its own: the verifier follows registers, not what helpers may have written. */
	for (slot = 0; slot < LISTENER_SLOTS; slot++) {
		key.slot = slot;
		sk = bpf_map_lookup_elem(&listeners, &key);
		if (!sk)
			continue;
		error = sk->src_port == port ? bpf_sk_assign(ctx, sk, 0) : -ENOENT;
		bpf_sk_release(sk);
		if (!error)
			return true;
	}
	return false;
}

/* Where the socket is bound to a device the interface is that device, not the loopback's: so ask for the address. */
static __always_inline bool from_pod_itself(const struct request *r)
{
	return address_is_loopback(&r->source) || is_pod_address(r->pod, &r->source);
}

SEC("sk_lookup")
int shunt_sk_lookup(struct bpf_sk_lookup *ctx)
{
	struct request r = {.pod = inbound_pod, .protocol = IPPROTO_TCP};
	const struct pod_record *record;
	const struct policy *policy;
	struct decision d;
	__u64 pod = inbound_pod;
	__be32 ip6[4];
	__u32 *slot;

	/* First what is most: the pod's own, the last step to its proxy among it. */
	if (ctx->protocol != IPPROTO_TCP || ctx->ingress_ifindex == LOOPBACK_IFINDEX)
		return SK_PASS;
	/* Open: the pod is enrolled no more, and this program is about to go. */
	slot = bpf_map_lookup_elem(&pods, &pod);
	if (!slot)
		return SK_PASS;
	record = bpf_map_lookup_elem(&pod_records, slot);
	if (!record || record->cgroup_id != pod) {
		/* Closed: the pod is known, its policy is not. */
		count(COUNTER_RECORD_FOREIGN);
		return SK_DROP;
	}

	ip6[0] = ctx->remote_ip6[0], ip6[1] = ctx->remote_ip6[1];
	ip6[2] = ctx->remote_ip6[2], ip6[3] = ctx->remote_ip6[3];
	r.source = lookup_address(ctx->family, ctx->remote_ip4, ip6);
	ip6[0] = ctx->local_ip6[0], ip6[1] = ctx->local_ip6[1];
	ip6[2] = ctx->local_ip6[2], ip6[3] = ctx->local_ip6[3];
	r.destination = lookup_address(ctx->family, ctx->local_ip4, ip6);
	r.port = ctx->local_port;
	r.ipv6 = record->flags & POD_FLAG_IPV6;
	r.interface = ctx->ingress_ifindex;
	if (from_pod_itself(&r))
		return SK_PASS;

	policy = find_policy(record);
	if (policy) {
		d = decide_inbound(policy, &r);
	} else {
		count(COUNTER_POLICY_MISSING);
		d = (struct decision){.verdict = VERDICT_DENY, .reason = REASON_UNKNOWN_POD};
	}
	/* Closed: while no proxy listens the connection is refused. It never falls through to the application. */
	if (d.verdict == VERDICT_REDIRECT &&
	    !(ctx->family != AF_INET6 && assign(ctx, FAMILY_IPV4, d.target_port)) &&
	    !assign(ctx, FAMILY_IPV6, d.target_port))
		d = (struct decision){.verdict = VERDICT_DENY, .reason = REASON_NO_LISTENER};

	count_verdict(r.pod, DIRECTION_INBOUND, d);
	record_flow(&r, bpf_ntohs(ctx->remote_port), DIRECTION_INBOUND, d, false);
	return d.verdict == VERDICT_DENY ? SK_DROP : SK_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
