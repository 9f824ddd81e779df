// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "error.h"

#include <cstdint>
#include <span>

namespace shunt {

using Bytes = std::span<const uint8_t>;

/// The arguments of one call. Every getter throws ERR_ARGUMENT, naming the argument.
class Arguments {
public:
  Arguments(const Napi::CallbackInfo &info, const char *method) : info_(info), method_(method) {}

  Napi::Env env() const { return info_.Env(); }
  const char *method() const { return method_; }

  /// A string without NUL: all of them end in a C string, where a NUL would cut a path short.
  std::string text(size_t index, const char *name) const;
  /// Valid while JavaScript does not run.
  Bytes bytes(size_t index, const char *name) const;
  Bytes bytes(size_t index, const char *name, size_t size) const;
  uint32_t number(size_t index, const char *name, uint32_t max = UINT32_MAX) const;
  uint32_t number(size_t index, const char *name, uint32_t max, uint32_t missing) const;
  uint64_t word(size_t index, const char *name) const;
  bool flag(size_t index, const char *name) const;
  bool flag(size_t index, const char *name, bool missing) const;
  Napi::Function function(size_t index, const char *name) const;

  /// Another handle of the addon. The tag, not the prototype, says what it is.
  template <typename T> T &handle(size_t index, const char *name) const {
    Napi::Value value = info_[index];
    if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&T::kTag))
      bad(name, std::string("must be a ") + T::kName);
    return *T::Unwrap(value.As<Napi::Object>());
  }

  [[noreturn]] void bad(const char *name, std::string text) const {
    failArgument(env(), method_, name, std::move(text));
  }

private:
  const Napi::CallbackInfo &info_;
  const char *method_;
};

/// A Uint8Array of its own with these bytes.
Napi::Uint8Array toArray(Napi::Env env, Bytes bytes);

} // namespace shunt
