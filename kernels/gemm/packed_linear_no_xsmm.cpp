// SPDX-License-Identifier: Apache-2.0
// In the place of packed_linear_xsmm.cpp where there is no LIBXSMM.
#include "hashep/error.hpp"
#include "kernels/gemm/packed_linear_xsmm.hpp"

namespace hashep {

std::string why_no_xsmm() {
  return "this build has no LIBXSMM (package libxsmm-dev)";
}

std::unique_ptr<PackedLinear> make_xsmm_linear(const dnnl::engine&, LinearSpec, int) {
  throw RunError(why_no_xsmm());
}

}  // namespace hashep
