// SPDX-License-Identifier: Apache-2.0
// Experts on a GPU, or on the stand-in for one: each element is written, and a row's bits do not
// depend on which other experts this rank has.
#include <algorithm>
#include <cstring>
#include <span>

#include "core/random.hpp"
#include "kernels/ffn/expert_ffn_cuda.hpp"
#include "kernels/ffn/oracle.hpp"
#include "tests/kernels/kernel_inputs.hpp"
#include "tests/support/catch.hpp"

namespace hashep::test {
namespace {

constexpr int64_t kWorkspaceBytes = int64_t{4} << 20;

/// Some experts with rows, all of them on one GPU or a part of them.
struct ExpertsCase {
  FfnShape shape;
  DType dtype = DType::f32;
  std::vector<int64_t> rows;  // of each expert
  bool with_biases = false;
};

std::vector<ExpertWeights> weights_of(const ExpertsCase& c) {
  std::vector<ExpertWeights> weights;
  for (size_t e = 0; e < c.rows.size(); ++e) {
    weights.push_back(random_expert(c.shape, c.dtype, 100 + e));
  }
  return weights;
}

/// Copies through pinned memory; waits.
void copy_and_wait(void* to, const void* from, int64_t bytes, bool to_gpu) {
  if (bytes == 0) return;
  PinnedBuffer staging(bytes);
  const CudaStream stream;
  if (to_gpu) std::memcpy(staging.data(), from, bytes);
  copy_async(to_gpu ? to : staging.data(), to_gpu ? staging.data() : from, bytes, stream);
  stream.synchronize();
  if (!to_gpu) std::memcpy(to, staging.data(), bytes);
}

/// Runs experts [first, last) of the case on their rows of x, into poisoned memory. Returns all
/// rows; those of other experts stay poisoned. The work is done in two parts.
Matrix run_part(const ExpertsCase& c, const std::vector<ExpertWeights>& weights, Matrix& x,
                size_t first, size_t last, GemmGrouping grouping) {
  const CublasLtHandle lt;
  GemmLanes lanes(3, kWorkspaceBytes);
  DeviceExpertFfn ffn(c.shape, c.dtype, static_cast<int64_t>(last - first), grouping, lt, lanes);
  std::vector<int64_t> offsets = {0};
  int64_t begin = 0;
  for (size_t e = 0; e < last; ++e) {
    if (e < first) {
      begin += c.rows[e];
      continue;
    }
    ffn.set_expert(static_cast<int64_t>(e - first), weights[e].view(c.with_biases));
    offsets.push_back(offsets.back() + c.rows[e]);
  }
  const int64_t count = offsets.back();
  const ConstMatrixView input = x.view().slice(begin, count);
  DeviceBuffer memory(input.bytes() + 1);
  const MatrixView rows = memory.matrix(c.dtype, count, c.shape.hidden_size);
  ExpertWork work;
  ffn.reserve(count);
  const WorkParts parts{2, [&](Range tile) { return tile.end > count / 2 ? 0 : 1; }};
  ffn.prepare(offsets, 0, rows, parts, work);
  ArrayLayout measured;
  work.lay_out(measured);
  std::vector<std::byte> arrays(measured.bytes());
  DeviceBuffer on_gpu(measured.bytes() + 1);
  ArrayLayout layout(arrays.data(), on_gpu.data());
  work.lay_out(layout);
  copy_and_wait(on_gpu.data(), arrays.data(), layout.bytes(), true);
  copy_and_wait(rows.data, input.data, input.bytes(), true);
  const CudaStream stream;
  for (int part = 0; part < parts.count; ++part) ffn.run(work, part, rows, rows, stream);
  stream.synchronize();
  Matrix out(c.dtype, x.view().rows, c.shape.hidden_size);
  copy_and_wait(out.view().row(begin), rows.data, input.bytes(), false);
  return out;
}

std::vector<ExpertsCase> cases(GemmGrouping grouping) {
  std::vector<ExpertsCase> all;
  const bool is_fused = grouping == GemmGrouping::fused;
  for (const DType dtype : {DType::f32, DType::bf16}) {
    if (is_fused && dtype != DType::bf16) continue;
    for (const auto activation : {Activation::relu, Activation::gelu, Activation::silu}) {
      for (const int64_t d : {64, 24, 7}) {
        // One large size will do: the sums take the stand-in's time.
        if (is_fused && (d == 7 || (d == 64 && activation != Activation::silu))) continue;
        all.push_back({{d, 2 * d, activation, activation == Activation::silu ? 0.5f : 0.0f},
                       dtype,
                       {3, 0, 130, 1, 2049, 16},
                       d == 24});
      }
    }
  }
  return all;
}

void compare_with_oracle(GemmGrouping grouping) {
  for (const ExpertsCase& c : cases(grouping)) {
    INFO("d " << c.shape.hidden_size << " " << dtype_name(c.dtype));
    const auto weights = weights_of(c);
    int64_t rows = 0;
    for (const int64_t count : c.rows) rows += count;
    Matrix x = random_matrix(c.dtype, rows, c.shape.hidden_size, 7);
    const Matrix y = run_part(c, weights, x, 0, c.rows.size(), grouping);
    int64_t row = 0;
    for (size_t e = 0; e < c.rows.size(); ++e) {
      for (int64_t i = 0; i < c.rows[e]; ++i, ++row) {
        const auto got = y.row(row);
        CHECK(std::none_of(got.begin(), got.end(), [](float v) { return v != v; }));
        if (i % 97 != 0 && i + 1 != c.rows[e]) continue;
        const auto want =
            oracle_expert(c.shape, c.dtype, weights[e].view(c.with_biases), x.row(row));
        CHECK(relative_error(got, want) < (c.dtype == DType::bf16 ? 1e-2 : 1e-5));
      }
    }
  }
}

TEST_CASE("experts agree with the oracle and leave no element unwritten", "[small]") {
  compare_with_oracle(GemmGrouping::per_expert);
}

TEST_CASE("fused experts agree with the oracle and leave no element unwritten", "[small]") {
  if (const char* const why = why_no_fused_gemm()) {
    WARN(why);
    return;
  }
  compare_with_oracle(GemmGrouping::fused);
}

/// A GPU with all experts, and GPUs with parts of them: the same bits?
void compare_parts(GemmGrouping grouping) {
  for (const ExpertsCase& c : cases(grouping)) {
    INFO("d " << c.shape.hidden_size << " " << dtype_name(c.dtype));
    const auto weights = weights_of(c);
    int64_t rows = 0;
    for (const int64_t count : c.rows) rows += count;
    Matrix x = random_matrix(c.dtype, rows, c.shape.hidden_size, 8);
    const Matrix whole = run_part(c, weights, x, 0, c.rows.size(), grouping);
    const std::vector<size_t> edges = {0, 1, 3, c.rows.size()};
    for (size_t part = 0; part + 1 < edges.size(); ++part) {
      const Matrix some = run_part(c, weights, x, edges[part], edges[part + 1], grouping);
      int64_t row = 0;
      for (size_t e = 0; e < edges[part + 1]; ++e) {
        for (int64_t i = 0; i < c.rows[e]; ++i, ++row) {
          if (e >= edges[part]) CHECK(some.row(row) == whole.row(row));
        }
      }
    }
  }
}

TEST_CASE("a GEMM per expert gives the same bits whichever experts a rank has") {
  compare_parts(GemmGrouping::per_expert);
}

TEST_CASE("fused experts give the same bits whichever experts a rank has") {
  if (const char* const why = why_no_fused_gemm()) {
    WARN(why);
    return;
  }
  compare_parts(GemmGrouping::fused);
}

// No promise of cuBLAS, so that it may fail: the README's rule for grouped GEMMs waits for it.
TEST_CASE("grouped GEMMs give the same bits whichever experts a rank has", "[!mayfail]") {
  compare_parts(GemmGrouping::grouped);
}

}  // namespace
}  // namespace hashep::test
