// SPDX-License-Identifier: Apache-2.0
#include "ring.h"

#include <atomic>
#include <cerrno>
#include <linux/bpf.h>
#include <sys/mman.h>

namespace shunt {

int RingReader::open(Fd map, size_t size) {
  page_ = sysconf(_SC_PAGESIZE);
  size_ = size;
  void *consumer = mmap(nullptr, page_, PROT_READ | PROT_WRITE, MAP_SHARED, map.get(), 0);
  if (consumer == MAP_FAILED)
    return errno;
  // The data comes twice in a row, so a record that wraps around is in one piece.
  void *producer = mmap(nullptr, page_ + 2 * size_, PROT_READ, MAP_SHARED, map.get(), page_);
  if (producer == MAP_FAILED) {
    int error = errno;
    munmap(consumer, page_);
    return error;
  }
  map_ = std::move(map);
  consumer_ = static_cast<uint64_t *>(consumer);
  producer_ = static_cast<uint8_t *>(producer);
  position_ = __atomic_load_n(consumer_, __ATOMIC_ACQUIRE);
  return 0;
}

void RingReader::close() {
  if (consumer_) {
    munmap(std::exchange(consumer_, nullptr), page_);
    munmap(std::exchange(producer_, nullptr), page_ + 2 * size_);
  }
  map_.reset();
}

uint64_t RingReader::end() const {
  return __atomic_load_n(reinterpret_cast<uint64_t *>(producer_), __ATOMIC_ACQUIRE);
}

// Returns false if the next record is not there or not committed.
bool RingReader::takeOne(std::vector<Record> &records) {
  if (position_ >= end())
    return false;
  uint8_t *header = producer_ + page_ + (position_ & (size_ - 1));
  uint32_t word = __atomic_load_n(reinterpret_cast<uint32_t *>(header), __ATOMIC_ACQUIRE);
  if (word & BPF_RINGBUF_BUSY_BIT)
    return false;
  uint32_t size = word & ~BPF_RINGBUF_DISCARD_BIT;
  if (!(word & BPF_RINGBUF_DISCARD_BIT))
    records.emplace_back(header + BPF_RINGBUF_HDR_SZ, header + BPF_RINGBUF_HDR_SZ + size);
  position_ += (uint64_t{size} + BPF_RINGBUF_HDR_SZ + 7) / 8 * 8;
  __atomic_store_n(consumer_, position_, __ATOMIC_RELEASE);
  return true;
}

bool RingReader::take(std::vector<Record> &records, size_t limit) {
  bool fenced = false;
  while (records.size() < limit) {
    if (takeOne(records)) {
      fenced = false;
      continue;
    }
    if (fenced)
      return false;
    // A producer commits, then looks whether the consumer waits for this very record, and only then
    // wakes it. Either it sees our position or we see its record: look again behind a full fence.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    fenced = true;
  }
  return true;
}

} // namespace shunt
