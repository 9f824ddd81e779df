// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cerrno>
#include <napi.h>
#include <string>
#include <string_view>

namespace shunt {

/// What a KernelError of src/kernel/native.ts is made of. Plain data, so threads can make one too.
struct Failure {
  std::string syscall;
  std::string subject;
  /// Positive, 0 where no system call was made.
  int error = 0;
  /// Taken from `error` if empty.
  std::string code{};
  /// Taken from `error` if empty.
  std::string text{};
  std::string verifier{};
};

/// The errno behind a failing return value: libbpf returns it negated, system calls return -1.
inline int errorOf(int result) {
  return result < -1 ? -result : errno;
}

/// `ENOENT` and the like.
std::string codeOf(int error);

/// The error to throw or to reject with.
Napi::Error makeError(Napi::Env env, const Failure &failure);

[[noreturn]] void fail(Napi::Env env, const Failure &failure);
[[noreturn]] void fail(Napi::Env env, int error, std::string syscall, std::string subject);
/// ERR_ARGUMENT: `argument` of `method` is not what it has to be.
[[noreturn]] void failArgument(Napi::Env env, std::string_view method, std::string_view argument,
                               std::string text);
/// ERR_CLOSED.
[[noreturn]] void failClosed(Napi::Env env, std::string_view method, std::string_view subject);
/// ERR_NOT_FOUND: the object has no such map, program or variable, or has not loaded it.
[[noreturn]] void failNotFound(Napi::Env env, std::string_view method, std::string_view subject,
                               std::string text);

/// Returns `result` if it is no failure, else throws.
inline int check(Napi::Env env, int result, const char *syscall, std::string_view subject) {
  if (result < 0)
    fail(env, errorOf(result), syscall, std::string(subject));
  return result;
}

} // namespace shunt
