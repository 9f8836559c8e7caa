// SPDX-License-Identifier: Apache-2.0
// The epilogue of fused GEMMs, on the CPU: each sum comes to its place, once, with its bias and its
// activation.
#include <algorithm>
#include <cmath>

#include "core/random.hpp"
#include "kernels/ffn/activation_body.hpp"
#include "tests/gpu/fused_epilogue_on_host.hpp"
#include "tests/support/catch.hpp"

namespace hashep::test {
namespace {

using Kind = FusedEpilogue::Kind;

std::vector<float> random_values(uint64_t key, int64_t count) {
  std::vector<float> values(count);
  fill_normal(key, 0, values);
  return values;
}

/// What one element of y is to be: `up` counts where the kind has one.
float expected(const FusedEpilogue& epilogue, float z, float up) {
  if (epilogue.kind == Kind::relu) return relu(z);
  if (epilogue.kind == Kind::gelu) return gelu(z);
  return epilogue.kind == Kind::swiglu ? swiglu(z, up, epilogue.limit) : z;
}

void check_case(const FusedEpilogue& epilogue, int rows, int y_cols, bool with_biases) {
  const bool is_gated = epilogue.kind == Kind::swiglu;
  const int cols = is_gated ? 2 * y_cols : y_cols;
  INFO("kind " << static_cast<int>(epilogue.kind) << ", " << rows << " x " << y_cols);
  const auto sums = random_values(1, int64_t{rows} * cols);
  const auto bias1 = random_values(2, y_cols);
  const auto bias3 = random_values(3, y_cols);
  const auto y = run_epilogue(sums, rows, cols, epilogue, with_biases ? bias1.data() : nullptr,
                              with_biases && is_gated ? bias3.data() : nullptr);
  int64_t wrong = 0;
  for (int row = 0; row < rows; ++row) {
    for (int col = 0; col < y_cols; ++col) {
      const int block = static_cast<int>(kGatedBlock);
      const int gate = is_gated ? col / block * 2 * block + col % block : col;
      const auto* const of_row = sums.data() + int64_t{row} * cols;
      const auto at = static_cast<size_t>(col);
      const float z = of_row[gate] + (with_biases ? bias1[at] : 0.0f);
      const float up = is_gated ? of_row[gate + block] + (with_biases ? bias3[at] : 0.0f) : 0.0f;
      const auto want = static_cast<float>(static_cast<BFloat16>(expected(epilogue, z, up)));
      const auto got = static_cast<float>(y[int64_t{row} * y_cols + col]);
      if (got != want) ++wrong;
    }
  }
  CHECK(wrong == 0);
  CHECK(std::all_of(y.end() - kMargin, y.end(),
                    [](BFloat16 value) { return std::isnan(static_cast<float>(value)); }));
}

TEST_CASE("the epilogue of fused GEMMs writes each output once, with its activation") {
  for (const FusedEpilogue& epilogue :
       {FusedEpilogue{Kind::bias, 0.0f}, FusedEpilogue{Kind::relu, 0.0f},
        FusedEpilogue{Kind::gelu, 0.0f}, FusedEpilogue{Kind::swiglu, 0.0f},
        FusedEpilogue{Kind::swiglu, 0.5f}}) {
    for (const bool with_biases : {false, true}) {
      check_case(epilogue, 200, 136, with_biases);  // parts of tiles, in both directions
      check_case(epilogue, 1, 8, with_biases);
      check_case(epilogue, 128, 128, with_biases);
    }
  }
}

}  // namespace
}  // namespace hashep::test
