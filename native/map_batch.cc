// SPDX-License-Identifier: Apache-2.0
#include "map_batch.h"

#include "bpf.h"

#include <algorithm>
#include <string_view>
#include <unordered_set>

namespace shunt {
namespace {

// ENOTSUPP is kernel-internal and leaks from here; EINVAL comes from kernels without the command.
bool hasNoBatch(int error) {
  return error == EINVAL || error == ENOTSUP || error == EOPNOTSUPP || error == 524;
}

// The kernel leaves `count` alone when it refuses the command before the first element.
size_t progress(uint32_t asked, uint32_t reported, int error) {
  return error != 0 && reported == asked ? 0 : reported;
}

// Hash tables are read by bucket under the bucket's lock, and arrays lose no key: each comes once.
// All others are read by "the key after this one", which starts again from the first when this one
// was deleted.
bool comesOnce(uint32_t type) {
  return type == BPF_MAP_TYPE_ARRAY || type == BPF_MAP_TYPE_PERCPU_ARRAY ||
         type == BPF_MAP_TYPE_HASH || type == BPF_MAP_TYPE_LRU_HASH ||
         type == BPF_MAP_TYPE_PERCPU_HASH || type == BPF_MAP_TYPE_LRU_PERCPU_HASH;
}

// Collects elements, each key once.
class Collector {
public:
  Collector(const MapShape &shape, Elements &into, bool repeats)
      : shape_(shape), into_(into), repeats_(repeats),
        // Restarts end when nothing is deleted any more; this bounds a map that never rests.
        steps_(4096 + 16ul * shape.maxEntries) {}

  void add(const uint8_t *key, const uint8_t *value) {
    if (steps_ > 0)
      steps_--;
    if (repeats_ && !seen_.emplace(reinterpret_cast<const char *>(key), shape_.keySize).second)
      return;
    into_.keys.insert(into_.keys.end(), key, key + shape_.keySize);
    into_.values.insert(into_.values.end(), value, value + shape_.stride);
    into_.count++;
  }
  bool exhausted() const { return repeats_ && steps_ == 0; }

private:
  const MapShape &shape_;
  Elements &into_;
  bool repeats_;
  size_t steps_;
  std::unordered_set<std::string> seen_;
};

int readBatches(int fd, const MapShape &shape, Elements &elements) {
  Collector collector(shape, elements, !comesOnce(shape.type));
  // Opaque to us: a bucket number, or the last key.
  std::vector<uint8_t> position(std::max<size_t>(8, shape.keySize)), next(position.size());
  uint32_t room = std::clamp<uint32_t>(shape.maxEntries, 1, 1024);
  std::vector<uint8_t> keys, values;
  for (bool first = true; !collector.exhausted();) {
    keys.resize(size_t{room} * shape.keySize);
    values.resize(size_t{room} * shape.stride);
    uint32_t count = room;
    int result = bpf_map_lookup_batch(fd, first ? nullptr : position.data(), next.data(),
                                      keys.data(), values.data(), &count, nullptr);
    int error = result < 0 ? errorOf(result) : 0;
    // One bucket holds more than there is room for.
    if (error == ENOSPC && room < (1u << 30)) {
      room *= 2;
      continue;
    }
    if (error != 0 && error != ENOENT)
      return error;
    for (uint32_t i = 0; i < count; i++)
      collector.add(&keys[size_t{i} * shape.keySize], &values[size_t{i} * shape.stride]);
    if (error == ENOENT)
      return 0;
    position.swap(next);
    first = false;
  }
  return EAGAIN;
}

int readOneByOne(int fd, const MapShape &shape, Elements &elements) {
  Collector collector(shape, elements, true);
  std::vector<uint8_t> key(shape.keySize), next(shape.keySize), value(shape.stride);
  for (bool first = true; !collector.exhausted(); first = false) {
    int result = bpf_map_get_next_key(fd, first ? nullptr : key.data(), next.data());
    if (result < 0)
      return errorOf(result) == ENOENT ? 0 : errorOf(result);
    key.swap(next);
    result = bpf_map_lookup_elem(fd, key.data(), value.data());
    if (result == 0)
      collector.add(key.data(), value.data());
    else if (errorOf(result) != ENOENT)
      return errorOf(result);
  }
  return EAGAIN;
}

} // namespace

int updateElements(int fd, const MapShape &shape, Bytes keys, Bytes values, size_t &done) {
  size_t count = keys.size() / shape.keySize;
  done = 0;
  if (count == 0)
    return 0;
  uint32_t asked = static_cast<uint32_t>(count);
  uint32_t reported = asked;
  int result = bpf_map_update_batch(fd, keys.data(), values.data(), &reported, nullptr);
  if (result == 0) {
    done = count;
    return 0;
  }
  int error = errorOf(result);
  done = progress(asked, reported, error);
  if (!hasNoBatch(error))
    return error;
  for (; done < count; done++) {
    result = bpf_map_update_elem(fd, &keys[done * shape.keySize], &values[done * shape.stride], 0);
    if (result < 0)
      return errorOf(result);
  }
  return 0;
}

int deleteElements(int fd, const MapShape &shape, Bytes keys, size_t &there) {
  size_t count = keys.size() / shape.keySize;
  there = 0;
  size_t at = 0;
  while (at < count) {
    uint32_t asked = static_cast<uint32_t>(count - at);
    uint32_t reported = asked;
    int result = bpf_map_delete_batch(fd, &keys[at * shape.keySize], &reported, nullptr);
    int error = result < 0 ? errorOf(result) : 0;
    size_t gone = progress(asked, reported, error);
    there += gone;
    at += gone;
    if (error == 0)
      return 0;
    // The batch stops at a key that is not there: go on behind it.
    if (error == ENOENT)
      at++;
    else if (hasNoBatch(error))
      break;
    else
      return error;
  }
  for (; at < count; at++) {
    int result = bpf_map_delete_elem(fd, &keys[at * shape.keySize]);
    if (result == 0)
      there++;
    else if (errorOf(result) != ENOENT)
      return errorOf(result);
  }
  return 0;
}

int readElements(int fd, const MapShape &shape, Elements &elements) {
  int error = readBatches(fd, shape, elements);
  // EINTR: older kernels give up on an element that changes under the batch's hands.
  if (hasNoBatch(error) || error == EINTR) {
    elements = Elements{};
    error = readOneByOne(fd, shape, elements);
  }
  return error;
}

} // namespace shunt
