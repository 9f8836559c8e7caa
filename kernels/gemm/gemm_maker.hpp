// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <dnnl.hpp>
#include <memory>

#include "hashep/backend.hpp"
#include "hashep/dtype.hpp"
#include "kernels/gemm/packed_linear.hpp"

namespace hashep {

/// Makes the GEMMs of experts, all with one library and one type of operands.
class GemmMaker {
 public:
  /// `dtype`: of activations, f32 or bf16. Throws InputError where the library is not to be had.
  GemmMaker(GemmLibrary library, DType dtype, int threads);

  /// What GEMMs take: `dtype`, or f32 where the library has no bf16 on this machine.
  DType operand() const { return operand_; }

  const dnnl::engine& engine() const { return engine_; }

  /// GEMMs for `threads` threads. spec.operand must be operand().
  std::unique_ptr<PackedLinear> make(LinearSpec spec) const;

 private:
  dnnl::engine engine_;
  GemmLibrary library_;
  DType operand_;
  int threads_;
};

}  // namespace hashep
