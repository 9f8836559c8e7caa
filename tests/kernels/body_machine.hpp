// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <list>

#include "hashep/buffer.hpp"
#include "tests/kernels/kernel_machine.hpp"

namespace hashep::test {

/// Runs the kernels' bodies on the CPU, over all blocks and threads, in host memory.
class BodyMachine : public KernelMachine {
 public:
  /// Called after each thread, if set.
  std::function<void()> after_thread;

  std::byte* allocate(int64_t bytes) override { return memory_.emplace_back(bytes).data(); }
  void release() override { memory_.clear(); }
  void write(std::byte* to, const void* from, int64_t bytes) override;
  void read(void* to, const std::byte* from, int64_t bytes) override;

  void scatter_rows(ConstMatrixView x, const ScatterPlan& plan) override;
  void combine_rows(const CombineInput& input, MatrixView y) override;
  void add_rows(ConstMatrixView y, MatrixView x) override;
  void gate_weights(ConstMatrixView x, ConstMatrixView gate, std::span<const int32_t> experts,
                    int top_k, float scale, std::span<float> weights) override;
  void activate(const FfnShape& shape, const PreActivation& input, MatrixView out) override;
  void add_bias(const float* bias, MatrixView rows) override;

 private:
  void call_after_thread() const {
    if (after_thread) after_thread();
  }

  std::list<Buffer> memory_;
};

}  // namespace hashep::test
