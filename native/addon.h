// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <napi.h>

namespace shunt {

/// What one environment (the main thread or a worker) keeps: classes are values of an environment.
struct Addon {
  Napi::FunctionReference object;
  Napi::FunctionReference map;
  Napi::FunctionReference link;
  Napi::FunctionReference ring;
  Napi::FunctionReference inotify;
  Napi::FunctionReference netnsWatch;
  Napi::FunctionReference lock;
  Napi::FunctionReference setImmediate;

  static Addon &of(Napi::Env env) { return *env.GetInstanceData<Addon>(); }
};

/// A handle that is not open yet: constructed from JavaScript it stays so, and every call throws.
template <typename T> T &construct(Napi::FunctionReference &type) {
  return *T::Unwrap(type.New({}));
}

/// Adds `function` to the exports under `name`.
template <auto function> void exportFunction(Napi::Object exports, const char *name) {
  exports.Set(name, Napi::Function::New<function>(exports.Env(), name));
}

// Each file adds its functions to the exports.
void exportBtf(Napi::Env env, Napi::Object exports);
void exportIds(Napi::Env env, Napi::Object exports);
void exportLink(Napi::Env env, Napi::Object exports);
void exportLock(Napi::Env env, Napi::Object exports);
void exportMap(Napi::Env env, Napi::Object exports);
void exportNetns(Napi::Env env, Napi::Object exports);
void exportNetwatch(Napi::Env env, Napi::Object exports);
void exportObject(Napi::Env env, Napi::Object exports);
void exportInotify(Napi::Env env, Napi::Object exports);
void exportProbe(Napi::Env env, Napi::Object exports);
void exportRing(Napi::Env env, Napi::Object exports);
void exportSocket(Napi::Env env, Napi::Object exports);
void exportTcpSockets(Napi::Env env, Napi::Object exports);
void exportSystem(Napi::Env env, Napi::Object exports);

} // namespace shunt
