// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cstring>
#include <vector>

namespace shunt {

/// libbpf's `struct ..._opts`, zeroed to the last padding byte (libbpf checks them) and sized.
template <typename T> T options() {
  T options;
  std::memset(static_cast<void *>(&options), 0, sizeof(options));
  options.sz = sizeof(options);
  return options;
}

/// BPF_OBJ_GET_INFO_BY_FD; `info` may carry what the kernel expects in it.
/// Returns 0 or a negative errno.
template <typename T> int readInfo(int fd, T &info) {
  uint32_t size = sizeof(info);
  return bpf_obj_get_info_by_fd(fd, &info, &size);
}

template <typename T> T zeroed() {
  T value;
  std::memset(static_cast<void *>(&value), 0, sizeof(value));
  return value;
}

} // namespace shunt
