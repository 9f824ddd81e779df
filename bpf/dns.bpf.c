/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * DNS over unconnected UDP sockets: a query goes to the proxy's DNS port, and its answer comes, for the application,
 * from the server that was asked. (A connected socket is steered by connect(); its answers are told from here too.)
 *
 * One socket may ask several servers at once, as glibc does, so one last server for each socket would be wrong. A
 * query to the n-th server leaves from 127.64.0.n, the proxy answers to that address, and its answer is given the same
 * source: the receiving side reads n from it. That works for IPv4 on sockets that are bound to no address. Else, and
 * for IPv6, whose loopback has one address, it is the last server that was asked without a number.
 */
#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/errno.h>
#include "socket.h"
#include "unknown.h"

#define CALL_REFUSED 0
#define CALL_ALLOWED 1

#define DNS_SOURCE 0x7f400000 /* 127.64.0.0, host order */
#define DNS_SOURCE_MASK 0xffffff00

/* Whether the source of a query can say which server it is for. */
static __always_inline bool is_numbered(const struct request *r)
{
	return r->destination.family == FAMILY_IPV4 && r->source.family == FAMILY_NONE;
}

/* @index: of the server; DNS_SERVERS if there was no room for it. */
static __always_inline struct dns_socket *note_server(struct bpf_sock *sk, const struct request *r,
						      __u32 *index)
{
	struct dns_socket *dns = bpf_sk_storage_get(&dns_sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	__u32 i;

	if (!dns)
		return NULL;
	for (i = 0; i < DNS_SERVERS; i++) {
		struct dns_server *server = &dns->servers[i];

		if (i >= dns->known) {
			server->address = r->destination;
			server->port = r->port;
			dns->known = i + 1;
		}
		if (server->port == r->port && address_equal(&server->address, &r->destination)) {
			/* An IPv6 socket asks servers of both families: those with a number leave this alone. */
			if (!is_numbered(r))
				dns->last = i;
			*index = i;
			return dns;
		}
	}
	/* Open: the answer is right, its source is that of another server that was asked. */
	count(COUNTER_DNS_SERVER_UNLISTED);
	*index = DNS_SERVERS;
	return dns;
}

/* @return whether the datagram goes to the proxy; *refused: 0, or the errno that the caller gets. */
static __always_inline bool steer(struct bpf_sock_addr *ctx, struct request *r, __u32 *index, int *refused)
{
	struct caller caller = find_caller();
	struct decision d;

	*refused = 0;
	if (!caller.pod)
		return false;
	if (!caller.record) {
		count(COUNTER_RECORD_FOREIGN);
		*refused = -EPERM;
		return false;
	}
	r->pod = caller.pod;
	d = judge(&caller, bpf_get_netns_cookie(ctx), r);
	if (d.verdict == VERDICT_BYPASS)
		return false;
	if (d.verdict == VERDICT_REDIRECT && !note_server(ctx->sk, r, index)) {
		d = (struct decision){.verdict = VERDICT_DENY, .reason = REASON_NO_MEMORY};
		*refused = -ENOMEM;
	} else if (d.verdict == VERDICT_DENY) {
		*refused = -EPERM;
	}
	count_verdict(r->pod, DIRECTION_OUTBOUND, d);
	record_flow(r, ctx->sk->src_port, DIRECTION_OUTBOUND, d, true);
	return !*refused;
}

static __always_inline int refuse(int error)
{
	bpf_set_retval(error);
	return CALL_REFUSED;
}

SEC("cgroup/sendmsg4")
int shunt_sendmsg4(struct bpf_sock_addr *ctx)
{
	struct request r = {.protocol = IPPROTO_UDP, .port = bpf_ntohs(ctx->user_port)};
	__be32 destination = ctx->user_ip4, source = ctx->msg_src_ip4;
	__u32 index = 0;
	int refused;

	if (source)
		r.source = address_ipv4(source);
	r.destination = address_ipv4(destination ? destination : IPV4_LOOPBACK);
	if (is_unknown_refused(ctx, &r))
		return refuse(-EPERM);
	/* The proxy's answer. Whoever else sends from its port to such an address only fools itself. */
	if ((bpf_ntohl(destination) & DNS_SOURCE_MASK) == DNS_SOURCE && ctx->sk->src_port == PROXY_DNS_PORT) {
		ctx->msg_src_ip4 = destination;
		return CALL_ALLOWED;
	}
	if (r.port != DNS_PORT)
		return CALL_ALLOWED;
	if (!steer(ctx, &r, &index, &refused))
		return refused ? refuse(refused) : CALL_ALLOWED;
	if (is_numbered(&r) && index < DNS_SERVERS)
		ctx->msg_src_ip4 = bpf_htonl(DNS_SOURCE + index + 1);
	ctx->user_ip4 = IPV4_LOOPBACK;
	ctx->user_port = bpf_htons(PROXY_DNS_PORT);
	return CALL_ALLOWED;
}

SEC("cgroup/sendmsg6")
int shunt_sendmsg6(struct bpf_sock_addr *ctx)
{
	struct request r = {.protocol = IPPROTO_UDP, .port = bpf_ntohs(ctx->user_port)};
	__u32 index = 0;
	int refused;

	r.source = bound_source(ctx->sk, true);
	r.destination = address_ipv6(ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3]);
	if (address_is_unspecified(&r.destination) && r.destination.family == FAMILY_IPV6)
		r.destination.words[3] = bpf_htonl(1);
	if (is_unknown_refused(ctx, &r))
		return refuse(-EPERM);
	/* A v4-mapped destination comes to sendmsg4. */
	if (r.port != DNS_PORT)
		return CALL_ALLOWED;
	if (!steer(ctx, &r, &index, &refused))
		return refused ? refuse(refused) : CALL_ALLOWED;
	ctx->user_ip6[0] = 0;
	ctx->user_ip6[1] = 0;
	ctx->user_ip6[2] = 0;
	ctx->user_ip6[3] = bpf_htonl(1);
	ctx->user_port = bpf_htons(PROXY_DNS_PORT);
	return CALL_ALLOWED;
}

static __always_inline bool connected_server(struct bpf_sock *sk, struct dns_server *server)
{
	const struct origin *origin = bpf_sk_storage_get(&origins, sk, 0, 0);

	if (!origin || origin->role != ORIGIN_ASKED)
		return false;
	server->address = origin->address;
	server->port = origin->port;
	return true;
}

/* @from: of a datagram from the proxy's DNS port, @return whether it stands for another server. */
static __always_inline bool asked_server(struct bpf_sock *sk, const struct address *from,
					 struct dns_server *server)
{
	const struct dns_socket *dns = bpf_sk_storage_get(&dns_sockets, sk, 0, 0);
	bool numbered =
		from->family == FAMILY_IPV4 && (bpf_ntohl(from->words[0]) & DNS_SOURCE_MASK) == DNS_SOURCE;
	__u32 index;

	/* A connected socket hears its peer alone, though it may have asked others before. */
	if (!numbered && (sk->dst_port || !dns))
		return connected_server(sk, server);
	if (!dns)
		return false;
	index = numbered ? bpf_ntohl(from->words[0]) - DNS_SOURCE - 1 : dns->last;
	/* No answer to what was asked here: someone in the pod has bound such an address. */
	if (index >= dns->known)
		return false;
	/* Else clang 14 merges this with the check above, and the verifier sees no bound. */
	barrier_var(index);
	if (index >= DNS_SERVERS)
		return false;
	*server = dns->servers[index];
	return true;
}

SEC("cgroup/recvmsg4")
int shunt_recvmsg4(struct bpf_sock_addr *ctx)
{
	struct dns_server server = {};
	struct address from;

	if (ctx->user_port != bpf_htons(PROXY_DNS_PORT))
		return CALL_ALLOWED;
	from = address_ipv4(ctx->user_ip4);
	if (!address_is_loopback(&from) || !asked_server(ctx->sk, &from, &server))
		return CALL_ALLOWED;
	ctx->user_ip4 = server.address.words[0];
	ctx->user_port = bpf_htons(server.port);
	return CALL_ALLOWED;
}

SEC("cgroup/recvmsg6")
int shunt_recvmsg6(struct bpf_sock_addr *ctx)
{
	struct dns_server server = {};
	struct address from;
	bool ipv4;

	if (ctx->user_port != bpf_htons(PROXY_DNS_PORT))
		return CALL_ALLOWED;
	from = address_ipv6(ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3]);
	if (!address_is_loopback(&from) || !asked_server(ctx->sk, &from, &server))
		return CALL_ALLOWED;
	ipv4 = server.address.family == FAMILY_IPV4;
	ctx->user_ip6[0] = ipv4 ? 0 : server.address.words[0];
	ctx->user_ip6[1] = ipv4 ? 0 : server.address.words[1];
	ctx->user_ip6[2] = ipv4 ? bpf_htonl(0xffff) : server.address.words[2];
	ctx->user_ip6[3] = ipv4 ? server.address.words[0] : server.address.words[3];
	ctx->user_port = bpf_htons(server.port);
	return CALL_ALLOWED;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
