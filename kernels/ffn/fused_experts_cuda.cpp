// SPDX-License-Identifier: Apache-2.0
#include "kernels/ffn/fused_experts_cuda.hpp"

#include <string>

#include "core/narrow.hpp"
#include "hashep/error.hpp"

namespace hashep {
namespace {

/// Which addresses of a group FusedWork holds, in order.
enum Matrix : size_t { kX, kW1, kHidden, kW2, kY, kBias1, kBias3, kBias2, kMatrices };

void require_fused(const FfnShape& shape, DType dtype) {
  if (dtype != DType::bf16) {
    throw InputError("fused expert GEMMs are for bf16, not for " + std::string(dtype_name(dtype)));
  }
  for (const int64_t cols : {shape.hidden_size, shape.ffn_size}) {
    if (cols % kFusedAlignment == 0) continue;
    throw InputError("fused expert GEMMs need sizes that are multiples of " +
                     std::to_string(kFusedAlignment) + ", not " + std::to_string(cols));
  }
  if (const char* const why = why_no_fused_gemm()) throw InputError(why);
}

const std::byte* as_bytes(const float* bias) {
  return reinterpret_cast<const std::byte*>(bias);
}

}  // namespace

FusedEpilogue fused_activation(const FfnShape& shape) {
  switch (shape.activation) {
    case Activation::relu:
      return {FusedEpilogue::Kind::relu, 0.0f};
    case Activation::gelu:
      return {FusedEpilogue::Kind::gelu, 0.0f};
    case Activation::silu:
      return {FusedEpilogue::Kind::swiglu, shape.swiglu_limit};
  }
  return {};
}

void FusedWork::lay_out(ArrayLayout& arrays) {
  gpu_shapes = arrays.add(shapes);
  gpu_strides = arrays.add(strides);
  gpu_addresses = arrays.add(addresses);
}

FusedExperts::FusedExperts(const FfnShape& shape, DType dtype) : shape_(shape), dtype_(dtype) {
  require_fused(shape, dtype);
  workspace_.reserve(fused_gemm_workspace_bytes());
}

bool FusedExperts::reserve(int64_t rows, const BeforeFree& before_free) {
  return hidden_.reserve(rows * shape_.ffn_size * dtype_size(dtype_), before_free);
}

void FusedExperts::prepare(const DeviceExpertWeights& weights,
                           std::span<const int64_t> expert_offsets, int64_t first_expert,
                           MatrixView rows, const WorkParts& parts, FusedWork& work) const {
  const auto first_cols = narrow<int32_t>(weights.first_cols(), "columns of an expert");
  const auto ffn_size = narrow<int32_t>(shape_.ffn_size, "columns of an expert");
  const auto hidden_size = narrow<int32_t>(shape_.hidden_size, "columns of an expert");
  const size_t groups = expert_offsets.size() - 1;
  work.groups = narrow<int>(std::ssize(expert_offsets) - 1, "experts of a rank");
  work.strides.assign(2 * groups, hidden_size);
  std::fill(work.strides.begin() + work.groups, work.strides.end(), ffn_size);
  work.shapes.resize(static_cast<size_t>(parts.count) * 2 * groups);
  work.addresses.resize(kMatrices * groups);
  const MatrixView hidden = hidden_.matrix(dtype_, expert_offsets.back(), ffn_size);
  for (size_t group = 0; group < groups; ++group) {
    const Range range{expert_offsets[group], expert_offsets[group + 1]};
    const int64_t expert = first_expert + static_cast<int64_t>(group);
    if (range.size() > 0) weights.require(expert);
    const int its_part = parts.of(range);
    for (int part = 0; part < parts.count; ++part) {
      const auto count = narrow<int32_t>(part == its_part ? range.size() : 0, "rows of an expert");
      const size_t first = static_cast<size_t>(part) * 2 * groups + group;
      work.shapes[first] = {count, first_cols, hidden_size};
      work.shapes[first + groups] = {count, hidden_size, ffn_size};
    }
    const auto set = [&](Matrix matrix, const std::byte* address) {
      work.addresses[matrix * groups + group] = address;
    };
    set(kX, rows.row(range.begin));
    set(kW1, weights.first(expert));
    set(kHidden, hidden.row(range.begin));
    set(kW2, weights.second(expert));
    set(kY, rows.row(range.begin));
    set(kBias1, as_bytes(weights.bias1(expert)));
    set(kBias3, as_bytes(weights.bias3(expert)));
    set(kBias2, as_bytes(weights.bias2(expert)));
  }
}

void FusedExperts::run(const FusedWork& work, int part, DeviceStream stream) const {
  const auto groups = static_cast<size_t>(work.groups);
  const auto matrix = [&](Matrix which) { return work.gpu_addresses.data() + which * groups; };
  const auto bias = [&](Matrix which) {
    return reinterpret_cast<const float* const*>(matrix(which));
  };
  const GroupShape* const shapes = work.gpu_shapes.data() + static_cast<size_t>(part) * 2 * groups;
  run_fused_gemm({.groups = work.groups,
                  .shapes = shapes,
                  .x = matrix(kX),
                  .w = matrix(kW1),
                  .y = matrix(kHidden),
                  .in_strides = work.gpu_strides.data(),
                  .bias1 = bias(kBias1),
                  .bias3 = bias(kBias3),
                  .epilogue = fused_activation(shape_)},
                 workspace_.data(), stream);
  run_fused_gemm({.groups = work.groups,
                  .shapes = shapes + groups,
                  .x = matrix(kHidden),
                  .w = matrix(kW2),
                  .y = matrix(kY),
                  .in_strides = work.gpu_strides.data() + groups,
                  .bias1 = bias(kBias2),
                  .bias3 = nullptr,
                  .epilogue = {}},
                 workspace_.data(), stream);
}

}  // namespace hashep
