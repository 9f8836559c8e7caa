// SPDX-License-Identifier: Apache-2.0
#include "tests/kernels/kernel_machine.hpp"

#include <algorithm>

#include "hashep/error.hpp"

namespace hashep::test {
namespace {

constexpr int64_t kGuard = 64;  // bytes
constexpr std::byte kGuardByte{0xa5};

}  // namespace

Output::Output(KernelMachine& machine, DType dtype, int64_t rows, int64_t cols, int misaligned_by)
    : machine_(machine), view_{nullptr, dtype, rows, cols} {
  const int64_t before = kGuard + misaligned_by;
  whole_bytes_ = before + view_.bytes() + kGuard;
  whole_ = machine.allocate(whole_bytes_);
  view_.data = whole_ + before;
  std::vector<std::byte> bytes(whole_bytes_, kGuardByte);
  std::fill_n(bytes.begin() + before, view_.bytes(), std::byte{0xff});
  machine.write(whole_, bytes.data(), whole_bytes_);
}

std::vector<std::byte> Output::bytes() const {
  std::vector<std::byte> whole(whole_bytes_);
  machine_.read(whole.data(), whole_, whole_bytes_);
  const auto begin = whole.begin() + (view_.data - whole_);
  const auto end = begin + view_.bytes();
  const auto is_guard = [](std::byte byte) { return byte == kGuardByte; };
  if (!std::all_of(whole.begin(), begin, is_guard) || !std::all_of(end, whole.end(), is_guard)) {
    throw RunError("a kernel wrote outside its output");
  }
  return {begin, end};
}

std::vector<float> Output::values() const {
  std::vector<float> out(view_.rows * view_.cols);
  convert_to_float(view_.dtype, bytes().data(), view_.rows * view_.cols, out.data());
  return out;
}

}  // namespace hashep::test
