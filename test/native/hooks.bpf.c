// SPDX-License-Identifier: Apache-2.0
// Programs to attach, and variables to set.
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

struct seq_file;
struct bpf_iter_meta {
  struct seq_file *seq;
} __attribute__((preserve_access_index));
struct cgroup {
  int level;
} __attribute__((preserve_access_index));
struct bpf_iter__cgroup {
  struct bpf_iter_meta *meta;
  struct cgroup *cgroup;
} __attribute__((preserve_access_index));

const volatile __u64 answer = 1;
const volatile __u32 port = 0;
__u32 counter = 7;

struct seen {
  __u64 answer;
  __u32 counter;
  __u32 calls;
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct seen);
} seen SEC(".maps");

static __always_inline void note(void) {
  __u32 key = 0;
  struct seen *entry = bpf_map_lookup_elem(&seen, &key);

  if (!entry)
    return;
  entry->answer = answer;
  entry->counter = counter;
  __sync_fetch_and_add(&entry->calls, 1);
}

SEC("cgroup/connect4")
int allow(struct bpf_sock_addr *ctx) {
  note();
  return 1;
}

SEC("cgroup/connect4")
int deny(struct bpf_sock_addr *ctx) {
  return 0;
}

SEC("sockops")
int operations(struct bpf_sock_ops *ctx) {
  return 1;
}

SEC("sk_lookup")
int lookup(struct bpf_sk_lookup *ctx) {
  return port && ctx->local_port == port ? SK_DROP : SK_PASS;
}

SEC("iter/cgroup")
int level(struct bpf_iter__cgroup *ctx) {
  struct cgroup *cgroup = ctx->cgroup;
  int value;

  /* The last call has none. */
  if (!cgroup)
    return 0;
  value = cgroup->level;
  bpf_seq_write(ctx->meta->seq, &value, sizeof(value));
  return 0;
}

char _license[] SEC("license") = "GPL";
