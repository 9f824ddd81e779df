// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/bpf.h>
#include <napi.h>
#include <string>

namespace shunt {

/// ProgramInfo of native.ts. `info` is all zero for a program that is not loaded.
Napi::Object programInfo(Napi::Env env, const std::string &name, const std::string &section,
                         const bpf_prog_info &info);

} // namespace shunt
