// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/ffn/activation.hpp"
#include "kernels/gate/gate_scores.hpp"
#include "kernels/rows/combine.hpp"
#include "kernels/rows/scatter.hpp"

namespace hashep::test {

/// What runs the GPU's kernels: a GPU, or the CPU on their bodies. Its memory lives until
/// `release`; all calls have been done when they return.
class KernelMachine {
 public:
  virtual ~KernelMachine() = default;

  /// So many bytes and no more, aligned to 64; `write` and `read` copy to and from them.
  virtual std::byte* allocate(int64_t bytes) = 0;
  virtual void release() = 0;
  virtual void write(std::byte* to, const void* from, int64_t bytes) = 0;
  virtual void read(void* to, const std::byte* from, int64_t bytes) = 0;

  virtual void scatter_rows(ConstMatrixView x, const ScatterPlan& plan) = 0;
  virtual void combine_rows(const CombineInput& input, MatrixView y) = 0;
  virtual void add_rows(ConstMatrixView y, MatrixView x) = 0;
  virtual void gate_weights(ConstMatrixView x, ConstMatrixView gate,
                            std::span<const int32_t> experts, int top_k, float scale,
                            std::span<float> weights) = 0;
  virtual void activate(const FfnShape& shape, const PreActivation& input, MatrixView out) = 0;
  virtual void add_bias(const float* bias, MatrixView rows) = 0;
};

/// A copy of host values in the machine's memory, from `misaligned_by` past an aligned address on.
template <typename T>
std::span<T> put(KernelMachine& machine, std::span<const T> values, int misaligned_by = 0) {
  const auto bytes = static_cast<int64_t>(values.size_bytes());
  std::byte* const to = machine.allocate(bytes + misaligned_by) + misaligned_by;
  machine.write(to, values.data(), bytes);
  return {reinterpret_cast<T*>(to), values.size()};
}

template <typename T>
std::span<T> put(KernelMachine& machine, const std::vector<T>& values, int misaligned_by = 0) {
  return put(machine, std::span<const T>(values), misaligned_by);
}

inline MatrixView put(KernelMachine& machine, ConstMatrixView matrix, int misaligned_by = 0) {
  const std::span bytes(matrix.data, static_cast<size_t>(matrix.bytes()));
  return {put(machine, bytes, misaligned_by).data(), matrix.dtype, matrix.rows, matrix.cols};
}

/// A matrix of the machine that a kernel writes: poisoned (0xff: NaN), with guards before and
/// after.
class Output {
 public:
  Output(KernelMachine& machine, DType dtype, int64_t rows, int64_t cols, int misaligned_by = 0);

  MatrixView view() const { return view_; }
  /// Its bytes. Throws RunError where a guard was written.
  std::vector<std::byte> bytes() const;
  std::vector<float> values() const;

 private:
  KernelMachine& machine_;
  std::byte* whole_ = nullptr;
  int64_t whole_bytes_ = 0;
  MatrixView view_;
};

}  // namespace hashep::test
