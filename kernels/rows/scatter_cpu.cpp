// SPDX-License-Identifier: Apache-2.0
#include "kernels/argument_checks.hpp"
#include "kernels/parallel.hpp"
#include "kernels/rows/scatter.hpp"
#include "kernels/rows/stream_copy.hpp"

namespace hashep {
namespace {

constexpr int64_t kTokensPerThread = 64;  // fewer are copied sooner than a thread wakes up

}  // namespace

void scatter_rows(ConstMatrixView x, const ScatterPlan& plan, bool stream, int threads) {
  check_scatter(x, plan);
  const int64_t row_bytes = x.row_bytes();
  const int64_t tokens = plan.num_tokens(x.rows);
  parallel_ranges(tokens, threads, kTokensPerThread, [&](int64_t begin, int64_t end) {
    for (int64_t token = begin; token < end; ++token) {
      const int64_t from = plan.listed.empty() ? token : plan.listed[token];
      for (int64_t a = token * plan.top_k; a < (token + 1) * plan.top_k; ++a) {
        const int64_t row = plan.rows[a];
        if (row < 0) continue;
        const auto expert = static_cast<size_t>(plan.experts[a]);
        const ExpertPlace& place = plan.places[expert];
        if (place.data == nullptr) continue;
        copy_row(place.row(row, row_bytes), x.row(from), row_bytes, stream);
      }
    }
    if (stream) stream_fence();
  });
}

}  // namespace hashep
