// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "map.h"

#include <vector>

namespace shunt {

/// Elements, concatenated.
struct Elements {
  size_t count = 0;
  std::vector<uint8_t> keys;
  std::vector<uint8_t> values;
};

/// Each returns 0 or an errno. They use the kernel's batch commands and go one by one where the
/// map's type has none.

/// `done`: how many were written, also on failure.
int updateElements(int fd, const MapShape &shape, Bytes keys, Bytes values, size_t &done);
/// `there`: how many were deleted. A key that is not there is no failure.
int deleteElements(int fd, const MapShape &shape, Bytes keys, size_t &there);
/// Every element once, whatever changes meanwhile. EAGAIN if it changes faster than it is read.
int readElements(int fd, const MapShape &shape, Elements &elements);

} // namespace shunt
