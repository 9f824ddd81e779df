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
  /// In `inside()`: whether it is the namespace with this inode. If not, that is the failure: the
  /// process may have gone, and its number to another one, and nobody else's namespace is ours to
  /// change.
  bool isNamespace(uint32_t inode);
  /// Takes errno.
  void failed(const char *syscall);

private:
  void work() final;
  void enter();

  std::string path_;
};

} // namespace shunt
