// SPDX-License-Identifier: Apache-2.0
// A program that the verifier has to reject, after some that are fine.
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 16);
  __type(key, __u32);
  __type(value, __u64);
} table SEC(".maps");

SEC("cgroup/connect4")
int fine(struct bpf_sock_addr *ctx) {
  return 1;
}

SEC("cgroup/connect6")
int unchecked(struct bpf_sock_addr *ctx) {
  __u32 key = ctx->user_port;
  __u64 *value = 0;

#pragma unroll
  for (int i = 0; i < 20; i++) {
    key += i;
    value = bpf_map_lookup_elem(&table, &key);
  }
  return *value & 1;
}

char _license[] SEC("license") = "GPL";
