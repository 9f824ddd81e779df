/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The proxy's inbound listeners: which socket is one, and its place in the map. */
#ifndef SHUNT_LISTENER_H
#define SHUNT_LISTENER_H

#include <linux/errno.h>
#include "pod.h"

static __always_inline struct proxy_socket *mark_listener(void *sk, __u64 pod)
{
	struct proxy_socket *mark = bpf_sk_storage_get(&proxy_sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);

	if (mark)
		mark->pod = pod;
	return mark;
}

#endif
