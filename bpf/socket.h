/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Addresses of sockets and of calls in the one address form. */
#ifndef SHUNT_SOCKET_H
#define SHUNT_SOCKET_H

#include "addr.h"

/* A v4-mapped address is IPv4, whatever the socket's family. */
static __always_inline struct address address_ipv6(__be32 a, __be32 b, __be32 c, __be32 d)
{
	if (!(a | b) && c == bpf_htonl(0xffff))
		return address_ipv4(d);
	return (struct address){.family = FAMILY_IPV6, .words = {a, b, c, d}};
}

static __always_inline bool address_is_unspecified(const struct address *a)
{
	return !(a->words[0] | a->words[1] | a->words[2] | a->words[3]);
}

/*
 * What the socket is bound to; FAMILY_NONE: nothing, or every address. By the socket's family: the IPv4 fields of a
 * native IPv6 socket read 127.0.0.6, which is Istio's own source.
 */
static __always_inline struct address bound_source(struct bpf_sock *sk, bool ipv6_socket)
{
	struct address source =
		ipv6_socket ? address_ipv6(sk->src_ip6[0], sk->src_ip6[1], sk->src_ip6[2], sk->src_ip6[3])
			    : address_ipv4(sk->src_ip4);

	if (address_is_unspecified(&source))
		source.family = FAMILY_NONE;
	return source;
}

#endif
