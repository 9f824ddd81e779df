// SPDX-License-Identifier: Apache-2.0
#include "link.h"
#include "object.h"

namespace shunt {
namespace {

Fd openPath(Napi::Env env, const std::string &path, int flags) {
  return Fd(check(env, ::open(path.c_str(), O_RDONLY | O_CLOEXEC | flags), "open", path));
}

} // namespace

Napi::Value ObjectHandle::attach(Napi::Env env, const char *method, const std::string &program,
                                 const std::string &path, int flags) {
  int programFd = this->programFd(env, method, program);
  bpf_attach_type type = bpf_program__expected_attach_type(findProgram(env, method, program));
  Fd target = openPath(env, path, flags);
  Fd link(check(env, bpf_link_create(programFd, target.get(), type, nullptr),
                "bpf(BPF_LINK_CREATE)", program));
  return LinkHandle::open(env, std::move(link), program);
}

Napi::Value ObjectHandle::attachCgroup(const Napi::CallbackInfo &info) {
  Arguments arguments(info, "attachCgroup");
  opened(info.Env(), "attachCgroup");
  std::string program = arguments.text(0, "program");
  return attach(info.Env(), "attachCgroup", program, arguments.text(1, "cgroup"), O_DIRECTORY);
}

Napi::Value ObjectHandle::attachNetns(const Napi::CallbackInfo &info) {
  Arguments arguments(info, "attachNetns");
  opened(info.Env(), "attachNetns");
  std::string program = arguments.text(0, "program");
  return attach(info.Env(), "attachNetns", program, arguments.text(1, "netns"), 0);
}

Napi::Value ObjectHandle::iterate(Napi::Env env, const char *method, const std::string &program,
                                  const bpf_iter_link_info &target) {
  int fd = programFd(env, method, program);
  auto settings = options<bpf_link_create_opts>();
  settings.iter_info = const_cast<bpf_iter_link_info *>(&target);
  settings.iter_info_len = sizeof(target);
  Fd link(check(env, bpf_link_create(fd, 0, BPF_TRACE_ITER, &settings), "bpf(BPF_LINK_CREATE)",
                program));
  Fd iterator(check(env, bpf_iter_create(link.get()), "bpf(BPF_ITER_CREATE)", program));

  std::vector<uint8_t> output;
  size_t used = 0;
  for (;;) {
    output.resize(used + 4096);
    ssize_t size = ::read(iterator.get(), output.data() + used, output.size() - used);
    if (size == 0)
      break;
    if (size > 0)
      used += size;
    else if (errno != EINTR && errno != EAGAIN)
      fail(env, errno, "read", program);
  }
  return toArray(env, Bytes(output.data(), used));
}

Napi::Value ObjectHandle::iterateCgroup(const Napi::CallbackInfo &info) {
  Arguments arguments(info, "iterateCgroup");
  opened(info.Env(), "iterateCgroup");
  std::string program = arguments.text(0, "program");
  std::string path = arguments.text(1, "cgroup");
  Fd cgroup = openPath(info.Env(), path, O_DIRECTORY);
  auto target = zeroed<bpf_iter_link_info>();
  target.cgroup.order = BPF_CGROUP_ITER_SELF_ONLY;
  target.cgroup.cgroup_fd = cgroup.get();
  return iterate(info.Env(), "iterateCgroup", program, target);
}

Napi::Value ObjectHandle::iterateTask(const Napi::CallbackInfo &info) {
  Arguments arguments(info, "iterateTask");
  opened(info.Env(), "iterateTask");
  std::string program = arguments.text(0, "program");
  auto target = zeroed<bpf_iter_link_info>();
  target.task.pid = arguments.number(1, "pid", INT32_MAX);
  // 0 would stand for every process.
  if (target.task.pid == 0)
    arguments.bad("pid", "must be a process");
  return iterate(info.Env(), "iterateTask", program, target);
}

} // namespace shunt
