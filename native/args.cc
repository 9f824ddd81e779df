// SPDX-License-Identifier: Apache-2.0
#include "args.h"

#include <cmath>
#include <cstring>

namespace shunt {

std::string Arguments::text(size_t index, const char *name) const {
  Napi::Value value = info_[index];
  if (!value.IsString())
    bad(name, "must be a string");
  std::string text = value.As<Napi::String>().Utf8Value();
  if (text.find('\0') != std::string::npos)
    bad(name, "must not contain NUL");
  return text;
}

Bytes Arguments::bytes(size_t index, const char *name) const {
  Napi::Value value = info_[index];
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array)
    bad(name, "must be a Uint8Array");
  auto array = value.As<Napi::Uint8Array>();
  return Bytes(array.Data(), array.ByteLength());
}

Bytes Arguments::bytes(size_t index, const char *name, size_t size) const {
  Bytes found = bytes(index, name);
  if (found.size() != size)
    bad(name, "must have " + std::to_string(size) + " bytes, has " + std::to_string(found.size()));
  return found;
}

uint32_t Arguments::number(size_t index, const char *name, uint32_t max) const {
  Napi::Value value = info_[index];
  double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1;
  if (!(number >= 0 && number <= max) || number != std::floor(number))
    bad(name, "must be a whole number from 0 to " + std::to_string(max));
  return static_cast<uint32_t>(number);
}

uint32_t Arguments::number(size_t index, const char *name, uint32_t max, uint32_t missing) const {
  return info_[index].IsUndefined() ? missing : number(index, name, max);
}

uint64_t Arguments::word(size_t index, const char *name) const {
  Napi::Value value = info_[index];
  bool lossless = false;
  uint64_t word = value.IsBigInt() ? value.As<Napi::BigInt>().Uint64Value(&lossless) : 0;
  if (!lossless)
    bad(name, "must be a bigint from 0 to 2^64 - 1");
  return word;
}

bool Arguments::flag(size_t index, const char *name) const {
  if (!info_[index].IsBoolean())
    bad(name, "must be true or false");
  return info_[index].As<Napi::Boolean>().Value();
}

bool Arguments::flag(size_t index, const char *name, bool missing) const {
  return info_[index].IsUndefined() ? missing : flag(index, name);
}

Napi::Function Arguments::function(size_t index, const char *name) const {
  if (!info_[index].IsFunction())
    bad(name, "must be a function");
  return info_[index].As<Napi::Function>();
}

Napi::Uint8Array toArray(Napi::Env env, Bytes bytes) {
  Napi::Uint8Array array = Napi::Uint8Array::New(env, bytes.size());
  if (!bytes.empty())
    std::memcpy(array.Data(), bytes.data(), bytes.size());
  return array;
}

} // namespace shunt
