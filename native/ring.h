// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "fd.h"

#include <cstdint>
#include <vector>

namespace shunt {

/// The consumer's side of a BPF_MAP_TYPE_RINGBUF, Documentation/bpf/ringbuf.rst.
class RingReader {
public:
  using Record = std::vector<uint8_t>;

  RingReader() = default;
  RingReader(const RingReader &) = delete;
  RingReader &operator=(const RingReader &) = delete;
  ~RingReader() { close(); }

  /// Maps a ring of `size` bytes (its max_entries). Returns 0 or an errno.
  int open(Fd map, size_t size);
  void close();

  /// Appends up to `limit` records. Returns whether it stopped at the limit; otherwise the next
  /// record that is committed wakes the map's descriptor.
  bool take(std::vector<Record> &records, size_t limit);
  /// Where the producers are now.
  uint64_t end() const;
  /// Where the consumer is.
  uint64_t position() const { return position_; }

  int fd() const { return map_.get(); }
  explicit operator bool() const { return consumer_ != nullptr; }

private:
  bool takeOne(std::vector<Record> &records);

  Fd map_;
  size_t page_ = 0;
  size_t size_ = 0;
  uint64_t *consumer_ = nullptr;
  uint8_t *producer_ = nullptr;
  uint64_t position_ = 0;
};

} // namespace shunt
