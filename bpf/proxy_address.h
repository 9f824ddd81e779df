/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where a redirected IPv4 connection goes. */
#ifndef SHUNT_PROXY_ADDRESS_H
#define SHUNT_PROXY_ADDRESS_H

#include "decide.h"
#include "pod.h"
#include "socket.h"

#define PROXY_ADDRESSES 8	 /* 127.0.0.1 and 127.65.0.1 to .7 */
#define PROXY_ADDRESS 0x7f410000 /* host order */

/*
 * Where the proxy listens. All connections to one address and port share some 28,000 source ports
 * (net.ipv4.ip_local_port_range), so a listener on every address gets them on several: by chance, or where the
 * application has bound a port by the destination, for then one port may call several. The listener is looked at
 * each time, as the kernel will: a proxy that restarts on 127.0.0.1 alone is found there, and an application on
 * 127.65.0.1 gets nothing. lo has 127.0.0.1/8 since it came up (net/ipv4/devinet.c, inetdev_event()).
 *
 * A pod may have Istio's iptables rules too. They leave 127.0.0.1 alone in any case, other addresses on lo only for
 * who is not the proxy, and not where an included range is itself loopback (tools/istio-iptables, ISTIO_OUTPUT).
 */
static __always_inline __be32 proxy_ipv4(struct bpf_sock_addr *ctx, const struct request *r,
					 struct decision d, const struct pod_record *record)
{
	struct bpf_sock_tuple tuple = {};
	const struct policy *policy;
	bool every_address;
	struct bpf_sock *sk;
	__u32 n;

	if (r->protocol != IPPROTO_TCP || d.reason == REASON_DNS || d.reason == REASON_PROXY_TO_SELF)
		return IPV4_LOOPBACK;
	policy = find_policy(record);
	if (!policy || policy->flags & POLICY_FLAG_KEEP_LOCAL)
		return IPV4_LOOPBACK;
	n = ctx->sk->src_port ? (bpf_ntohl(r->destination.words[0]) ^ r->port) * 0x9e3779b1 >> 16
			      : bpf_get_prandom_u32();
	n %= PROXY_ADDRESSES;
	if (!n)
		return IPV4_LOOPBACK;
	tuple.ipv4.saddr = IPV4_LOOPBACK;
	tuple.ipv4.daddr = bpf_htonl(PROXY_ADDRESS + n);
	tuple.ipv4.dport = bpf_htons(d.target_port);
	sk = bpf_sk_lookup_tcp(ctx, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	every_address = sk && bound_source(sk, sk->family == AF_INET6).family == FAMILY_NONE;
	if (sk)
		bpf_sk_release(sk);
	if (every_address)
		return tuple.ipv4.daddr;
	/* About 28,000 of these can be open at once: `doctor` and a metric say so. */
	count(COUNTER_PROXY_NARROW);
	return IPV4_LOOPBACK;
}

#endif
