// SPDX-License-Identifier: Apache-2.0
#include "addon.h"
#include "args.h"
#include "job.h"

#include <linux/membarrier.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace shunt {
namespace {

class GracePeriod : public Job {
public:
  explicit GracePeriod(Napi::Env env) : Job(env, "gracePeriod") {}

private:
  // The kernel runs synchronize_rcu() for this one, and BPF programs run inside RCU.
  void work() override {
    if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) < 0)
      failure_ = {.syscall = "membarrier", .subject = "MEMBARRIER_CMD_GLOBAL", .error = errno};
  }
  Napi::Value result() override { return Env().Undefined(); }
};

Napi::Value gracePeriod(const Napi::CallbackInfo &info) {
  return (new GracePeriod(info.Env()))->start();
}

void mountAt(const Napi::CallbackInfo &info) {
  Arguments arguments(info, "mount");
  std::string type = arguments.text(0, "type");
  std::string source = arguments.text(1, "source");
  std::string target = arguments.text(2, "target");
  check(info.Env(), mount(source.c_str(), target.c_str(), type.c_str(), 0, nullptr), "mount",
        target);
}

void unmountAt(const Napi::CallbackInfo &info) {
  Arguments arguments(info, "unmount");
  std::string target = arguments.text(0, "target");
  bool lazy = arguments.flag(1, "lazy", false);
  check(info.Env(), umount2(target.c_str(), lazy ? MNT_DETACH : 0), "umount2", target);
}

} // namespace

void exportSystem(Napi::Env, Napi::Object exports) {
  exportFunction<gracePeriod>(exports, "gracePeriod");
  exportFunction<mountAt>(exports, "mount");
  exportFunction<unmountAt>(exports, "unmount");
}

} // namespace shunt
