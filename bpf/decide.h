/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The verdict: a pure function of the policy, the pod's addresses and the socket. It reads maps and writes
 * nothing. src/policy/decide.ts is the same function in the agent; one table of cases runs on both.
 *
 * Istio's rules are a list, first match wins; here they are a few lookups. The compiler
 * (src/policy/compile.ts) makes the two agree and says why they do.
 */
#ifndef SHUNT_DECIDE_H
#define SHUNT_DECIDE_H

#include <linux/in.h>
#include "addr.h"
#include "maps.h"

#define DNS_PORT 53
#define PROXY_DNS_PORT 15053

struct request {
	__u64 pod;
	struct address source; /* FAMILY_NONE: not bound */
	struct address destination;
	__u32 uid; /* as the pod sees it, real */
	__u32 gid;
	__u16 port;
	__u8 protocol;
	bool proxy_cgroup;
	bool cgroup_only; /* uid and gid do not make a proxy */
	bool ipv6;	  /* of the pod: captured too */
	__u32 interface;  /* inbound: index of the one that it arrived at */
};

struct decision {
	__u8 verdict;
	__u8 reason;
	__u16 target_port; /* of the proxy, where redirected */
};

static __always_inline struct decision bypass(__u8 reason)
{
	return (struct decision){.verdict = VERDICT_BYPASS, .reason = reason};
}

static __always_inline struct decision redirect(__u8 reason, __u16 port)
{
	return (struct decision){.verdict = VERDICT_REDIRECT, .reason = reason, .target_port = port};
}

static __always_inline const struct rule *port_rule(const struct policy *policy, __u8 direction, __u16 port)
{
	struct port_key key = {.policy = policy->id, .port = port, .direction = direction};

	return bpf_map_lookup_elem(&port_rules, &key);
}

static __always_inline const struct rule *lookup_range(const struct policy *policy, const struct address *a,
						       __u32 space)
{
	struct range_key key = {
		.prefix_length = a->family == FAMILY_IPV4 ? RANGE_KEY_BITS_IPV4 : RANGE_KEY_BITS_IPV6,
		.family = a->family | space,
		.policy = policy->id,
		.words = {a->words[0], a->words[1], a->words[2], a->words[3]},
	};

	return bpf_map_lookup_elem(&range_rules, &key);
}

static __always_inline const struct rule *range_rule(const struct policy *policy, const struct address *a)
{
	return lookup_range(policy, a, 0);
}

/* A connect hook cannot look a route up, so the agent has written the pod's own as ranges. */
static __always_inline bool leaves_by_excluded_interface(const struct policy *policy, const struct address *a)
{
	const struct rule *route = lookup_range(policy, a, RANGE_KEY_BITS_ROUTE);

	return route && route->verdict == VERDICT_BYPASS;
}

static __always_inline bool is_listed(__u64 pod, const struct address *a, __u8 flag)
{
	struct local_key key = {.pod = pod, .address = *a};
	const __u8 *flags = bpf_map_lookup_elem(&local_addrs, &key);

	return flags && *flags & flag;
}

/* One of the pod's own addresses; what is loopback in any case is not asked here. */
static __always_inline bool is_pod_address(__u64 pod, const struct address *a)
{
	return is_listed(pod, a, LOCAL_FLAG_OWN);
}

/* Istio: ISTIO_OUTBOUND_OWNER_GROUPS and ..._EXCLUDE. */
static __always_inline bool is_owner_passed(const struct policy *policy, __u32 gid)
{
	struct group_key key = {.policy = policy->id, .gid = gid};

	if (policy->flags & POLICY_FLAG_GROUPS_INCLUDED)
		return !bpf_map_lookup_elem(&owner_groups, &key);
	return policy->flags & POLICY_FLAG_GROUPS_EXCLUDED && bpf_map_lookup_elem(&owner_groups, &key);
}

static __always_inline bool in_loopback_range(const struct policy *policy, const struct address *a)
{
	if (a->family == FAMILY_IPV4)
		return (a->words[0] & policy->loopback_mask) == policy->loopback;
	return address_is_loopback(a) && a->words[3] != 0;
}

static __always_inline bool is_proxy_uid(const struct policy *policy, const struct request *r)
{
	return r->proxy_cgroup || (!r->cgroup_only && r->uid == policy->proxy_uid);
}

static __always_inline bool is_proxy_gid(const struct policy *policy, const struct request *r)
{
	return !r->cgroup_only && r->gid == policy->proxy_gid;
}

/* To ::6, which is an address of lo, the kernel itself chooses ::6 as the source; to 127.0.0.6 it is 127.0.0.1. */
static __always_inline bool comes_from_passthrough(const struct request *r)
{
	if (r->source.family == FAMILY_NONE && r->destination.family == FAMILY_IPV6)
		return address_is_passthrough(&r->destination);
	return address_is_passthrough(&r->source);
}

/* The proxy's own connections: to the pod itself they are inbound, anything else is none of ours. */
static __always_inline struct decision decide_proxy(const struct policy *policy, const struct request *r,
						    bool local, bool by_uid)
{
	if (!local || r->protocol != IPPROTO_TCP || in_loopback_range(policy, &r->destination))
		return bypass(REASON_PROXY);
	/* Its resolver may live in the pod itself. */
	if (by_uid && policy->flags & POLICY_FLAG_DNS && r->port == DNS_PORT)
		return bypass(REASON_PROXY);
	if (r->port == 15008)
		return bypass(REASON_TUNNEL_PORT);
	return redirect(REASON_PROXY_TO_SELF, policy->inbound_port);
}

/* Istio: cni/pkg/iptables and tools/istio-iptables, chain ISTIO_OUTPUT, in its order. */
static __always_inline struct decision decide_outbound(const struct policy *policy, const struct request *r)
{
	const struct rule *port = NULL, *range = NULL;
	bool loopback, local, dns;

	if (r->destination.family == FAMILY_IPV6 && !r->ipv6)
		return bypass(REASON_FAMILY_OFF);
	loopback = address_is_loopback(&r->destination);
	local = loopback || is_pod_address(r->pod, &r->destination);
	/* What is local leaves by lo, whatever the routes say. */
	if (!local && policy->flags & POLICY_FLAG_HAS_ROUTES &&
	    leaves_by_excluded_interface(policy, &r->destination))
		return bypass(REASON_EXCLUDED_INTERFACE);
	if (policy->flags & POLICY_FLAG_HAS_OUTBOUND_PORTS)
		port = port_rule(policy, DIRECTION_OUTBOUND, r->port);
	/* What a Sidecar leaves alone is asked below: it is weaker than an annotation, and the application's alone. */
	if (port && port->verdict == VERDICT_BYPASS && port->reason != REASON_SIDECAR_NONE)
		return bypass(port->reason);

	if (local && comes_from_passthrough(r))
		return bypass(REASON_PASSTHROUGH_SOURCE);

	if (is_proxy_uid(policy, r))
		return decide_proxy(policy, r, local, true);
	/* Before the gid: uid != 1337 with gid 1337 to the pod's own address passes. */
	dns = policy->flags & POLICY_FLAG_DNS;
	if (local && !(policy->flags & POLICY_FLAG_KEEP_LOCAL) &&
	    (!dns || (r->protocol == IPPROTO_TCP && r->port != DNS_PORT)))
		return bypass(loopback ? REASON_LOOPBACK : REASON_LOCAL_ADDRESS);
	if (is_proxy_gid(policy, r))
		return decide_proxy(policy, r, local, false);

	if (is_owner_passed(policy, r->gid))
		return bypass(REASON_OWNER_GROUP);
	if (dns && r->port == DNS_PORT &&
	    (policy->flags & POLICY_FLAG_DNS_ALL_SERVERS ||
	     is_listed(r->pod, &r->destination, LOCAL_FLAG_DNS_SERVER)))
		return redirect(REASON_DNS, PROXY_DNS_PORT);
	if (r->protocol != IPPROTO_TCP)
		return bypass(REASON_NOT_TCP);
	if (in_loopback_range(policy, &r->destination))
		return bypass(REASON_LOOPBACK);

	if (policy->flags & POLICY_FLAG_HAS_RANGES)
		range = range_rule(policy, &r->destination);
	if (range && range->verdict == VERDICT_BYPASS)
		return bypass(range->reason);
	/* A union with the ranges, not an intersection. */
	if (port && port->verdict == VERDICT_BYPASS)
		return bypass(port->reason);
	if (port)
		return redirect(port->reason, policy->outbound_port);
	if (range)
		return redirect(range->reason, policy->outbound_port);
	if (policy->flags & POLICY_FLAG_CAPTURE_OTHER_OUTBOUND)
		return redirect(REASON_INCLUDED_ALL, policy->outbound_port);
	if (policy->flags & POLICY_FLAG_SIDECAR_NONE)
		return bypass(REASON_SIDECAR_NONE);
	return bypass(REASON_NOT_INCLUDED);
}

static __always_inline bool is_excluded_interface(__u64 pod, __u32 index)
{
	struct interface_key key = {.pod = pod, .index = index};

	return bpf_map_lookup_elem(&excluded_interfaces, &key);
}

/* TCP from outside the pod. Istio: chains ISTIO_INBOUND and ISTIO_IN_REDIRECT. */
static __always_inline struct decision decide_inbound(const struct policy *policy, const struct request *r)
{
	const struct rule *port = NULL;

	if (r->destination.family == FAMILY_IPV6 && !r->ipv6)
		return bypass(REASON_FAMILY_OFF);
	if (policy->flags & POLICY_FLAG_HAS_ROUTES && is_excluded_interface(r->pod, r->interface))
		return bypass(REASON_EXCLUDED_INTERFACE);
	if (policy->flags & POLICY_FLAG_HAS_INBOUND_PORTS)
		port = port_rule(policy, DIRECTION_INBOUND, r->port);
	if (port && port->verdict == VERDICT_BYPASS)
		return bypass(port->reason);
	if (port)
		return redirect(port->reason, policy->inbound_port);
	if (policy->flags & POLICY_FLAG_CAPTURE_OTHER_INBOUND)
		return redirect(REASON_INCLUDED_ALL, policy->inbound_port);
	return bypass(REASON_NOT_INCLUDED);
}

#endif
