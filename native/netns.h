// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "job.h"

#include <string>

namespace shunt {

/// Work inside a network namespace, on a thread of its own.
class NetnsJob : public Job {
protected:
  NetnsJob(Napi::Env env, const char *name, std::string path)
      : Job(env, name), path_(std::move(path)) {}

  /// On a thread that is in the namespace and ends afterwards.
  virtual void inside() = 0;
  /// Takes errno.
  void failed(const char *syscall);

private:
  void work() final;
  void enter();

  std::string path_;
};

} // namespace shunt
