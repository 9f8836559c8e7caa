// SPDX-License-Identifier: Apache-2.0
#include "kernels/gemm/quantised_linear.hpp"

#include <algorithm>
#include <cstring>
#include <random>
#include <utility>

#include "core/quantised_matrix.hpp"
#include "hashep/error.hpp"
#include "kernels/gemm/rounded_weights.hpp"
#include "kernels/parallel.hpp"

namespace hashep {
namespace {

constexpr int64_t kPanelBytes = 512 * 1024;  // half of L2, which rows share
constexpr int64_t kPanelMultiple = 64;       // outputs
constexpr int64_t kPartGrain = 64;           // inputs: what libraries' blocks are multiples of

int64_t aligned(int64_t bytes) {
  constexpr auto kLine = static_cast<int64_t>(Buffer::kAlignment);
  return (bytes + kLine - 1) / kLine * kLine;
}

/// Outputs of a panel. Odd shapes are one panel, as libraries have other GEMMs for them.
int64_t panel_outputs(const LinearSpec& spec) {
  if (spec.outputs % kPanelMultiple != 0 || spec.inputs % kPanelMultiple != 0) return spec.outputs;
  const int64_t fitting = kPanelBytes / (spec.inputs * dtype_size(spec.operand));
  const int64_t whole = fitting / kPanelMultiple * kPanelMultiple;
  return std::min(spec.outputs, std::max(whole, kPanelMultiple));
}

}  // namespace

QuantisedLinear::QuantisedLinear(const GemmMaker& maker, const LinearSpec& spec, DType precision,
                                 int threads)
    : maker_(maker),
      spec_(spec),
      precision_(precision),
      threads_(threads),
      post_ops_(maker.engine(), spec.post_ops, threads) {
  const int64_t wanted = panel_outputs(spec);
  make_panels(wanted);
  const bool may_be_cut = wanted == spec.outputs || (maker.make(spec)->has_outputs_apart() &&
                                                     widths_.front().gemm->has_outputs_apart() &&
                                                     widths_.back().gemm->has_outputs_apart());
  if (!may_be_cut) make_panels(spec.outputs);
}

void QuantisedLinear::make_panels(int64_t outputs_of_one) {
  panel_outputs_ = outputs_of_one;
  widths_.clear();
  for (const int64_t outputs : {panel_outputs_, spec_.outputs % panel_outputs_}) {
    if (outputs == 0) continue;
    Panels made;
    made.outputs = outputs;
    LinearSpec part = spec_;
    part.outputs = outputs;
    made.gemm = maker_.make(std::move(part));
    made.layout = made.gemm->operand_layout();
    for (int thread = 0; thread < threads_; ++thread) {
      made.expanded.push_back(made.gemm->make_weights());
    }
    made.rows.resize(threads_);
    made.scratch.resize(threads_);
    widths_.push_back(std::move(made));
  }
}

std::unique_ptr<PackedWeights> QuantisedLinear::pack(const QuantisedView& weights,
                                                     ConstMatrixView bias) const {
  auto packed = std::make_unique<QuantisedWeights>();
  repack(weights, bias, *packed);
  return packed;
}

void QuantisedLinear::repack(const QuantisedView& weights, ConstMatrixView bias,
                             PackedWeights& packed) const {
  if (!can_stay_packed(weights)) {
    throw InputError("weights cannot stay quantised: " + std::to_string(weights.block_cols) +
                     " inputs share a scale, which is no multiple of 8; expand them");
  }
  auto& to = static_cast<QuantisedWeights&>(packed);
  to.memory.reserve(panels_of(weights).bytes());
  to.panels = pack_codes(weights, to.memory.data());
  to.has_bias = bias.rows > 0;
  if (!to.has_bias) return;
  to.bias.reserve(spec_.outputs * dtype_size(DType::f32));
  fill_bias(bias, spec_.outputs, to.bias);
}

void QuantisedLinear::make_ready(int64_t rows) {
  const auto made = [&] {
    return std::ranges::all_of(widths_, [&](Panels& of) { return of.gemm->make_ready(rows); });
  };
  if (!made()) {
    make_panels(spec_.outputs);
    if (!made()) throw RunError("no GEMM of " + std::to_string(rows) + " rows");
  }
  if (rows > kMostFewRows || spec_.operand != DType::bf16 || part_inputs_[rows] > 0) return;
  post_ops_.make_ready(rows * spec_.outputs);
  post_ops_.make_ready(rows * panel_outputs_);
  part_inputs_[rows] = part_inputs_of(rows);
}

int64_t QuantisedLinear::scratch_bytes(int64_t rows) const {
  int64_t of_gemm = 0;
  for (const Panels& panels : widths_) {
    of_gemm = std::max(of_gemm, panels.gemm->scratch_bytes(rows));
  }
  const int64_t part = rows * panel_outputs_ * dtype_size(spec_.result);
  const int64_t sums = rows <= kMostFewRows ? rows * spec_.outputs * dtype_size(DType::f32) : 0;
  return std::max(aligned(part) + of_gemm, sums);
}

void QuantisedLinear::run(int thread, const PackedLinear::Call& call) {
  const auto& weights = static_cast<const QuantisedWeights&>(call.weights);
  if (is_in_registers(call.rows) && has_few_rows(weights.panels)) {
    run_few(thread, weights, part_inputs_[call.rows], call);
  } else {
    run_panels(thread, weights, call);
  }
}

int64_t QuantisedLinear::panel_bytes() const {
  int64_t sum = 0;
  for (const Panels& panels : widths_) {
    for (const auto& expanded : panels.expanded) sum += expanded->bytes();
    for (const Buffer& rows : panels.rows) sum += rows.capacity();
    for (const Buffer& scratch : panels.scratch) sum += scratch.capacity();
  }
  return sum;
}

QuantisedLinear::Panels& QuantisedLinear::panels_at(int64_t first) {
  return first + panel_outputs_ <= spec_.outputs ? widths_.front() : widths_.back();
}

void QuantisedLinear::expand(int thread, const QuantisedWeights& weights, int64_t first) {
  Panels& panels = panels_at(first);
  PackedWeights& expanded = *panels.expanded[thread];
  ConstMatrixView bias;
  if (weights.has_bias) {
    bias = {weights.bias.data() + first * dtype_size(DType::f32), DType::f32, 1, panels.outputs};
  }
  if (panels.layout) {
    const int64_t groups =
        (panels.outputs + CodePanels::kGroupOutputs - 1) / CodePanels::kGroupOutputs;
    expand_codes(weights.panels, first / CodePanels::kGroupOutputs, groups,
                 precision_ == DType::bf16, *panels.layout, expand_path(*panels.layout),
                 panels.gemm->operands(expanded));
    panels.gemm->set_bias(bias, expanded);
    return;
  }
  Buffer& rows = panels.rows[thread];
  rows.reserve(panels.outputs * spec_.inputs * dtype_size(DType::f32));
  expand_rows(weights.panels, first, panels.outputs, reinterpret_cast<float*>(rows.data()));
  panels.gemm->repack(rows.matrix(DType::f32, panels.outputs, spec_.inputs), bias, precision_,
                      expanded, panels.scratch[thread]);
}

void QuantisedLinear::run_panels(int thread, const QuantisedWeights& weights,
                                 const PackedLinear::Call& call) {
  const int64_t size = dtype_size(spec_.result);
  const int64_t outputs = weights.panels.outputs;
  for (int64_t first = 0; first < outputs; first += panel_outputs_) {
    const Panels& panels = panels_at(first);
    expand(thread, weights, first);
    const bool is_whole = panels.outputs == outputs;
    std::byte* const part = is_whole ? call.y : call.scratch;
    panels.gemm->run(thread,
                     {.weights = *panels.expanded[thread],
                      .rows = call.rows,
                      .x = call.x,
                      .y = part,
                      .scratch = call.scratch + aligned(call.rows * panel_outputs_ * size)});
    if (is_whole) return;
    const auto row_bytes = static_cast<size_t>(panels.outputs * size);
    for (int64_t row = 0; row < call.rows; ++row) {
      std::memcpy(call.y + (row * outputs + first) * size,
                  part + row * static_cast<int64_t>(row_bytes), row_bytes);
    }
  }
}

void QuantisedLinear::run_few(int thread, const QuantisedWeights& weights, int64_t part_inputs,
                              const PackedLinear::Call& call) const {
  const bool are_sums = spec_.result == DType::f32;
  auto* const sums = reinterpret_cast<float*>(are_sums ? call.y : call.scratch);
  const int64_t outputs = weights.panels.outputs;
  const int64_t count = call.rows * outputs;
  few_rows_product(weights.panels, part_inputs, call.rows, call.x, sums);
  if (weights.has_bias) {
    const auto* const bias = reinterpret_cast<const float*>(weights.bias.data());
    for (int64_t i = 0; i < count; ++i) sums[i] += bias[i % outputs];
  }
  post_ops_.run(thread, count, sums);
  if (!are_sums) few_rows_round(sums, count, call.y);
}

/// The inputs of a part with which sums in registers have the bits of the library's; 0: none. The
/// second half of each sum takes off what the first half has added, so that all that is left is
/// what was rounded away: another order of products would leave something else, also where results
/// are bf16.
int64_t QuantisedLinear::part_inputs_of(int64_t rows) {
  const OmpThreads one_thread(1);
  std::mt19937 random(1);
  QuantisedView some;
  some.format = QuantFormat::fp8_e4m3;
  some.rows = panel_outputs_;
  some.cols = spec_.inputs;
  some.block_rows = some.rows;
  some.block_cols = spec_.inputs;
  if (!can_stay_packed(some)) return 0;
  const int64_t half = spec_.inputs / 2;
  std::vector<std::byte> codes(static_cast<size_t>(some.rows * some.cols));
  for (int64_t i = 0; i < std::ssize(codes); ++i) {
    const bool is_first = i % some.cols < half;
    // Values from 2^-3 to 2^5, of either sign.
    codes[i] = is_first ? static_cast<std::byte>(0x20 + random() % 0x40 + random() % 2 * 0x80)
                        : codes[i - half];
  }
  constexpr std::byte kOne{127};
  const std::vector<std::byte> scales(1, kOne);
  some.codes = codes.data();
  some.scales = scales.data();
  const auto packed = pack(some, {});
  const auto& weights = static_cast<const QuantisedWeights&>(*packed);
  if (!has_few_rows(weights.panels)) return 0;

  std::vector<float> values(static_cast<size_t>(rows * spec_.inputs));
  std::normal_distribution<float> normal;
  for (int64_t i = 0; i < std::ssize(values); ++i) {
    values[i] = i % some.cols < half ? normal(random) : -values[i - half];
  }
  Buffer x(rows * spec_.inputs * dtype_size(DType::bf16));
  convert_from_float(values.data(), std::ssize(values), DType::bf16, x.data());
  const int64_t bytes = rows * some.rows * dtype_size(spec_.result);
  Buffer mine(bytes);
  Buffer theirs(bytes);
  Buffer scratch(scratch_bytes(rows));
  const PackedLinear::Call call{weights, rows, x.data(), mine.data(), scratch.data()};
  PackedLinear::Call other = call;
  other.y = theirs.data();
  run_panels(0, weights, other);
  const auto agrees = [&](int64_t part_inputs) {
    run_few(0, weights, part_inputs, call);
    return std::memcmp(mine.data(), theirs.data(), static_cast<size_t>(bytes)) == 0;
  };
  // All; those of other row counts; any.
  if (agrees(spec_.inputs)) return spec_.inputs;
  for (const int64_t known : part_inputs_) {
    if (known > 0 && agrees(known)) return known;
  }
  for (int64_t inputs = kPartGrain; inputs < spec_.inputs; inputs += kPartGrain) {
    if (agrees(inputs)) return inputs;
  }
  return 0;
}

}  // namespace hashep
