/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Finds inbound listeners that were there before the programs (the agent started late, or the policy came late),
 * among the files of one process. iter/task_file needs neither CAP_SYS_PTRACE, as pidfd_getfd() does, nor setns(),
 * as iter/tcp does: the agent says which process, and the kernel walks its files.
 */
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "addr.h"
#include "listener.h"

#define TCP_LISTEN 10
#define IPPROTO_TCP 6

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct seq_file;
struct task_struct;
struct file;
struct net {
	__u64 net_cookie;
};
typedef struct {
	struct net *net;
} possible_net_t;
struct sock_common {
	__u16 skc_num;
	__u16 skc_family;
	volatile unsigned char skc_state;
	possible_net_t skc_net;
};
struct sock {
	struct sock_common __sk_common;
	__u16 sk_protocol;
};
struct socket {
	struct sock *sk;
};
struct bpf_iter_meta {
	struct seq_file *seq;
};
struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	__u32 fd;
	struct file *file;
};
#pragma clang attribute pop

/* One element: what to look for. Set by the agent before each walk. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct listener_search);
} listener_search SEC(".maps");

static __always_inline long list(struct sock *sk, __u64 cookie)
{
	struct listener_key key = {
		.netns_cookie = cookie,
		.family = sk->__sk_common.skc_family == AF_INET6 ? FAMILY_IPV6 : FAMILY_IPV4,
	};
	long error = -ENOSPC;
	__u32 slot;

	/* A counter of its own: the verifier follows registers, not what helpers may have written. */
	for (slot = 0; slot < LISTENER_SLOTS; slot++) {
		key.slot = slot;
		error = bpf_map_update_elem(&listeners, &key, sk, BPF_NOEXIST);
		if (error != -EEXIST)
			return error;
	}
	return error;
}

SEC("iter/task_file")
int shunt_listener_scan(struct bpf_iter__task_file *ctx)
{
	struct found_listener found = {};
	const struct listener_search *search;
	struct file *file = ctx->file;
	struct proxy_socket *mark;
	struct socket *socket;
	__u32 zero = 0;
	struct sock *sk;

	search = bpf_map_lookup_elem(&listener_search, &zero);
	if (!file || !search)
		return 0;
	socket = bpf_sock_from_file(file);
	if (!socket)
		return 0;
	sk = socket->sk;
	if (!sk || sk->sk_protocol != IPPROTO_TCP || sk->__sk_common.skc_num != search->port)
		return 0;
	/* The proxy's own file, but of another namespace than the pod's. */
	found.netns_cookie = sk->__sk_common.skc_net.net->net_cookie;
	if (found.netns_cookie != search->netns_cookie)
		return 0;
	found.listening = sk->__sk_common.skc_state == TCP_LISTEN;

	/* One that is bound and does not listen yet is marked too: its listen() is then seen. */
	mark = mark_listener(sk, search->pod);
	if (!mark)
		found.error = -ENOMEM;
	else if (found.listening && !mark->listed) {
		found.error = list(sk, found.netns_cookie);
		mark->listed = !found.error;
	}
	bpf_seq_write(ctx->meta->seq, &found, sizeof(found));
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
