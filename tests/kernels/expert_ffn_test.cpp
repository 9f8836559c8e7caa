// SPDX-License-Identifier: Apache-2.0
#include "kernels/ffn/expert_ffn.hpp"

#include <omp.h>

#include <algorithm>
#include <string>
#include <vector>

#include "hashep/error.hpp"
#include "kernels/ffn/oracle.hpp"
#include "kernels/gemm/gemm_library.hpp"
#include "kernels/gemm/packed_linear_xsmm.hpp"
#include "tests/kernels/kernel_inputs.hpp"
#include "tests/support/catch.hpp"

namespace hashep::test {
namespace {

double tolerance(DType dtype) {
  return dtype == DType::f32 ? 1e-5 : 1e-2;
}

struct Setup {
  FfnShape shape;
  DType dtype = DType::f32;
  bool biases = false;
  DType weight_dtype = DType::f32;
  float weight_scale = 1.0f;
  int misaligned_by = 0;
  int threads = 2;
  GemmLibrary library = GemmLibrary::onednn;
};

/// Those of this build and machine.
std::vector<GemmLibrary> libraries() {
  std::vector<GemmLibrary> found{GemmLibrary::onednn};
  if (why_no_xsmm().empty()) found.push_back(GemmLibrary::xsmm);
  return found;
}

std::vector<ExpertWeights> make_experts(const Setup& setup, int64_t count) {
  std::vector<ExpertWeights> experts;
  for (int64_t e = 0; e < count; ++e) {
    experts.push_back(random_expert(setup.shape, setup.weight_dtype, static_cast<uint64_t>(100 + e),
                                    setup.weight_scale, setup.misaligned_by));
  }
  return experts;
}

Matrix run_experts(const Setup& setup, const std::vector<ExpertWeights>& experts,
                   const std::vector<int64_t>& offsets) {
  ExpertFfn ffn(setup.shape, setup.dtype, std::ssize(experts), setup.threads, setup.library);
  for (int64_t e = 0; e < std::ssize(experts); ++e) {
    ffn.set_expert(e, experts[e].view(setup.biases));
  }
  ffn.prepare(offsets);
  Matrix rows = random_matrix(setup.dtype, offsets.back(), setup.shape.hidden_size, 1);
  ffn.run(offsets, rows.view());
  return rows;
}

/// The largest relative error of a row against the oracle, over every `stride`-th row.
double worst_error(const Setup& setup, const std::vector<ExpertWeights>& experts,
                   const std::vector<int64_t>& offsets, const Matrix& result, int64_t stride) {
  const Matrix x = random_matrix(setup.dtype, offsets.back(), setup.shape.hidden_size, 1);
  double worst = 0.0;
  for (size_t e = 0; e < experts.size(); ++e) {
    for (int64_t row = offsets[e]; row < offsets[e + 1]; row += stride) {
      const std::vector<float> expected =
          oracle_expert(setup.shape, setup.dtype, experts[e].view(setup.biases), x.row(row));
      const double error = relative_error(result.row(row), expected);
      if (!(error <= worst)) worst = error;  // a NaN counts
    }
  }
  return worst;
}

/// With each library.
void check_against_oracle(Setup setup, const std::vector<int64_t>& offsets, int64_t stride = 1) {
  const std::vector<ExpertWeights> experts = make_experts(setup, std::ssize(offsets) - 1);
  for (const GemmLibrary library : libraries()) {
    setup.library = library;
    INFO("library " << static_cast<int>(library));
    const Matrix result = run_experts(setup, experts, offsets);
    CHECK(worst_error(setup, experts, offsets, result, stride) < tolerance(setup.dtype));
  }
}

}  // namespace

TEST_CASE("experts agree with the oracle: every activation, dtype, odd sizes, biases") {
  // Empty experts at both ends and in the middle; a single row; fewer and more rows than a vector.
  const std::vector<int64_t> offsets{0, 0, 1, 38, 38, 51, 51};
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const Activation activation : {Activation::relu, Activation::gelu, Activation::silu}) {
      for (const bool biases : {false, true}) {
        for (const int64_t d : {7, 64}) {
          INFO(dtype_name(dtype) << " activation " << static_cast<int>(activation) << " d " << d);
          check_against_oracle({{d, d == 7 ? 13 : 96, activation, 0.0f}, dtype, biases}, offsets);
        }
      }
    }
  }
}

TEST_CASE("swiglu_limit clips the gate from above and up on both sides") {
  const std::vector<int64_t> offsets{0, 30, 50};
  for (const DType dtype : {DType::f32, DType::bf16}) {
    // Weights 4 times as large: most pre-activations lie beyond the limit.
    Setup setup{{32, 48, Activation::silu, 1.5f}, dtype, true, DType::f32, 4.0f};
    check_against_oracle(setup, offsets);
    const std::vector<ExpertWeights> experts = make_experts(setup, 2);
    const Matrix limited = run_experts(setup, experts, offsets);
    setup.shape.swiglu_limit = 0.0f;
    CHECK(relative_error(limited.values(), run_experts(setup, experts, offsets).values()) > 0.5);
  }
}

TEST_CASE("an expert with several tiles and a rest agrees with the oracle") {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const Activation activation : {Activation::relu, Activation::silu}) {
      check_against_oracle({{40, 72, activation, 10.0f}, dtype, false}, {0, 3, 703}, 7);
    }
  }
}

TEST_CASE("sizes at the edges of blocks of rows, inputs and outputs agree with the oracle") {
  for (const bool biases : {false, true}) {
    // 31, 32 and 33 outputs; 1,023 to 2,051 inputs; 127 to 513 rows.
    check_against_oracle({{1023, 31, Activation::relu, 0.0f}, DType::f32, biases}, {0, 128, 129},
                         5);
    check_against_oracle({{1025, 32, Activation::gelu, 0.0f}, DType::f32, biases}, {0, 127, 640},
                         9);
    check_against_oracle({{33, 2051, Activation::silu, 1.5f}, DType::f32, biases}, {0, 129, 261},
                         7);
  }
}

TEST_CASE("a GEMM library that there is not is refused; auto is one that there is") {
  CHECK_NOTHROW(require_gemm_library(GemmLibrary::onednn));
  const FfnShape shape{7, 13, Activation::relu, 0.0f};
  if (why_no_xsmm().empty()) {
    CHECK_NOTHROW(require_gemm_library(GemmLibrary::xsmm));
    const ExpertFfn xsmm(shape, DType::f32, 1, 1, GemmLibrary::xsmm);
    CHECK_THAT(std::string(xsmm.implementation()), ContainsSubstring("LIBXSMM"));
  } else {
    CHECK_THROWS_WITH(require_gemm_library(GemmLibrary::xsmm),
                      "gemm_library xsmm: " + why_no_xsmm());
    CHECK_THROWS_AS(ExpertFfn(shape, DType::f32, 1, 1, GemmLibrary::xsmm), InputError);
  }
  CHECK_NOTHROW(ExpertFfn(shape, DType::f32, 1, 1, GemmLibrary::automatic));
}

TEST_CASE("weights may be F32, F16 or BF16, at any alignment, under either dtype") {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const DType weights : {DType::f32, DType::f16, DType::bf16}) {
      for (const int misaligned_by : {0, 1, 6}) {
        check_against_oracle(
            {{7, 13, Activation::silu, 0.0f}, dtype, true, weights, 1.0f, misaligned_by}, {0, 9});
      }
    }
  }
}

TEST_CASE("the number of threads changes no bit and leaves OpenMP's setting alone") {
  const std::vector<int64_t> offsets{0, 300, 300, 317, 1100};
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const GemmLibrary library : libraries()) {
      Setup setup{{48, 80, Activation::silu, 0.0f}, dtype, false};
      const std::vector<ExpertWeights> experts = make_experts(setup, 4);
      setup.library = library;
      setup.threads = 1;
      const int before = omp_get_max_threads();
      const Matrix one = run_experts(setup, experts, offsets);
      for (const int threads : {2, 3}) {
        setup.threads = threads;
        CHECK(same_bits(run_experts(setup, experts, offsets), one));
      }
      CHECK(omp_get_max_threads() == before);
    }
  }
}

TEST_CASE("with the kernels of all tiles made, preparing makes memory alone, to the same bits") {
  const Setup setup{{16, 24, Activation::silu, 0.0f}, DType::f32, false};
  const std::vector<ExpertWeights> experts = make_experts(setup, 2);
  const std::vector<int64_t> offsets{0, 1 + kMostTileRows, 1 + kMostTileRows + 77};
  ExpertFfn ffn(setup.shape, setup.dtype, 2, setup.threads, setup.library);
  for (int64_t e = 0; e < 2; ++e) ffn.set_expert(e, experts[e].view(false));
  std::vector<ExpertTile> tiles;
  for_each_tile(offsets, [&](const ExpertTile& tile) { tiles.push_back(tile); });
  Matrix rows = random_matrix(setup.dtype, offsets.back(), setup.shape.hidden_size, 1);
  CHECK_THROWS_AS(ffn.run_tiles(tiles, rows.view()), RunError);
  ffn.prepare_all_tiles(kMostTileRows);
  CHECK(ffn.scratch_bytes() == 0);
  CHECK_THROWS_AS(ffn.run_tiles(tiles, rows.view()), RunError);  // no memory yet
  ffn.prepare(offsets);
  ffn.run_tiles(tiles, rows.view());
  CHECK(same_bits(rows, run_experts(setup, experts, offsets)));
}

TEST_CASE("an expert's rows do not depend on the other experts of the rank") {
  // 47 columns: the rows start at another alignment in each run.
  Setup setup{{47, 517, Activation::gelu, 0.0f}, DType::f32, false};
  setup.library = GENERATE(GemmLibrary::onednn, GemmLibrary::automatic);
  const std::vector<ExpertWeights> experts = make_experts(setup, 1);
  const Matrix alone = run_experts(setup, experts, {0, 270});
  ExpertFfn ffn(setup.shape, setup.dtype, 3, 2, setup.library);
  for (int64_t e = 0; e < 3; ++e) ffn.set_expert(e, experts[0].view(false));
  const std::vector<int64_t> offsets{0, 5, 275, 290};
  ffn.prepare(offsets);
  Matrix rows(DType::f32, 290, 47);
  std::vector<float> values(290 * 47, 1.0f);
  const std::vector<float> x = random_matrix(DType::f32, 270, 47, 1).values();
  std::copy(x.begin(), x.end(), values.begin() + 5 * 47);
  rows.set(values);
  ffn.run(offsets, rows.view());
  int wrong = 0;
  for (int64_t row = 0; row < 270; ++row) wrong += rows.row(row + 5) != alone.row(row);
  CHECK(wrong == 0);
}

TEST_CASE("misshapen or missing weights are refused, naming expert and matrix") {
  const FfnShape shape{7, 13, Activation::silu, 0.0f};
  ExpertFfn ffn(shape, DType::f32, 3, 1);
  const ExpertWeights good = random_expert(shape, DType::f32, 1);
  FfnWeights weights = good.view(true);
  weights.w2 = good.w1.view();
  CHECK_THROWS_WITH(ffn.set_expert(2, weights), "expert 2: w2.weight is [13, 7], expected [7, 13]");
  weights = good.view(true);
  weights.w3 = {};
  CHECK_THROWS_WITH(ffn.set_expert(0, weights), ContainsSubstring("w3.weight is [0, 0]"));
  weights = good.view(true);
  weights.bias1 = good.bias2.view();
  CHECK_THROWS_WITH(ffn.set_expert(1, weights), ContainsSubstring("w1.bias is [1, 7]"));
  weights = good.view(true);
  weights.w1.dtype = DType::i32;
  CHECK_THROWS_AS(ffn.set_expert(1, weights), InputError);
  CHECK_THROWS_AS(ffn.set_expert(3, good.view(true)), RunError);
  ExpertFfn plain({7, 13, Activation::relu, 0.0f}, DType::f32, 1, 1);
  CHECK_THROWS_WITH(plain.set_expert(0, good.view(false)), ContainsSubstring("w3 is for silu"));
}

TEST_CASE("runs that were not prepared, or whose arguments do not fit, are refused") {
  const FfnShape shape{7, 13, Activation::relu, 0.0f};
  ExpertFfn ffn(shape, DType::f32, 2, 2);
  ffn.set_expert(0, random_expert(shape, DType::f32, 1).view(false));
  Matrix rows = random_matrix(DType::f32, 20, 7, 1);
  const std::vector<int64_t> offsets{0, 20, 20};
  CHECK_THROWS_WITH(ffn.run(offsets, rows.view()), ContainsSubstring("not prepared"));
  ffn.prepare(offsets);
  CHECK_NOTHROW(ffn.run(offsets, rows.view()));
  const std::vector<int64_t> second{0, 0, 20};
  ffn.prepare(second);
  CHECK_THROWS_WITH(ffn.run(second, rows.view()), ContainsSubstring("expert 1 has rows"));
  const std::vector<int64_t> falling{0, 20, 10};
  CHECK_THROWS_AS(ffn.prepare(falling), RunError);
  const std::vector<int64_t> longer{0, 20, 20, 20};
  CHECK_THROWS_AS(ffn.run(longer, rows.view()), RunError);
  Matrix wide = random_matrix(DType::f32, 20, 8, 1);
  CHECK_THROWS_AS(ffn.run(offsets, wide.view()), RunError);
  Matrix half = random_matrix(DType::bf16, 20, 7, 1);
  CHECK_THROWS_AS(ffn.run(offsets, half.view()), RunError);
  CHECK_THROWS_AS(ExpertFfn({0, 13, Activation::relu, 0.0f}, DType::f32, 1, 1), InputError);
  CHECK_THROWS_AS(ExpertFfn(shape, DType::i32, 1, 1), InputError);
  CHECK_THROWS_AS(ExpertFfn(shape, DType::f32, 1, 0), InputError);
}

TEST_CASE("a rank without experts, or without rows, has nothing to do") {
  const FfnShape shape{7, 13, Activation::relu, 0.0f};
  ExpertFfn none(shape, DType::f32, 0, 2);
  const std::vector<int64_t> empty{0};
  none.prepare(empty);
  CHECK_NOTHROW(none.run(empty, {}));
  CHECK(none.weight_bytes() == 0);
  CHECK(none.scratch_bytes() == 0);
  ExpertFfn idle(shape, DType::f32, 2, 2);
  const std::vector<int64_t> no_rows{0, 0, 0};
  idle.prepare(no_rows);
  CHECK_NOTHROW(idle.run(no_rows, {}));
}

TEST_CASE("weights and scratch are as large as they must be, and the implementation has a name") {
  const FfnShape shape{64, 96, Activation::silu, 0.0f};
  ExpertFfn ffn(shape, DType::f32, 2, 3);
  for (int64_t e = 0; e < 2; ++e) ffn.set_expert(e, random_expert(shape, DType::f32, 1).view(true));
  const int64_t exact = 2 * 4 * (3 * 64 * 96 + 96 + 96 + 64);
  CHECK(ffn.weight_bytes() >= exact);
  CHECK(ffn.weight_bytes() <= exact * 5 / 4);  // a packed layout may pad
  CHECK(ffn.scratch_bytes() == 0);
  const std::vector<int64_t> offsets{0, 10, 20};
  ffn.prepare(offsets);
  CHECK(ffn.scratch_bytes() >= int64_t{3} * 4 * 10 * (96 + 96 + 64));
  const int64_t scratch = ffn.scratch_bytes();
  ffn.prepare(offsets);
  CHECK(ffn.scratch_bytes() == scratch);
  const ExpertFfn by_onednn(shape, DType::f32, 2, 3, GemmLibrary::onednn);
  CHECK_THAT(std::string(by_onednn.implementation()), ContainsSubstring("oneDNN"));
}

}  // namespace hashep::test
