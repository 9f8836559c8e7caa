// SPDX-License-Identifier: Apache-2.0
#include <dnnl.h>

#include "kernels/gemm/onednn_call.hpp"
#include "kernels/gemm/sgemm.hpp"

namespace hashep {

void sgemm(int64_t rows, int64_t cols, int64_t terms, const SgemmOperand& a, const SgemmOperand& b,
           float beta, float* c, int64_t stride) {
  if (rows == 0 || cols == 0) return;
  onednn::check(dnnl_sgemm(a.transposed ? 'T' : 'N', b.transposed ? 'T' : 'N', rows, cols, terms,
                           1.0f, a.first, a.stride, b.first, b.stride, beta, c, stride),
                "dnnl_sgemm");
}

}  // namespace hashep
