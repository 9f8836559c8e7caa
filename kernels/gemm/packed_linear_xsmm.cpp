// SPDX-License-Identifier: Apache-2.0
#include "kernels/gemm/packed_linear_xsmm.hpp"

#include <libxsmm.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "core/narrow.hpp"
#include "hashep/buffer.hpp"
#include "hashep/error.hpp"
#include "kernels/ffn/tiles.hpp"
#include "kernels/gemm/eltwise_onednn.hpp"
#include "kernels/gemm/rounded_weights.hpp"

namespace hashep {
namespace {

// Found by trying (Zen 3, 128 to 512 rows, 1,024 and 4,096 inputs): a panel of weights of one block
// stays in L2 while it meets all rows, and 32 outputs by 3 rows of sums fill the AVX2 registers.
constexpr int64_t kPanelOutputs = 32;
constexpr int64_t kBlockInputs = 1024;
constexpr int64_t kBlockRows = 128;

/// A range cut into even parts of at most so many, the last one perhaps shorter.
struct Blocks {
  Blocks(int64_t total_size, int64_t most) : total(total_size) {
    const int64_t parts = (total + most - 1) / most;
    size = (total + parts - 1) / parts;
  }
  int64_t size_at(int64_t begin) const { return std::min(size, total - begin); }
  bool is_short(int64_t begin) const { return size_at(begin) < size; }

  int64_t total = 0;
  int64_t size = 0;
};

class XsmmWeights final : public PackedWeights {
 public:
  int64_t bytes() const override { return panels.capacity() + bias.capacity(); }

  Buffer panels;  // [outputs / kPanelOutputs][inputs][kPanelOutputs], the last panel narrower
  Buffer bias;    // [outputs], where there is one
  bool has_bias = false;
};

class XsmmLinear final : public PackedLinear {
 public:
  XsmmLinear(const dnnl::engine& engine, LinearSpec spec, int threads)
      : spec_(std::move(spec)),
        input_blocks_(spec_.inputs, kBlockInputs),
        post_ops_(engine, spec_.post_ops, threads),
        implementation_(std::string("LIBXSMM " LIBXSMM_VERSION " on ") + libxsmm_get_target_arch()),
        gemms_(kMostTileRows + 1) {
    if (spec_.operand != DType::f32 || spec_.result != DType::f32) {
      throw RunError("LIBXSMM: GEMMs of experts are in fp32 alone");
    }
  }

  void repack(ConstMatrixView weights, ConstMatrixView bias, DType precision, PackedWeights& packed,
              Buffer& scratch) const override {
    auto& to = static_cast<XsmmWeights&>(packed);
    const auto* source =
        reinterpret_cast<const float*>(as_operand(weights, precision, DType::f32, scratch));
    const int64_t output_stride = spec_.transposed ? 1 : spec_.inputs;
    const int64_t input_stride = spec_.transposed ? spec_.outputs : 1;
    auto* panel = reinterpret_cast<float*>(to.panels.data());
    for (int64_t first = 0; first < spec_.outputs; first += kPanelOutputs) {
      const int64_t width = panel_width(first);
      for (int64_t output = 0; output < width; ++output) {
        const float* row = source + (first + output) * output_stride;
        for (int64_t input = 0; input < spec_.inputs; ++input) {
          panel[input * width + output] = row[input * input_stride];
        }
      }
      panel += width * spec_.inputs;
    }
    set_bias(bias, packed);
  }

  std::unique_ptr<PackedWeights> make_weights() const override {
    auto packed = std::make_unique<XsmmWeights>();
    packed->panels.reserve(spec_.inputs * spec_.outputs * dtype_size(DType::f32));
    std::memset(packed->panels.data(), 0, static_cast<size_t>(packed->panels.capacity()));
    return packed;
  }

  std::optional<OperandLayout> operand_layout() const override {
    if (spec_.outputs % kPanelOutputs != 0 || spec_.inputs % 8 != 0) return std::nullopt;
    return OperandLayout{DType::f32, kPanelOutputs, spec_.inputs, 1, spec_.inputs * kPanelOutputs,
                         0};
  }

  std::byte* operands(PackedWeights& packed) const override {
    return static_cast<XsmmWeights&>(packed).panels.data();
  }

  void set_bias(ConstMatrixView bias, PackedWeights& packed) const override {
    auto& to = static_cast<XsmmWeights&>(packed);
    to.has_bias = bias.rows > 0;
    if (!to.has_bias) return;
    to.bias.reserve(spec_.outputs * dtype_size(DType::f32));
    fill_bias(bias, spec_.outputs, to.bias);
  }

  bool make_ready(int64_t rows) override {
    auto& gemm = gemms_[rows];
    if (gemm != nullptr) return true;
    auto made = std::make_unique<Gemm>(rows);
    for (int64_t row = 0; row < rows; row += made->rows.size) {
      for (int64_t input = 0; input < spec_.inputs; input += input_blocks_.size) {
        for (const int64_t output : {int64_t{0}, spec_.outputs / kPanelOutputs * kPanelOutputs}) {
          if (output == spec_.outputs) continue;
          for (const bool adds : {false, true}) {
            kernel(*made, row, input, output, adds) = make_kernel(
                panel_width(output), made->rows.size_at(row), input_blocks_.size_at(input), adds);
          }
        }
      }
    }
    post_ops_.make_ready(rows * spec_.outputs);
    gemm = std::move(made);
    return true;
  }

  int64_t scratch_bytes(int64_t) const override { return 0; }

  void run(int thread, const Call& call) const override {
    const auto& weights = static_cast<const XsmmWeights&>(call.weights);
    const auto* panels = reinterpret_cast<const float*>(weights.panels.data());
    const auto* bias =
        weights.has_bias ? reinterpret_cast<const float*>(weights.bias.data()) : nullptr;
    const auto* x = reinterpret_cast<const float*>(call.x);
    auto* y = reinterpret_cast<float*>(call.y);
    Gemm& gemm = *gemms_[call.rows];
    if (bias != nullptr) {
      for (int64_t row = 0; row < call.rows; ++row) {
        std::copy_n(bias, spec_.outputs, y + row * spec_.outputs);
      }
    }
    for (int64_t input = 0; input < spec_.inputs; input += input_blocks_.size) {
      for (int64_t output = 0; output < spec_.outputs; output += kPanelOutputs) {
        const float* panel = panels + output * spec_.inputs + input * panel_width(output);
        for (int64_t row = 0; row < call.rows; row += gemm.rows.size) {
          kernel(gemm, row, input, output, input > 0 || bias != nullptr)(
              panel, x + row * spec_.inputs + input, y + row * spec_.outputs + output);
        }
      }
    }
    post_ops_.run(thread, call.rows * spec_.outputs, y);
  }

  bool has_outputs_apart() const override { return true; }
  const std::string& implementation() const override { return implementation_; }

 private:
  /// The GEMM of one row count: a kernel for each shape of block that it meets.
  struct Gemm {
    explicit Gemm(int64_t row_count) : rows(row_count, kBlockRows) {}

    Blocks rows;
    std::array<libxsmm_smmfunction, 16> kernels{};
  };

  int64_t panel_width(int64_t first_output) const {
    return std::min(kPanelOutputs, spec_.outputs - first_output);
  }

  libxsmm_smmfunction& kernel(Gemm& gemm, int64_t row, int64_t input, int64_t output,
                              bool adds) const {
    const size_t index = (gemm.rows.is_short(row) ? 1u : 0u) |
                         (input_blocks_.is_short(input) ? 2u : 0u) |
                         (panel_width(output) < kPanelOutputs ? 4u : 0u) | (adds ? 8u : 0u);
    return gemm.kernels[index];
  }

  /// LIBXSMM has matrices column-major: its columns are our rows.
  libxsmm_smmfunction make_kernel(int64_t width, int64_t rows, int64_t inputs, bool adds) const {
    const auto size = [](int64_t value) { return narrow<libxsmm_blasint>(value, "a GEMM's size"); };
    const libxsmm_blasint width_stride = size(width);
    const libxsmm_blasint x_stride = size(spec_.inputs);
    const libxsmm_blasint y_stride = size(spec_.outputs);
    const float alpha = 1.0f;
    const float beta = adds ? 1.0f : 0.0f;
    const int flags = LIBXSMM_GEMM_FLAG_NONE;
    const int prefetch = LIBXSMM_GEMM_PREFETCH_NONE;
    const libxsmm_smmfunction made =
        libxsmm_smmdispatch(size(width), size(rows), size(inputs), &width_stride, &x_stride,
                            &y_stride, &alpha, &beta, &flags, &prefetch);
    if (made == nullptr) {
      throw RunError("LIBXSMM: no GEMM of " + std::to_string(rows) + " x " + std::to_string(width) +
                     " x " + std::to_string(inputs));
    }
    return made;
  }

  LinearSpec spec_;
  Blocks input_blocks_;
  OneDnnEltwise post_ops_;
  std::string implementation_;
  std::vector<std::unique_ptr<Gemm>> gemms_;  // by rows
};

}  // namespace

std::string why_no_xsmm() {
  if (libxsmm_get_target_archid() >= LIBXSMM_X86_AVX2) return "";
  return "this machine has no AVX2";
}

std::unique_ptr<PackedLinear> make_xsmm_linear(const dnnl::engine& engine, LinearSpec spec,
                                               int threads) {
  return std::make_unique<XsmmLinear>(engine, std::move(spec), threads);
}

}  // namespace hashep
