// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <dnnl.hpp>
#include <memory>
#include <string>

#include "kernels/gemm/packed_linear.hpp"

namespace hashep {

/// Why this build or machine has no GEMMs by LIBXSMM; empty where it has them. Local.
std::string why_no_xsmm();

/// GEMMs by LIBXSMM in fp32: weights in panels of 32 outputs, rows read where they stand, sums in
/// blocks of some 1,024 inputs, then the post-ops by oneDNN (on `engine`). The kernels are made for
/// the machine at run time (Heinecke et al., "LIBXSMM: Accelerating Small Matrix Multiplications by
/// Runtime Code Generation", SC16). Throws RunError where why_no_xsmm says so, or a size is beyond
/// 32 bits. spec.operand and spec.result must be f32.
std::unique_ptr<PackedLinear> make_xsmm_linear(const dnnl::engine& engine, LinearSpec spec,
                                               int threads);

}  // namespace hashep
