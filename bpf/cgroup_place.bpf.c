/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Tells a cgroup's level. It counts from the true root of the hierarchy, which a path does not show inside
 * a cgroup namespace or through a bind mount; the kernel knows. Needs iter/cgroup (kernel 6.1).
 */
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "contract.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct seq_file;
struct kernfs_node {
	__u64 id;
};
struct cgroup {
	int level;
	struct kernfs_node *kn;
};
struct bpf_iter_meta {
	struct seq_file *seq;
};
struct bpf_iter__cgroup {
	struct bpf_iter_meta *meta;
	struct cgroup *cgroup;
};
#pragma clang attribute pop

SEC("iter/cgroup")
int shunt_cgroup_place(struct bpf_iter__cgroup *ctx)
{
	const struct cgroup *cgroup = ctx->cgroup;
	struct cgroup_place place = {};

	/* The iteration ends with a call without a cgroup. */
	if (!cgroup)
		return 0;
	place.id = cgroup->kn->id;
	place.level = cgroup->level;
	bpf_seq_write(ctx->meta->seq, &place, sizeof(place));
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
