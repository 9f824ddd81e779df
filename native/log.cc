// SPDX-License-Identifier: Apache-2.0
#include "log.h"

#include <bpf/libbpf.h>
#include <cstdarg>
#include <cstdio>
#include <mutex>
#include <string_view>
#include <vector>

namespace shunt {
namespace {

constexpr size_t kVerifierLines = 20;

thread_local std::string *sink = nullptr;

int print(libbpf_print_level level, const char *format, va_list arguments) {
  if (!sink || level == LIBBPF_DEBUG)
    return 0;
  va_list again;
  va_copy(again, arguments);
  int size = vsnprintf(nullptr, 0, format, arguments);
  if (size > 0) {
    size_t old = sink->size();
    sink->resize(old + size + 1);
    vsnprintf(sink->data() + old, size + 1, format, again);
    sink->resize(old + size);
  }
  va_end(again);
  return 0;
}

std::vector<std::string_view> linesOf(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    size_t end = text.find('\n');
    lines.push_back(text.substr(0, end));
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
  }
  return lines;
}

// Statistics that follow every log, accepted or rejected.
bool isNoise(std::string_view line) {
  return line.empty() || line.starts_with("processed ") || line.starts_with("verification time") ||
         line.starts_with("stack depth") || line.starts_with("insns processed");
}

// The text between two marks, empty if they are not there.
std::string_view between(std::string_view text, std::string_view before, std::string_view after) {
  size_t start = text.find(before);
  if (start == text.npos)
    return {};
  start += before.size();
  size_t end = text.find(after, start);
  return text.substr(start, end == text.npos ? text.npos : end - start);
}

// The first line that contains `mark`, empty if none does.
std::string_view lineWith(std::string_view text, std::string_view mark) {
  for (std::string_view line : linesOf(text)) {
    if (line.find(mark) != line.npos)
      return line;
  }
  return {};
}

} // namespace

LogCapture::LogCapture() : previous_(std::exchange(sink, &text_)) {}
LogCapture::~LogCapture() {
  sink = previous_;
}

void installLog() {
  static std::once_flag once;
  std::call_once(once, [] { libbpf_set_print(print); });
}

std::string verifierLines(const std::string &log) {
  std::vector<std::string_view> lines = linesOf(log);
  std::vector<std::string_view> kept;
  for (std::string_view line : lines) {
    if (!isNoise(line))
      kept.push_back(line);
  }
  // "processed 0 insns" alone is better than nothing.
  if (kept.empty())
    kept = lines;
  size_t first = kept.size() > kVerifierLines ? kept.size() - kVerifierLines : 0;
  std::string text;
  for (size_t i = first; i < kept.size(); i++) {
    if (!text.empty())
      text += '\n';
    text += kept[i];
  }
  return text;
}

std::string lastMessage(const std::string &messages) {
  std::vector<std::string_view> lines = linesOf(messages);
  while (!lines.empty() && lines.back().empty())
    lines.pop_back();
  if (lines.empty())
    return {};
  std::string_view last = lines.back();
  constexpr std::string_view prefix = "libbpf: ";
  if (last.starts_with(prefix))
    last.remove_prefix(prefix.size());
  return std::string(last);
}

Failure loadFailure(const std::string &messages, int error, const std::string &object) {
  // libbpf 1.x has no other way to say which program or map it was.
  if (std::string_view line = lineWith(messages, "BPF program load failed"); !line.empty()) {
    std::string_view log = between(messages, "BEGIN PROG LOAD LOG --\n", "-- END PROG LOAD LOG");
    return Failure{.syscall = "bpf(BPF_PROG_LOAD)",
                   .subject = std::string(between(line, "prog '", "'")),
                   .error = error,
                   .verifier = verifierLines(std::string(log))};
  }
  if (std::string_view line = lineWith(messages, "failed to create"); !line.empty())
    return Failure{.syscall = "bpf(BPF_MAP_CREATE)",
                   .subject = std::string(between(line, "map '", "'")),
                   .error = error};
  std::string last = lastMessage(messages);
  return Failure{
      .syscall = "bpf_object__load", .subject = object, .error = error, .text = std::move(last)};
}

} // namespace shunt
