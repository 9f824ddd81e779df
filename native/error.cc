// SPDX-License-Identifier: Apache-2.0
#include "error.h"

#include <bpf/libbpf.h>
#include <cstring>

namespace shunt {
namespace {

// Kernel-internal, has no name in libc, and bpf(2) returns it where a map type lacks an operation.
constexpr int kNotSupported = 524;

std::string textOf(int error) {
  if (error == kNotSupported)
    return "Operation not supported by the kernel object";
  if (error >= __LIBBPF_ERRNO__START) {
    char text[128] = "";
    libbpf_strerror(error, text, sizeof(text));
    return text;
  }
  const char *text = strerrordesc_np(error);
  return text ? text : "Unknown error " + std::to_string(error);
}

} // namespace

std::string codeOf(int error) {
  if (error == kNotSupported)
    return "ENOTSUPP";
  // libbpf's own numbers all say that the file is not an object it can use.
  if (error >= __LIBBPF_ERRNO__START)
    return "ENOEXEC";
  const char *name = strerrorname_np(error);
  return name ? name : "E" + std::to_string(error);
}

Napi::Error makeError(Napi::Env env, const Failure &failure) {
  std::string code = failure.code.empty() ? codeOf(failure.error) : failure.code;
  std::string text = failure.text.empty() ? textOf(failure.error) : failure.text;
  std::string message = failure.syscall;
  if (!failure.subject.empty())
    message += " " + failure.subject;
  message += ": " + code + ": " + text;
  Napi::Error error = Napi::Error::New(env, message);
  // ENOEXEC stands for numbers that are none of the kernel's.
  int number = failure.error >= __LIBBPF_ERRNO__START ? ENOEXEC : failure.error;
  error.Set("code", Napi::String::New(env, code));
  error.Set("errno", Napi::Number::New(env, number));
  error.Set("syscall", Napi::String::New(env, failure.syscall));
  error.Set("subject", Napi::String::New(env, failure.subject));
  if (!failure.verifier.empty())
    error.Set("verifier", Napi::String::New(env, failure.verifier));
  return error;
}

void fail(Napi::Env env, const Failure &failure) {
  throw makeError(env, failure);
}

void fail(Napi::Env env, int error, std::string syscall, std::string subject) {
  fail(env, Failure{.syscall = std::move(syscall), .subject = std::move(subject), .error = error});
}

void failArgument(Napi::Env env, std::string_view method, std::string_view argument,
                  std::string text) {
  fail(env, Failure{.syscall = std::string(method),
                    .subject = std::string(argument),
                    .code = "ERR_ARGUMENT",
                    .text = std::move(text)});
}

void failClosed(Napi::Env env, std::string_view method, std::string_view subject) {
  fail(env, Failure{.syscall = std::string(method),
                    .subject = std::string(subject),
                    .code = "ERR_CLOSED",
                    .text = "the handle is closed"});
}

void failNotFound(Napi::Env env, std::string_view method, std::string_view subject,
                  std::string text) {
  fail(env, Failure{.syscall = std::string(method),
                    .subject = std::string(subject),
                    .code = "ERR_NOT_FOUND",
                    .text = std::move(text)});
}

} // namespace shunt
