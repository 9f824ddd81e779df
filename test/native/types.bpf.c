// SPDX-License-Identifier: Apache-2.0
// Types for readBtf().
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

typedef __u32 port_t;
typedef const volatile port_t fixed_port_t;

struct address {
  __u8 family;
  __u8 pad[3];
  __u8 bytes[16];
};
typedef struct address address_t;

enum verdict { VERDICT_BYPASS, VERDICT_REDIRECT = 5, VERDICT_NONE = -1 };

struct rule {
  __u64 policy;
  port_t port;
  fixed_port_t fixed;
  address_t address;
  struct address list[3];
  __u16 grid[2][4];
  enum verdict verdict;
  union {
    __u32 word;
    struct {
      __u16 low;
      __u16 high;
    };
  };
  __u32 flag : 1;
  void *pointer;
};

const volatile struct rule one_rule;
const volatile struct { int inside; } nameless;

SEC("cgroup/connect4")
int use(struct bpf_sock_addr *ctx) {
  return one_rule.verdict == VERDICT_REDIRECT && nameless.inside;
}

char _license[] SEC("license") = "GPL";
