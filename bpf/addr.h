/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The one address form, and what of it the verdict asks. */
#ifndef SHUNT_ADDR_H
#define SHUNT_ADDR_H

#include <stdbool.h>
#include <bpf/bpf_endian.h>
#include "contract.h"

#define AF_INET 2 /* <sys/socket.h> pulls in the C library's headers for the host */

#define AF_INET6 10

#define IPV4_LOOPBACK bpf_htonl(0x7f000001)    /* 127.0.0.1 */
#define IPV4_PASSTHROUGH bpf_htonl(0x7f000006) /* 127.0.0.6: what Envoy binds to reach its own app */

static __always_inline struct address address_ipv4(__be32 word)
{
	return (struct address){.family = FAMILY_IPV4, .words = {word}};
}

static __always_inline bool address_equal(const struct address *a, const struct address *b)
{
	return a->family == b->family && a->words[0] == b->words[0] && a->words[1] == b->words[1] &&
	       a->words[2] == b->words[2] && a->words[3] == b->words[3];
}

/* 0.0.0.0 and :: connect to loopback. */
static __always_inline bool address_is_loopback(const struct address *a)
{
	if (a->family == FAMILY_IPV4)
		return (a->words[0] & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000) || a->words[0] == 0;
	return (a->words[0] | a->words[1] | a->words[2]) == 0 &&
	       (a->words[3] == 0 || a->words[3] == bpf_htonl(1));
}

/* 127.0.0.6 and ::6 */
static __always_inline bool address_is_passthrough(const struct address *a)
{
	if (a->family == FAMILY_IPV4)
		return a->words[0] == IPV4_PASSTHROUGH;
	return a->family == FAMILY_IPV6 && (a->words[0] | a->words[1] | a->words[2]) == 0 &&
	       a->words[3] == bpf_htonl(6);
}

#endif
