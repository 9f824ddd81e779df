/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The original destination's way from the application's socket to the socket that the proxy accepts. Both
 * are in one network namespace and know the same 4-tuple, from opposite ends.
 */
#include <linux/bpf.h>
#include "listener.h"
#include "socket.h"

/* As the connection has it. */
static __always_inline struct address address_of(__u32 family, __be32 ip4, __be32 ip6_0, __be32 ip6_1,
						 __be32 ip6_2, __be32 ip6_3)
{
	return family == AF_INET ? address_ipv4(ip4) : address_ipv6(ip6_0, ip6_1, ip6_2, ip6_3);
}

static __always_inline struct address local_address(struct bpf_sock_ops *ops)
{
	return address_of(ops->family, ops->local_ip4, ops->local_ip6[0], ops->local_ip6[1],
			  ops->local_ip6[2], ops->local_ip6[3]);
}

static __always_inline struct address remote_address(struct bpf_sock_ops *ops)
{
	return address_of(ops->family, ops->remote_ip4, ops->remote_ip6[0], ops->remote_ip6[1],
			  ops->remote_ip6[2], ops->remote_ip6[3]);
}

/* @port: host order. Where it says no, no entry of the handoff has this port. */
static __always_inline bool is_used(__u16 port)
{
	const struct handoff_ports *ports;
	__u32 zero = 0;

	ports = bpf_map_lookup_elem(&handoff_ports, &zero);
	return !ports || ports->used[port];
}

static __always_inline void use(__u16 port)
{
	struct handoff_ports *ports;
	__u32 zero = 0;

	ports = bpf_map_lookup_elem(&handoff_ports, &zero);
	/* Written once: the accepting sides read it on every CPU. */
	if (ports && !ports->used[port])
		ports->used[port] = 1;
}

/* Before the SYN. A socket that was not redirected takes away what an earlier one left under its tuple. */
static __always_inline void publish(struct bpf_sock_ops *ops, struct bpf_sock *sk, bool again)
{
	const struct origin *origin = bpf_sk_storage_get(&origins, sk, 0, 0);
	bool asked = origin && origin->role == ORIGIN_ASKED;
	__u16 port = bpf_ntohl(ops->remote_port);
	struct handoff_key key = {};

	if (!asked && (again || !is_used(port)))
		return;
	key.netns_cookie = bpf_get_netns_cookie(ops);
	key.source = local_address(ops);
	key.destination = remote_address(ops);
	key.source_port = ops->local_port;
	key.destination_port = port;
	if (!asked) {
		bpf_map_delete_elem(&handoff, &key);
		return;
	}
	use(port);
	/* The LRU may have dropped it while the SYN waited: under its own load it does that early. */
	if (again && bpf_map_lookup_elem(&handoff, &key))
		return;
	if (bpf_map_update_elem(&handoff, &key, origin, BPF_ANY))
		count(COUNTER_HANDOFF_UNPUBLISHED);
}

static __always_inline bool keep(void *sk, const struct origin *asked)
{
	struct origin *accepted = bpf_sk_storage_get(&origins, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);

	if (!accepted)
		return false;
	*accepted = *asked;
	accepted->role = ORIGIN_ACCEPTED;
	return true;
}

/*
 * The accepted socket takes it over; the entry goes, so that the next user of the tuple does not find it. Of MPTCP
 * this is the first subflow, and what the proxy accepts and asks is the MPTCP socket.
 */
static __always_inline void take(struct bpf_sock_ops *ops, struct bpf_sock *sk)
{
	struct handoff_key key = {.destination_port = ops->local_port};
	const struct origin *asked;
	struct mptcp_sock *mptcp;

	if (!is_used(key.destination_port))
		return;
	key.netns_cookie = bpf_get_netns_cookie(ops);
	key.source = remote_address(ops);
	key.destination = local_address(ops);
	key.source_port = bpf_ntohl(ops->remote_port);
	asked = bpf_map_lookup_elem(&handoff, &key);
	if (!asked)
		return;
	mptcp = bpf_skc_to_mptcp_sock(sk);
	/* Closed: the proxy finds no original destination and refuses the connection. */
	if (!keep(sk, asked) || (mptcp && !keep(mptcp, asked)))
		count(COUNTER_ORIGIN_UNSTORED);
	bpf_map_delete_elem(&handoff, &key);
}

/* bind() has marked the proxy's inbound listener (listener.bpf.c); here it can be steered to from now on. */
static __always_inline void list(struct bpf_sock_ops *ops, struct bpf_sock *sk)
{
	struct proxy_socket *mark = bpf_sk_storage_get(&proxy_sockets, sk, 0, 0);
	struct listener_key key = {};
	long error = -ENOSPC;
	__u32 slot;

	if (!mark)
		return;
	key.netns_cookie = bpf_get_netns_cookie(ops);
	key.family = ops->family == AF_INET ? FAMILY_IPV4 : FAMILY_IPV6;
	/* A counter of its own: the verifier follows registers, not what helpers may have written. */
	for (slot = 0; slot < LISTENER_SLOTS; slot++) {
		key.slot = slot;
		error = bpf_sock_hash_update(ops, &listeners, &key, BPF_NOEXIST);
		if (error != -EEXIST)
			break;
	}
	mark->listed = !error;
	if (error)
		count(COUNTER_LISTENER_UNLISTED);
}

SEC("sockops")
int shunt_sockops(struct bpf_sock_ops *ops)
{
	struct bpf_sock *sk = ops->sk;

	if (!sk)
		return 1;
	switch (ops->op) {
	case BPF_SOCK_OPS_TCP_CONNECT_CB:
		publish(ops, sk, false);
		break;
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
		publish(ops, sk, true);
		break;
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		take(ops, sk);
		break;
	case BPF_SOCK_OPS_TCP_LISTEN_CB:
		list(ops, sk);
		break;
	}
	return 1;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
