// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "error.h"

#include <string>

namespace shunt {

/// Takes libbpf's messages of this thread while it lives; without one they are dropped.
/// libbpf never writes to stderr by itself once `installLog` ran.
class LogCapture {
public:
  LogCapture();
  ~LogCapture();
  LogCapture(const LogCapture &) = delete;
  LogCapture &operator=(const LogCapture &) = delete;

  const std::string &text() const { return text_; }

private:
  std::string text_;
  std::string *previous_;
};

/// Once a process, before any other call of libbpf.
void installLog();

/// The lines of a verifier log that say why: the last instructions and the error, oldest first.
std::string verifierLines(const std::string &log);

/// What failed while `object` loaded with `error`, as far as libbpf's messages tell.
Failure loadFailure(const std::string &messages, int error, const std::string &object);
/// The last message of libbpf, without its prefix and line end; empty if there is none.
std::string lastMessage(const std::string &messages);

} // namespace shunt
