// SPDX-License-Identifier: Apache-2.0
// Fused GEMMs of a build that has no CUTLASS.
#include "hashep/error.hpp"
#include "kernels/gemm/fused_gemm.hpp"

namespace hashep {

const char* why_no_fused_gemm() {
  return "fused expert GEMMs are not in this build: CUTLASS was not found when it was configured";
}

int64_t fused_gemm_workspace_bytes() {
  return 0;
}

void run_fused_gemm(const FusedGemm&, void*, DeviceStream) {
  throw RunError(why_no_fused_gemm());
}

}  // namespace hashep
