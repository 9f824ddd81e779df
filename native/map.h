// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "addon.h"
#include "args.h"
#include "fd.h"

#include <string>

namespace shunt {

/// What a map's elements look like from user space.
struct MapShape {
  std::string name;
  uint32_t type = 0;
  uint32_t id = 0;
  uint32_t keySize = 0;
  uint32_t valueSize = 0;
  /// Bytes of one value in lookup and update: the values of all CPUs for a per-CPU map.
  uint32_t stride = 0;
  uint32_t maxEntries = 0;
  uint32_t flags = 0;
};

/// A map by its descriptor. Closed until `open`.
class MapHandle : public Napi::ObjectWrap<MapHandle> {
public:
  static constexpr napi_type_tag kTag{0x7368756e742e6d61, 0x7031};
  static constexpr const char *kName = "NativeMap";

  static Napi::Function define(Napi::Env env);
  /// A new handle that owns `fd`. Throws if the kernel does not tell what it is.
  static Napi::Object open(Napi::Env env, Fd fd);

  explicit MapHandle(const Napi::CallbackInfo &info);
  ~MapHandle() override { release(); }

  /// Throws ERR_CLOSED, in the name of `method`.
  int fd(Napi::Env env, const char *method) const;
  const MapShape &shape() const { return shape_; }

private:
  Napi::Value lookup(const Napi::CallbackInfo &info);
  void update(const Napi::CallbackInfo &info);
  Napi::Value remove(const Napi::CallbackInfo &info);
  void updateMany(const Napi::CallbackInfo &info);
  Napi::Value deleteMany(const Napi::CallbackInfo &info);
  Napi::Value entries(const Napi::CallbackInfo &info);
  void store(const Napi::CallbackInfo &info);
  void pin(const Napi::CallbackInfo &info);
  void close(const Napi::CallbackInfo &) { release(); }

  void release();
  size_t countKeys(const Arguments &arguments, Bytes keys) const;

  Fd fd_;
  MapShape shape_;
  void *mapping_ = nullptr;
  size_t mappingSize_ = 0;
};

} // namespace shunt
