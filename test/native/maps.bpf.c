// SPDX-License-Identifier: Apache-2.0
// One map of each kind that the agent uses, and programs that write to them.
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

struct bpf_iter__cgroup {
  void *meta;
  void *cgroup;
} __attribute__((preserve_access_index));

struct pair {
  __u64 first;
  __u64 second;
};

struct range {
  __u32 prefix;
  __u8 address[4];
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 10000);
  __type(key, __u32);
  __type(value, struct pair);
} table SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 1024);
  __type(key, __u32);
  __type(value, __u64);
} recent SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_LPM_TRIE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, 1024);
  __type(key, struct range);
  __type(value, __u32);
} ranges SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_HASH);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, 64);
  __type(key, __u32);
  __type(value, __u32);
} counts SEC(".maps");

/* 12 bytes: elements are 16 bytes apart in the mapping. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1000);
  __uint(key_size, 4);
  __uint(value_size, 12);
} records SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_STACK);
  __uint(max_entries, 8);
  __uint(value_size, 8);
} stack SEC(".maps");

/* Has no batch commands. */
struct {
  __uint(type, BPF_MAP_TYPE_DEVMAP_HASH);
  __uint(max_entries, 16);
  __type(key, __u32);
  __type(value, __u32);
} devices SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 1 << 20);
} ring SEC(".maps");

/* What was tried, and what did not fit. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 2);
  __type(key, __u32);
  __type(value, __u64);
} totals SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_SK_STORAGE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, int);
  __type(value, __u64);
} storage SEC(".maps");

static __always_inline void emit(int records) {
  __u32 tried = 0, lost = 1;
  __u64 *sequence = bpf_map_lookup_elem(&totals, &tried);
  __u64 *dropped = bpf_map_lookup_elem(&totals, &lost);

  if (!sequence || !dropped)
    return;
  for (int i = 0; i < records; i++) {
    __u64 record = __sync_fetch_and_add(sequence, 1);

    if (bpf_ringbuf_output(&ring, &record, sizeof(record), 0))
      __sync_fetch_and_add(dropped, 1);
  }
}

SEC("cgroup/connect4")
int emit_on_connect(struct bpf_sock_addr *ctx) {
  emit(100);
  return 1;
}

/* Runs in the caller's own thread, before iterateCgroup() returns. */
SEC("iter/cgroup")
int emit_now(struct bpf_iter__cgroup *ctx) {
  /* The last call has none. */
  if (ctx->cgroup)
    emit(1000);
  return 0;
}

char _license[] SEC("license") = "GPL";
