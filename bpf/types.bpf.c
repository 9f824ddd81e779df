/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Names the types that the agent needs and that no map names: the compiler keeps in BTF only what a
 * variable or a map is made of.
 */
#include <linux/types.h>
#include <bpf/bpf_helpers.h>
#include "contract.h"

const volatile struct {
	enum verdict verdict;
	enum reason reason;
	enum direction direction;
	enum family family;
	enum pod_flag pod_flag;
	enum pod_slot pod_slot;
	enum unknown_pods unknown_pods;
	enum policy_flag policy_flag;
	enum local_flag local_flag;
	enum range_key_bits range_key_bits;
	enum counter counter;
	struct flow flow;
	struct cgroup_place cgroup_place;
	struct listener_search listener_search;
	struct found_listener found_listener;
} contract_types;

char LICENSE[] SEC("license") = "Dual BSD/GPL";
