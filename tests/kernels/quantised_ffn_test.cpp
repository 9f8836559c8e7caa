// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "core/quantised_matrix.hpp"
#include "hashep/error.hpp"
#include "kernels/ffn/expert_ffn.hpp"
#include "kernels/gemm/packed_linear_xsmm.hpp"
#include "kernels/quantised/code_panels.hpp"
#include "kernels/quantised/expand_codes.hpp"
#include "tests/kernels/kernel_inputs.hpp"
#include "tests/support/catch.hpp"

namespace hashep::test {
namespace {

struct Kind {
  QuantFormat format = QuantFormat::fp4_e2m1;
  ScaleFormat scale_format = ScaleFormat::e8m0;
  int64_t block_rows = 1;
  int64_t block_cols = 32;
  int least_e = 118;  // of scales in E8M0
  int most_e = 124;

  std::string text() const {
    return std::string(quant_format_name(format)) + " with scales of " +
           (scale_format == ScaleFormat::f32 ? "f32" : "e8m0") + " for " +
           std::to_string(block_rows) + " x " + std::to_string(block_cols) + ", " +
           std::to_string(least_e) + " to " + std::to_string(most_e);
  }
};

// As published, and what no model has.
const std::vector<Kind> kKinds = {
    {},
    {QuantFormat::fp8_e4m3, ScaleFormat::e8m0, 128, 128},
    {QuantFormat::fp8_e4m3, ScaleFormat::f32, 128, 128},
    {QuantFormat::fp8_e4m3, ScaleFormat::e8m0, 6, 8, 100, 130},
    {QuantFormat::fp4_e2m1, ScaleFormat::e8m0, 1, 32, 16, 245},
    {QuantFormat::fp4_e2m1, ScaleFormat::e8m0, 1, 32, 0, 60},  // too small for bf16
    {QuantFormat::fp8_e4m3, ScaleFormat::e8m0, 16, 16, 0, 254},
    {QuantFormat::fp4_e2m1, ScaleFormat::f32, 3, 24},
};

/// A quantised matrix with each code somewhere, but for NaN.
class Quantised {
 public:
  Quantised(const Kind& kind, int64_t rows, int64_t cols, unsigned seed) {
    view_ = {kind.format, kind.scale_format, nullptr,        nullptr, rows,
             cols,        kind.block_rows,   kind.block_cols};
    std::mt19937 random(seed);
    codes_.resize(static_cast<size_t>(rows * view_.code_row_bytes()));
    for (std::byte& code : codes_) {
      do code = static_cast<std::byte>(random());
      while (kind.format == QuantFormat::fp8_e4m3 && (code & std::byte{127}) == std::byte{127});
    }
    const int64_t scales = view_.scale_rows() * view_.scale_cols();
    scales_.resize(static_cast<size_t>(scales * view_.scale_bytes()));
    for (int64_t i = 0; i < scales; ++i) {
      if (kind.scale_format == ScaleFormat::e8m0) {
        const unsigned range = static_cast<unsigned>(kind.most_e - kind.least_e) + 1;
        scales_[i] = static_cast<std::byte>(static_cast<unsigned>(kind.least_e) + random() % range);
      } else {
        const float scale = 0.001f + static_cast<float>(random() % 1000) / 12345.0f;
        std::memcpy(&scales_[4 * i], &scale, 4);
      }
    }
    view_.codes = codes_.data();
    view_.scales = scales_.data();
  }

  const QuantisedView& view() const { return view_; }

  /// What is computed with where it does not stay quantised.
  Matrix expanded() const {
    const DType dtype = exact_dtype(view_);
    Matrix made(dtype, view_.rows, view_.cols);
    dequantise(view_, 0, view_.rows, dtype, made.view().data);
    return made;
  }

 private:
  QuantisedView view_;
  std::vector<std::byte> codes_;
  std::vector<std::byte> scales_;
};

std::vector<OperandLayout> layouts_of(int64_t outputs, int64_t inputs) {
  const int64_t wide = (outputs + 63) / 64 * 64;
  const int64_t deep = (inputs + 31) / 32 * 32;
  return {
      {DType::bf16, 64, 32, 2, 64 * deep, 64 * 32},
      {DType::bf16, 16, 32, 2, 16 * 32, wide * 32},  // the other order of blocks
      {DType::f32, 32, deep, 1, 32 * deep, 0},
      {DType::f32, 16, 8, 1, 16 * deep, 16 * 8},
  };
}

/// Element [o, i] of what stands as the layout says, by its words.
float element(const std::vector<std::byte>& memory, const OperandLayout& layout, int64_t o,
              int64_t i) {
  const int64_t at = o / layout.block_outputs * layout.output_stride +
                     i / layout.block_inputs * layout.input_stride +
                     i % layout.block_inputs / layout.pair * layout.pair * layout.block_outputs +
                     o % layout.block_outputs * layout.pair + i % layout.pair;
  float value = 0.0f;
  convert_to_float(layout.dtype, memory.data() + at * dtype_size(layout.dtype), 1, &value);
  return value;
}

std::vector<ExpandPath> paths_for(const OperandLayout& layout) {
  std::vector<ExpandPath> paths = {ExpandPath::plain};
  if (expand_path(layout) != ExpandPath::plain) paths.push_back(expand_path(layout));
  return paths;
}

TEST_CASE("expanded codes are the dequantised matrix, by all instructions, in all layouts") {
  for (const Kind& kind : kKinds) {
    for (const auto& [rows, cols] : {std::array{64, 96}, std::array{37, 102}, std::array{5, 6}}) {
      const Quantised matrix(kind, rows, cols, 7);
      Buffer memory(panels_of(matrix.view()).bytes());
      const CodePanels panels = pack_codes(matrix.view(), memory.data());
      const std::vector<float> exact = matrix.expanded().values();
      std::vector<float> rows_of(exact.size());
      expand_rows(panels, 0, rows, rows_of.data());
      CHECK(rows_of == exact);
      for (const OperandLayout& layout : layouts_of(rows, cols)) {
        for (const ExpandPath path : paths_for(layout)) {
          for (const bool rounds : {false, true}) {
            INFO(kind.text() << ", " << rows << " x " << cols << ", layout of "
                             << dtype_name(layout.dtype) << ", path " << static_cast<int>(path));
            const int64_t padded = (rows + 63) / 64 * 64 * ((cols + 31) / 32 * 32);
            std::vector<std::byte> out(static_cast<size_t>(padded * dtype_size(layout.dtype)));
            expand_codes(panels, 0, panels.groups(), rounds, layout, path, out.data());
            int64_t differ = 0;
            for (int64_t o = 0; o < rows; ++o) {
              for (int64_t i = 0; i < cols; ++i) {
                float expected = exact[o * cols + i];
                if (rounds || layout.dtype == DType::bf16) {
                  BFloat16 nearest;
                  convert_from_float(&expected, 1, DType::bf16, &nearest);
                  convert_to_float(DType::bf16, &nearest, 1, &expected);
                }
                if (element(out, layout, o, i) != expected) ++differ;
              }
            }
            CHECK(differ == 0);
          }
        }
      }
    }
  }
}

struct Expert {
  Matrix w1, w2, w3, bias1, bias2, bias3;  // expanded
  std::vector<Quantised> quantised;        // w1, w2, w3

  Expert(const FfnShape& shape, const Kind& kind, unsigned seed) {
    const std::array sizes = {std::array{shape.ffn_size, shape.hidden_size},
                              std::array{shape.hidden_size, shape.ffn_size},
                              std::array{shape.ffn_size, shape.hidden_size}};
    for (const auto& [rows, cols] : sizes) quantised.emplace_back(kind, rows, cols, ++seed);
    w1 = quantised[0].expanded();
    w2 = quantised[1].expanded();
    w3 = quantised[2].expanded();
    bias1 = random_matrix(DType::f32, 1, shape.ffn_size, seed);
    bias2 = random_matrix(DType::f32, 1, shape.hidden_size, seed + 1);
    bias3 = random_matrix(DType::f32, 1, shape.ffn_size, seed + 2);
  }

  FfnWeights view(const FfnShape& shape, bool is_packed, bool has_biases) const {
    const bool gated = shape.activation == Activation::silu;
    FfnWeights weights;
    if (is_packed) {
      weights.quantised = {quantised[0].view(), quantised[1].view()};
      if (gated) weights.quantised.w3 = quantised[2].view();
    } else {
      weights.w1 = w1.view();
      weights.w2 = w2.view();
      if (gated) weights.w3 = w3.view();
    }
    if (has_biases) {
      weights.bias1 = bias1.view();
      weights.bias2 = bias2.view();
      if (gated) weights.bias3 = bias3.view();
    }
    return weights;
  }
};

struct Setup {
  FfnShape shape;
  DType dtype = DType::bf16;
  GemmLibrary library = GemmLibrary::onednn;
  bool has_biases = false;
};

std::vector<GemmLibrary> libraries() {
  std::vector<GemmLibrary> found{GemmLibrary::onednn};
  if (why_no_xsmm().empty()) found.push_back(GemmLibrary::xsmm);
  return found;
}

/// Two experts with so many rows each.
Matrix run(const Setup& setup, const std::array<Expert, 2>& experts, bool is_packed, int64_t count,
           bool prepares_first = false) {
  ExpertFfn ffn(setup.shape, setup.dtype, 2, 2, setup.library);
  const std::vector<int64_t> offsets = {0, count, 2 * count};
  if (prepares_first) ffn.prepare(offsets);
  for (int64_t e = 0; e < 2; ++e) {
    ffn.set_expert(e, experts[e].view(setup.shape, is_packed, setup.has_biases));
  }
  ffn.prepare(offsets);
  Matrix rows = random_matrix(setup.dtype, 2 * count, setup.shape.hidden_size, 3);
  ffn.run(offsets, rows.view());
  return rows;
}

void check_same(const Setup& setup, const Kind& kind, const std::vector<int64_t>& counts) {
  const std::array experts = {Expert(setup.shape, kind, 10), Expert(setup.shape, kind, 20)};
  for (const int64_t count : counts) {
    INFO(kind.text() << ", d " << setup.shape.hidden_size << ", f " << setup.shape.ffn_size << ", "
                     << count << " rows, " << dtype_name(setup.dtype) << ", library "
                     << static_cast<int>(setup.library));
    CHECK(same_bits(run(setup, experts, true, count), run(setup, experts, false, count)));
  }
}

TEST_CASE("experts that stay quantised give the bits of experts that were expanded") {
  const std::vector<int64_t> counts = {1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 63, 64, 65, 200, 520};
  for (const GemmLibrary library : libraries()) {
    for (const DType dtype : {DType::bf16, DType::f32}) {
      for (const Kind& kind : {kKinds[0], kKinds[1], kKinds[2]}) {
        // The widest has several panels.
        check_same({{256, 128, Activation::silu, 10.0f}, dtype, library}, kind, counts);
        check_same({{1024, 640, Activation::silu, 0.0f}, dtype, library}, kind, {1, 4, 8, 64, 200});
      }
    }
  }
}

TEST_CASE("the same in odd shapes, with biases and with other activations") {
  for (const GemmLibrary library : libraries()) {
    for (const Kind& kind : {kKinds[0], kKinds[1], kKinds[3]}) {
      for (const DType dtype : {DType::bf16, DType::f32}) {
        for (const Activation activation : {Activation::relu, Activation::gelu, Activation::silu}) {
          for (const bool biases : {false, true}) {
            check_same({{24, 40, activation}, dtype, library, biases}, kind, {1, 3, 8, 9, 70});
            check_same({{22, 10, activation}, dtype, library, biases}, kind, {1, 5, 30});
            check_same({{128, 192, activation}, dtype, library, biases}, kind, {1, 2, 8, 100});
          }
        }
      }
    }
  }
}

TEST_CASE("quantised experts may come after tiles were prepared, and beside others") {
  const Setup setup{{64, 64, Activation::silu}};
  const std::array experts = {Expert(setup.shape, kKinds[0], 10),
                              Expert(setup.shape, kKinds[1], 20)};
  CHECK(same_bits(run(setup, experts, true, 3, true), run(setup, experts, false, 3)));

  FfnWeights mixed = experts[0].view(setup.shape, true, false);
  mixed.quantised.w2 = {};
  mixed.w2 = experts[0].w2.view();
  ExpertFfn ffn(setup.shape, setup.dtype, 1, 1);
  ffn.set_expert(0, mixed);
  const std::vector<int64_t> offsets = {0, 5};
  ffn.prepare(offsets);
  Matrix rows = random_matrix(setup.dtype, 5, 64, 3);
  ffn.run(offsets, rows.view());
  ExpertFfn expanded(setup.shape, setup.dtype, 1, 1);
  expanded.set_expert(0, experts[0].view(setup.shape, false, false));
  expanded.prepare(offsets);
  Matrix expected = random_matrix(setup.dtype, 5, 64, 3);
  expanded.run(offsets, expected.view());
  CHECK(same_bits(rows, expected));
}

TEST_CASE("quantised experts take the memory of their codes") {
  const FfnShape shape{512, 256, Activation::silu};
  const Expert expert(shape, kKinds[0], 1);
  ExpertFfn ffn(shape, DType::bf16, 1, 1);
  ffn.set_expert(0, expert.view(shape, true, false));
  CHECK(ffn.weight_bytes() == 3 * 512 * 256 * (16 + 1) / 32);
}

TEST_CASE("quantised weights that do not fit are refused") {
  const FfnShape shape{64, 64, Activation::silu};
  const Expert expert(shape, kKinds[0], 1);
  ExpertFfn ffn(shape, DType::bf16, 1, 1);
  const auto refused = [&](auto&& change, const std::string& why) {
    FfnWeights weights = expert.view(shape, true, false);
    change(weights);
    CHECK_THROWS_WITH(ffn.set_expert(0, weights), ContainsSubstring(why));
  };
  refused([](FfnWeights& w) { w.quantised.w1.cols = 32; }, "w1.weight is [64, 32], quantised");
  refused([](FfnWeights& w) { w.quantised.w2.scales = nullptr; }, "w2.weight is [64, 64]");
  refused([&](FfnWeights& w) { w.w3 = expert.w3.view(); }, "w3.weight is given twice");
  refused([](FfnWeights& w) { w.quantised.w3.block_cols = 0; }, "scales of blocks of 1 x 0");
  refused([](FfnWeights& w) { w.quantised.w1.block_cols = 12; }, "12 inputs share a scale");
}

}  // namespace
}  // namespace hashep::test
