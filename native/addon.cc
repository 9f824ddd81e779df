// SPDX-License-Identifier: Apache-2.0
#include "addon.h"

#include "log.h"

#include <bpf/libbpf.h>

namespace shunt {
namespace {

Napi::Object init(Napi::Env env, Napi::Object exports) {
  installLog();
  auto *addon = new Addon;
  env.SetInstanceData(addon);
  // Kept from now on: a test that fakes timers must not stop a ring.
  addon->setImmediate = Napi::Persistent(env.Global().Get("setImmediate").As<Napi::Function>());

  exports.Set("libbpf", Napi::String::New(env, std::to_string(libbpf_major_version()) + "." +
                                                   std::to_string(libbpf_minor_version())));
  exports.Set("cpus", Napi::Number::New(env, libbpf_num_possible_cpus()));
  exportObject(env, exports);
  exportMap(env, exports);
  exportLink(env, exports);
  exportBtf(env, exports);
  exportIds(env, exports);
  exportRing(env, exports);
  exportInotify(env, exports);
  exportLock(env, exports);
  exportNetns(env, exports);
  exportNetwatch(env, exports);
  exportSocket(env, exports);
  exportTcpSockets(env, exports);
  exportSystem(env, exports);
  exportProbe(env, exports);
  return exports;
}

} // namespace
} // namespace shunt

static Napi::Object initialise(Napi::Env env, Napi::Object exports) {
  return shunt::init(env, exports);
}
NODE_API_MODULE(shunt, initialise)
