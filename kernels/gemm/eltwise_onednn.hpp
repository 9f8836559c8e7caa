// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <dnnl.hpp>
#include <map>
#include <vector>

#include "kernels/gemm/packed_linear.hpp"

namespace hashep {

/// Element-wise functions by oneDNN, one after the other, in place on fp32 values: for GEMMs of a
/// library that has none of its own. Each run is by one thread, several may run at once.
class OneDnnEltwise {
 public:
  OneDnnEltwise(const dnnl::engine& engine, std::vector<PostOp> ops, int threads);

  /// Makes ready for this many values, for all threads.
  void make_ready(int64_t count);

  /// values[i] <- the functions of values[i]; `count` was made ready. Allocates nothing.
  void run(int thread, int64_t count, float* values) const;

 private:
  struct Kernel {
    std::vector<dnnl::eltwise_forward> primitives;  // by function
    std::vector<dnnl::memory> handles;              // by thread; the address is set at each run
  };

  dnnl::engine engine_;
  std::vector<PostOp> ops_;
  std::vector<dnnl::stream> streams_;  // by thread
  std::map<int64_t, Kernel> kernels_;  // by count
};

/// The gradient of one such function, for one number of values. Each run is by one thread, several
/// may run at once.
class OneDnnEltwiseGradient {
 public:
  OneDnnEltwiseGradient(const dnnl::engine& engine, const PostOp& op, int64_t count, int threads);

  /// gradients[i] <- gradients[i] * the function's derivative at values[i]. [count] each. Allocates
  /// nothing.
  void run(int thread, const float* values, float* gradients) const;

 private:
  struct Handles {
    dnnl::memory values, gradients;  // the addresses are set at each run
  };

  dnnl::eltwise_backward primitive_;
  std::vector<dnnl::stream> streams_;  // by thread
  std::vector<Handles> handles_;       // by thread
};

}  // namespace hashep
