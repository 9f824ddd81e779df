// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "error.h"

#include <napi.h>

namespace shunt {

/// Work off the JavaScript thread, as a promise. Deletes itself when it is done.
class Job : public Napi::AsyncWorker {
public:
  Napi::Promise start() {
    Napi::Promise promise = deferred_.Promise();
    Queue();
    return promise;
  }

protected:
  Job(Napi::Env env, const char *name)
      : AsyncWorker(env, name), deferred_(Napi::Promise::Deferred::New(env)) {}

  /// Off the thread: does the work, and fills `failure_` if that fails.
  virtual void work() = 0;
  /// On the thread: what the promise resolves with. It rejects with what this throws.
  virtual Napi::Value result() = 0;

  Failure failure_;

private:
  void Execute() override { work(); }
  void OnOK() override {
    try {
      if (failure_.error != 0)
        fail(Env(), failure_);
      deferred_.Resolve(result());
    } catch (const Napi::Error &error) {
      deferred_.Reject(error.Value());
    }
  }

  Napi::Promise::Deferred deferred_;
};

} // namespace shunt
