// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "addon.h"
#include "args.h"
#include "fd.h"

namespace shunt {

/// A link by its descriptor. Closed until `open`.
class LinkHandle : public Napi::ObjectWrap<LinkHandle> {
public:
  static constexpr napi_type_tag kTag{0x7368756e742e6c69, 0x6e6b31};
  static constexpr const char *kName = "NativeLink";

  static Napi::Function define(Napi::Env env);
  /// A new handle that owns `fd`; `subject` is what its errors name.
  static Napi::Object open(Napi::Env env, Fd fd, std::string subject);

  explicit LinkHandle(const Napi::CallbackInfo &info);

private:
  Napi::Value info(const Napi::CallbackInfo &info);
  void update(const Napi::CallbackInfo &info);
  void pin(const Napi::CallbackInfo &info);
  void detach(const Napi::CallbackInfo &info);
  void close(const Napi::CallbackInfo &) { fd_.reset(); }

  int fd(Napi::Env env, const char *method) const;

  Fd fd_;
  std::string subject_;
};

} // namespace shunt
