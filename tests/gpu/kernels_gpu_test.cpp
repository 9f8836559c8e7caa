// SPDX-License-Identifier: Apache-2.0
// The kernels on a GPU, over the cases that tests/kernels runs on their bodies.
#include <list>

#include "core/cuda/device_buffer.hpp"
#include "core/cuda/stream.hpp"
#include "hashep/error.hpp"
#include "tests/kernels/kernel_cases.hpp"
#include "tests/support/catch.hpp"

namespace hashep::test {
namespace {

/// Runs the kernels on the current GPU, each call to its end.
class GpuMachine : public KernelMachine {
 public:
  std::byte* allocate(int64_t bytes) override { return memory_.emplace_back(bytes).data(); }
  void release() override { memory_.clear(); }
  void write(std::byte* to, const void* from, int64_t bytes) override {
    copy_async(to, from, bytes, stream_);
    stream_.synchronize();
  }
  void read(void* to, const std::byte* from, int64_t bytes) override {
    copy_async(to, from, bytes, stream_);
    stream_.synchronize();
  }

  void scatter_rows(ConstMatrixView x, const ScatterPlan& plan) override {
    hashep::scatter_rows(x, plan, stream_);
    stream_.synchronize();
  }
  void combine_rows(const CombineInput& input, MatrixView y) override {
    hashep::combine_rows(input, y, stream_);
    stream_.synchronize();
  }
  void add_rows(ConstMatrixView y, MatrixView x) override {
    hashep::add_rows(y, x, stream_);
    stream_.synchronize();
  }
  void gate_weights(ConstMatrixView x, ConstMatrixView gate, std::span<const int32_t> experts,
                    int top_k, float scale, std::span<float> weights) override {
    hashep::gate_weights(x, gate, experts, top_k, scale, weights, stream_);
    stream_.synchronize();
  }
  void activate(const FfnShape& shape, const PreActivation& input, MatrixView out) override {
    hashep::activate(shape, input, out, stream_);
    stream_.synchronize();
  }
  void add_bias(const float* bias, MatrixView rows) override {
    hashep::add_bias(bias, rows, stream_);
    stream_.synchronize();
  }

 private:
  CudaStream stream_;
  std::list<DeviceBuffer> memory_;
};

}  // namespace

TEST_CASE("scatter_rows on a GPU does what the CPU does", "[small]") {
  GpuMachine machine;
  check_scatter_cases(machine);
}

TEST_CASE("combine_rows on a GPU does what the CPU does", "[small]") {
  GpuMachine machine;
  check_combine_cases(machine);
}

TEST_CASE("add_rows on a GPU does what the CPU does", "[small]") {
  GpuMachine machine;
  check_add_rows_cases(machine);
}

TEST_CASE("gate_weights on a GPU agrees with the oracle", "[small]") {
  GpuMachine machine;
  check_gate_cases(machine);
}

TEST_CASE("gate_weights on a GPU fuses products with sums", "[small]") {
  GpuMachine machine;
  check_gate_fuses(machine);
}

TEST_CASE("gate_weights on a GPU depends on nothing but its token", "[small]") {
  GpuMachine machine;
  check_gate_independence(machine);
}

TEST_CASE("activate on a GPU agrees with plain formulas", "[small]") {
  GpuMachine machine;
  check_activation_cases(machine);
}

TEST_CASE("activate on a GPU keeps NaN and infinity, and does not overflow inside", "[small]") {
  GpuMachine machine;
  check_activation_of_special_values(machine);
}

TEST_CASE("add_bias on a GPU adds in fp32 and rounds once", "[small]") {
  GpuMachine machine;
  check_add_bias_cases(machine);
}

}  // namespace hashep::test
