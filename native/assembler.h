// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <linux/bpf.h>
#include <vector>

namespace shunt {

/// A program, instruction by instruction; <linux/bpf.h> has the encoding but no macros for it.
/// Registers are numbers: 0 result, 1–5 arguments, 6–9 kept over calls, 10 frame.
class Assembler {
public:
  Assembler &move(uint8_t to, uint8_t from) { return add(BPF_ALU64 | BPF_MOV | BPF_X, to, from); }
  Assembler &set(uint8_t to, int32_t value) {
    return add(BPF_ALU64 | BPF_MOV | BPF_K, to, 0, 0, value);
  }
  Assembler &addTo(uint8_t to, int32_t value) {
    return add(BPF_ALU64 | BPF_ADD | BPF_K, to, 0, 0, value);
  }
  Assembler &load64(uint8_t to, uint8_t from, size_t offset) {
    return add(BPF_LDX | BPF_MEM | BPF_DW, to, from, static_cast<int16_t>(offset));
  }
  Assembler &store32(uint8_t to, size_t offset, uint8_t from) {
    return add(BPF_STX | BPF_MEM | BPF_W, to, from, static_cast<int16_t>(offset));
  }
  /// Zeroes 8 bytes of the frame.
  Assembler &clear(int16_t offset) { return add(BPF_ST | BPF_MEM | BPF_DW, 10, 0, offset, 0); }
  Assembler &frame(uint8_t to, int32_t offset) { return move(to, 10).addTo(to, offset); }
  Assembler &map(uint8_t to, int fd) {
    add(BPF_LD | BPF_DW | BPF_IMM, to, BPF_PSEUDO_MAP_FD, 0, fd);
    return add(0, 0, 0);
  }
  Assembler &call(int32_t helper) { return add(BPF_JMP | BPF_CALL, 0, 0, 0, helper); }
  /// Skips the next `count` instructions if the register is 0.
  Assembler &skipIfZero(uint8_t reg, int16_t count) {
    return add(BPF_JMP | BPF_JEQ | BPF_K, reg, 0, count, 0);
  }
  /// Returns `value`.
  Assembler &finish(int32_t value) { return set(0, value).add(BPF_JMP | BPF_EXIT, 0, 0); }

  const std::vector<bpf_insn> &instructions() const { return instructions_; }

private:
  Assembler &add(uint8_t code, uint8_t to, uint8_t from, int16_t offset = 0, int32_t value = 0) {
    bpf_insn instruction{};
    instruction.code = code;
    instruction.dst_reg = to;
    instruction.src_reg = from;
    instruction.off = offset;
    instruction.imm = value;
    instructions_.push_back(instruction);
    return *this;
  }

  std::vector<bpf_insn> instructions_;
};

} // namespace shunt
