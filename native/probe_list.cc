// SPDX-License-Identifier: Apache-2.0
// What the agent's programs use, each in the smallest program that shows it. `bpftool feature` and
// libbpf's probes claim helpers for program types that the verifier then refuses, so: by loading.
#include "probe.h"

namespace shunt {
namespace {

Assembler accept(const ProbeMaps &) {
  return Assembler().finish(1);
}
Assembler iterate(const ProbeMaps &) {
  return Assembler().finish(0);
}

// A helper whose only argument is the context, or none.
std::function<Assembler(const ProbeMaps &)> helper(bpf_func_id id) {
  return [id](const ProbeMaps &) { return Assembler().call(id).finish(1); };
}

std::function<Assembler(const ProbeMaps &)> helper(bpf_func_id id, int32_t argument) {
  return
      [id, argument](const ProbeMaps &) { return Assembler().set(1, argument).call(id).finish(1); };
}

// bpf_sk_storage_get(map, context->sk, NULL, CREATE); `sk` is at this offset.
std::function<Assembler(const ProbeMaps &)> storageAt(size_t sk) {
  return [sk](const ProbeMaps &maps) {
    return Assembler()
        .load64(2, 1, sk)
        .skipIfZero(2, 5)
        .map(1, maps.storage.get())
        .set(3, 0)
        .set(4, BPF_SK_STORAGE_GET_F_CREATE)
        .call(BPF_FUNC_sk_storage_get)
        .finish(1);
  };
}

// The same where the context is the socket.
Assembler storageOfContext(const ProbeMaps &maps) {
  return Assembler()
      .move(2, 1)
      .map(1, maps.storage.get())
      .set(3, 0)
      .set(4, BPF_SK_STORAGE_GET_F_CREATE)
      .call(BPF_FUNC_sk_storage_get)
      .finish(1);
}

Assembler bindSource(const ProbeMaps &) {
  return Assembler().clear(-8).clear(-16).frame(2, -16).set(3, 16).call(BPF_FUNC_bind).finish(1);
}

Assembler currentCommand(const ProbeMaps &) {
  return Assembler().frame(1, -16).set(2, 16).call(BPF_FUNC_get_current_comm).finish(1);
}

Assembler ringOutput(const ProbeMaps &maps) {
  return Assembler()
      .clear(-8)
      .map(1, maps.ring.get())
      .frame(2, -8)
      .set(3, 8)
      .set(4, 0)
      .call(BPF_FUNC_ringbuf_output)
      .finish(1);
}

Assembler enterSockHash(const ProbeMaps &maps) {
  return Assembler()
      .clear(-8)
      .map(2, maps.sockets.get())
      .frame(3, -8)
      .set(4, 0)
      .call(BPF_FUNC_sock_hash_update)
      .finish(1);
}

Assembler writeReturnValue(const ProbeMaps &) {
  return Assembler().set(2, 0).store32(1, offsetof(bpf_sockopt, retval), 2).finish(1);
}

Assembler assignListener(const ProbeMaps &maps) {
  return Assembler()
      .move(6, 1)
      .clear(-8)
      .map(1, maps.sockets.get())
      .frame(2, -8)
      .call(BPF_FUNC_map_lookup_elem)
      .skipIfZero(0, 7)
      .move(7, 0)
      .move(1, 6)
      .move(2, 7)
      .set(3, 0)
      .call(BPF_FUNC_sk_assign)
      .move(1, 7)
      .call(BPF_FUNC_sk_release)
      .finish(1);
}

constexpr auto kAddress = BPF_PROG_TYPE_CGROUP_SOCK_ADDR;
constexpr auto kSocket = BPF_PROG_TYPE_CGROUP_SOCK;
constexpr auto kSockOps = BPF_PROG_TYPE_SOCK_OPS;
constexpr auto kSockOpt = BPF_PROG_TYPE_CGROUP_SOCKOPT;

} // namespace

const std::vector<MapProbe> mapProbes = {
    {"map: SK_STORAGE", "5.2", "original destinations", BPF_MAP_TYPE_SK_STORAGE, 4, 4, 0,
     BPF_F_NO_PREALLOC},
    {"map: SK_STORAGE with BPF_F_CLONE", "5.4", "accepted sockets know their listener",
     BPF_MAP_TYPE_SK_STORAGE, 4, 4, 0, BPF_F_NO_PREALLOC | BPF_F_CLONE},
    {"map: RINGBUF", "5.8", "the flow stream", BPF_MAP_TYPE_RINGBUF, 0, 0, 65536, 0},
    {"map: LPM_TRIE", "4.11", "address ranges", BPF_MAP_TYPE_LPM_TRIE, 8, 8, 16, BPF_F_NO_PREALLOC},
    {"map: LRU_HASH", "4.10", "handing the original destination to the proxy",
     BPF_MAP_TYPE_LRU_HASH, 8, 8, 16, 0},
    {"map: SOCKHASH", "4.18", "inbound: the proxy's listeners", BPF_MAP_TYPE_SOCKHASH, 8, 8, 16, 0},
    {"map: PERCPU_HASH, not preallocated", "4.6", "counters", BPF_MAP_TYPE_PERCPU_HASH, 8, 8, 16,
     BPF_F_NO_PREALLOC},
    {"map: ARRAY with BPF_F_MMAPABLE", "5.5", "atomic policy changes", BPF_MAP_TYPE_ARRAY, 4, 8, 16,
     BPF_F_MMAPABLE},
};

const std::vector<ProgramProbe> programProbes = {
    {"cgroup/connect4", "4.17", "outbound over IPv4", kAddress, BPF_CGROUP_INET4_CONNECT, accept},
    {"cgroup/connect6", "4.17", "outbound over IPv6", kAddress, BPF_CGROUP_INET6_CONNECT, accept},
    {"cgroup/getpeername4", "5.8", "the app sees the peer it asked for", kAddress,
     BPF_CGROUP_INET4_GETPEERNAME, accept},
    {"cgroup/getpeername6", "5.8", "the app sees the peer it asked for", kAddress,
     BPF_CGROUP_INET6_GETPEERNAME, accept},
    {"cgroup/sendmsg4", "4.18", "DNS capture over IPv4", kAddress, BPF_CGROUP_UDP4_SENDMSG, accept},
    {"cgroup/sendmsg6", "4.18", "DNS capture over IPv6", kAddress, BPF_CGROUP_UDP6_SENDMSG, accept},
    {"cgroup/recvmsg4", "5.2", "DNS capture over IPv4", kAddress, BPF_CGROUP_UDP4_RECVMSG, accept},
    {"cgroup/recvmsg6", "5.2", "DNS capture over IPv6", kAddress, BPF_CGROUP_UDP6_RECVMSG, accept},
    {"cgroup/sock_create", "4.10", "marking the proxy's sockets", kSocket,
     BPF_CGROUP_INET_SOCK_CREATE, accept},
    {"cgroup/post_bind4", "4.17", "marking the proxy's sockets", kSocket,
     BPF_CGROUP_INET4_POST_BIND, accept},
    {"cgroup/post_bind6", "4.17", "marking the proxy's sockets", kSocket,
     BPF_CGROUP_INET6_POST_BIND, accept},
    {"sockops", "4.13", "handing the original destination to the proxy", kSockOps,
     BPF_CGROUP_SOCK_OPS, accept},
    {"cgroup/getsockopt", "5.3", "SO_ORIGINAL_DST", kSockOpt, BPF_CGROUP_GETSOCKOPT, accept},
    {"sk_lookup", "5.9", "inbound", BPF_PROG_TYPE_SK_LOOKUP, BPF_SK_LOOKUP, accept},
    {"iter/cgroup", "6.1", "finding a cgroup's level", BPF_PROG_TYPE_TRACING, BPF_TRACE_ITER,
     iterate},

    {"cgroup/connect4: bpf_get_current_ancestor_cgroup_id", "5.7", "finding the pod", kAddress,
     BPF_CGROUP_INET4_CONNECT, helper(BPF_FUNC_get_current_ancestor_cgroup_id, 1)},
    {"cgroup/connect4: bpf_get_netns_cookie", "5.7", "leaving nested containers alone", kAddress,
     BPF_CGROUP_INET4_CONNECT, helper(BPF_FUNC_get_netns_cookie)},
    {"cgroup/connect4: bpf_bind", "4.17", "the proxy sees the pod's address", kAddress,
     BPF_CGROUP_INET4_CONNECT, bindSource},
    {"cgroup/connect4: bpf_sk_storage_get", "5.3", "original destinations", kAddress,
     BPF_CGROUP_INET4_CONNECT, storageAt(offsetof(bpf_sock_addr, sk))},
    {"cgroup/connect4: bpf_set_retval", "5.18", "refusing with an error of our choice", kAddress,
     BPF_CGROUP_INET4_CONNECT, helper(BPF_FUNC_set_retval, -ENOMEM)},
    {"cgroup/connect4: bpf_get_current_uid_gid", "4.17", "knowing the proxy by its user", kAddress,
     BPF_CGROUP_INET4_CONNECT, helper(BPF_FUNC_get_current_uid_gid)},
    {"cgroup/connect4: bpf_get_current_comm", "5.7", "the command's name in flows", kAddress,
     BPF_CGROUP_INET4_CONNECT, currentCommand},
    {"cgroup/connect4: bpf_ringbuf_output", "5.8", "the flow stream", kAddress,
     BPF_CGROUP_INET4_CONNECT, ringOutput},
    {"cgroup/sock_create: bpf_sk_storage_get", "5.9", "marking the proxy's sockets", kSocket,
     BPF_CGROUP_INET_SOCK_CREATE, storageOfContext},
    {"cgroup/post_bind4: bpf_sk_storage_get", "5.9", "marking the proxy's sockets", kSocket,
     BPF_CGROUP_INET4_POST_BIND, storageOfContext},
    {"sockops: bpf_get_netns_cookie", "5.15", "handing the original destination to the proxy",
     kSockOps, BPF_CGROUP_SOCK_OPS, helper(BPF_FUNC_get_netns_cookie)},
    {"sockops: bpf_sk_storage_get", "5.3", "handing the original destination to the proxy",
     kSockOps, BPF_CGROUP_SOCK_OPS, storageAt(offsetof(bpf_sock_ops, sk))},
    {"sockops: bpf_sock_hash_update", "4.18", "inbound: the proxy's listeners", kSockOps,
     BPF_CGROUP_SOCK_OPS, enterSockHash},
    {"cgroup/getsockopt: bpf_sk_storage_get", "5.3", "SO_ORIGINAL_DST", kSockOpt,
     BPF_CGROUP_GETSOCKOPT, storageAt(offsetof(bpf_sockopt, sk))},
    {"cgroup/getsockopt: bpf_set_retval", "5.18", "SO_ORIGINAL_DST", kSockOpt,
     BPF_CGROUP_GETSOCKOPT, helper(BPF_FUNC_set_retval, 0)},
    {"cgroup/getsockopt: retval", "5.3", "SO_ORIGINAL_DST", kSockOpt, BPF_CGROUP_GETSOCKOPT,
     writeReturnValue},
    {"sk_lookup: bpf_sk_assign", "5.9", "inbound", BPF_PROG_TYPE_SK_LOOKUP, BPF_SK_LOOKUP,
     assignListener},
};

} // namespace shunt
