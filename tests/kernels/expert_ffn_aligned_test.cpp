// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include "hashep/error.hpp"
#include "hashep/split.hpp"
#include "kernels/ffn/expert_ffn.hpp"
#include "kernels/ffn/oracle.hpp"
#include "kernels/ffn/tiles.hpp"
#include "tests/kernels/kernel_inputs.hpp"
#include "tests/support/catch.hpp"

namespace hashep::test {
namespace {

constexpr int64_t kTokens = 1000;

/// All tokens of the global batch, computed as `parts` ranks would.
Matrix run_in_parts(ExpertFfn& ffn, const Matrix& x, int64_t parts, int64_t tile_rows) {
  Matrix out(x.view().dtype, kTokens, x.view().cols);
  for (int64_t part = 0; part < parts; ++part) {
    const Range range = split_range(kTokens, parts, part);
    ffn.run_aligned(x.view().slice(range.begin, range.size()), range.begin, tile_rows,
                    out.view().slice(range.begin, range.size()));
  }
  return out;
}

}  // namespace

TEST_CASE("shared experts: however the global batch is cut, the bits are the same") {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const Activation activation : {Activation::gelu, Activation::silu}) {
      const FfnShape shape{47, 61, activation, 2.0f};
      const ExpertWeights expert = random_expert(shape, DType::f32, 3);
      ExpertFfn ffn(shape, dtype, 1, 2);
      ffn.set_expert(0, expert.view(true));
      const Matrix x = random_matrix(dtype, kTokens, 47, 4);
      for (const int64_t tile_rows : {int64_t{1}, int64_t{16}, shared_tile_rows(64 * kTokens)}) {
        ffn.prepare_aligned(tile_rows);
        const Matrix whole = run_in_parts(ffn, x, 1, tile_rows);
        for (const int64_t parts : {2, 3, 7, 64}) {
          CHECK(same_bits(run_in_parts(ffn, x, parts, tile_rows), whole));
        }
        ExpertFfn one_thread(shape, dtype, 1, 1);
        one_thread.set_expert(0, expert.view(true));
        one_thread.prepare_aligned(tile_rows);
        CHECK(same_bits(run_in_parts(one_thread, x, 3, tile_rows), whole));
        double worst = 0.0;
        for (int64_t row = 0; row < kTokens; row += 37) {
          const double error = relative_error(
              whole.row(row), oracle_expert(shape, dtype, expert.view(true), x.row(row)));
          if (!(error <= worst)) worst = error;  // a NaN counts
        }
        CHECK(worst < (dtype == DType::f32 ? 1e-5 : 1e-2));
      }
    }
  }
}

TEST_CASE("run_aligned refuses what does not fit, and takes no rows at all") {
  const FfnShape shape{7, 13, Activation::relu, 0.0f};
  const ExpertWeights expert = random_expert(shape, DType::f32, 3);
  ExpertFfn ffn(shape, DType::f32, 1, 1);
  ffn.set_expert(0, expert.view(false));
  const Matrix x = random_matrix(DType::f32, 20, 7, 4);
  Matrix out(DType::f32, 20, 7);
  CHECK_THROWS_WITH(ffn.run_aligned(x.view(), 0, 16, out.view()),
                    ContainsSubstring("not prepared"));
  CHECK_THROWS_AS(ffn.prepare_aligned(0), RunError);
  CHECK_THROWS_AS(ffn.prepare_aligned(kMostTileRows + 1), RunError);
  ffn.prepare_aligned(16);
  CHECK_THROWS_AS(ffn.run_aligned(x.view(), -1, 16, out.view()), RunError);
  CHECK_THROWS_AS(ffn.run_aligned(x.view(), 0, 16, out.view().slice(0, 19)), RunError);
  CHECK_NOTHROW(ffn.run_aligned({}, 0, 16, {}));
}

}  // namespace hashep::test
