// SPDX-License-Identifier: Apache-2.0
#include "pin.h"

#include "bpf.h"
#include "error.h"

#include <climits>

namespace shunt {
namespace {

// BPF_OBJ_GET opens whatever is there, and BPF_OBJ_GET_INFO_BY_FD fills a program's facts into a
// map's struct without a word. Only the descriptor's name tells: bpf-map, bpf-prog, bpf_link.
std::string kindOf(int fd) {
  char name[NAME_MAX] = "";
  std::string link = "/proc/self/fd/" + std::to_string(fd);
  if (readlink(link.c_str(), name, sizeof(name) - 1) < 0)
    return {};
  std::string_view kind = name;
  size_t at = kind.rfind("bpf");
  return at == kind.npos || at + 4 > kind.size() ? std::string() : std::string(kind.substr(at + 4));
}

} // namespace

Fd openPin(Napi::Env env, const std::string &path, const std::string &kind) {
  Fd fd(check(env, bpf_obj_get(path.c_str()), "bpf(BPF_OBJ_GET)", path));
  std::string found = kindOf(fd.get());
  if (found != kind)
    fail(env, Failure{.syscall = "bpf(BPF_OBJ_GET)",
                      .subject = path,
                      .error = EINVAL,
                      .text = "is no " + kind + (found.empty() ? "" : " but a " + found)});
  return fd;
}

void pinAt(Napi::Env env, int fd, const std::string &path) {
  check(env, bpf_obj_pin(fd, path.c_str()), "bpf(BPF_OBJ_PIN)", path);
}

} // namespace shunt
