// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "fd.h"

#include <napi.h>
#include <string>

namespace shunt {

/// The object pinned at `path`. Throws ENOENT when nothing is pinned there and EINVAL when it is
/// not a `kind` ("map" or "link").
Fd openPin(Napi::Env env, const std::string &path, const std::string &kind);

/// Pins `fd` at `path`, which must not exist yet.
void pinAt(Napi::Env env, int fd, const std::string &path);

} // namespace shunt
