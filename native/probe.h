// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "assembler.h"
#include "fd.h"

#include <functional>
#include <string>
#include <vector>

namespace shunt {

/// Maps that the probed programs use. An empty one could not be made.
struct ProbeMaps {
  Fd storage;
  Fd ring;
  Fd sockets;
};

/// A map type, made with the flags that the agent uses.
struct MapProbe {
  const char *name;
  const char *since;
  const char *needed;
  bpf_map_type type;
  uint32_t keySize;
  uint32_t valueSize;
  uint32_t entries;
  uint32_t flags;
};

/// A program, loaded and let go.
struct ProgramProbe {
  const char *name;
  const char *since;
  const char *needed;
  bpf_prog_type type;
  bpf_attach_type attach;
  std::function<Assembler(const ProbeMaps &)> build;
};

extern const std::vector<MapProbe> mapProbes;
extern const std::vector<ProgramProbe> programProbes;

} // namespace shunt
