// SPDX-License-Identifier: Apache-2.0
// What stands in for kernels/gemm/fused_gemm_cutlass.cu: reads shapes and addresses when the work
// is done, as the GPU does, so that a graph that is replayed meets the plan of the day.
#include <utility>

#include "core/cuda/check_cuda.hpp"
#include "hashep/dtype.hpp"
#include "hashep/error.hpp"
#include "kernels/ffn/activation_body.hpp"
#include "kernels/gemm/fused_gemm.hpp"
#include "tests/standin/state.hpp"

namespace hashep {
namespace {

namespace standin = test::standin;

constexpr int64_t kWorkspaceBytes = 4096;

/// A GPU would end with an error, or read what it must not.
void require_gpu(const void* data, int64_t bytes) {
  if (bytes > 0 && standin::state().memory.is_gpu(data, bytes)) return;
  if (bytes > 0) throw RunError("a fused GEMM reaches outside of GPU memory");
}

struct Group {
  GroupShape shape;
  const BFloat16* x;
  const BFloat16* w;
  BFloat16* y;
  const float* bias1;
  const float* bias3;

  int64_t y_cols(const FusedEpilogue& epilogue) const {
    return epilogue.kind == FusedEpilogue::Kind::swiglu ? shape.out_cols / 2 : shape.out_cols;
  }
  float sum(int64_t row, int64_t col) const {
    double sum = 0.0;
    for (int64_t i = 0; i < shape.in_cols; ++i) {
      sum += static_cast<double>(static_cast<float>(x[row * shape.in_cols + i])) *
             static_cast<double>(static_cast<float>(w[col * shape.in_cols + i]));
    }
    return static_cast<float>(sum);
  }
};

float with_bias(float sum, const float* bias, int64_t col) {
  return bias == nullptr ? sum : sum + bias[col];
}

float output(const Group& group, const FusedEpilogue& epilogue, int64_t row, int64_t col) {
  if (epilogue.kind == FusedEpilogue::Kind::swiglu) {
    const int64_t gate = col / kGatedBlock * 2 * kGatedBlock + col % kGatedBlock;
    return swiglu(with_bias(group.sum(row, gate), group.bias1, col),
                  with_bias(group.sum(row, gate + kGatedBlock), group.bias3, col), epilogue.limit);
  }
  const float z = with_bias(group.sum(row, col), group.bias1, col);
  if (epilogue.kind == FusedEpilogue::Kind::relu) return relu(z);
  return epilogue.kind == FusedEpilogue::Kind::gelu ? gelu(z) : z;
}

void run_group(const Group& group, const FusedEpilogue& epilogue) {
  const int64_t size = sizeof(BFloat16);
  const int64_t cols = group.y_cols(epilogue);
  require_gpu(group.x, size * group.shape.rows * group.shape.in_cols);
  require_gpu(group.w, size * group.shape.out_cols * group.shape.in_cols);
  require_gpu(group.y, size * group.shape.rows * cols);
  for (int64_t row = 0; row < group.shape.rows; ++row) {
    for (int64_t col = 0; col < cols; ++col) {
      group.y[row * cols + col] = static_cast<BFloat16>(output(group, epilogue, row, col));
    }
  }
}

void run_groups(const FusedGemm& gemm) {
  const auto groups = static_cast<int64_t>(gemm.groups);
  const auto pointers = static_cast<int64_t>(sizeof(void*)) * groups;
  require_gpu(gemm.shapes, static_cast<int64_t>(sizeof(GroupShape)) * groups);
  require_gpu(gemm.in_strides, static_cast<int64_t>(sizeof(int64_t)) * groups);
  for (const void* array :
       {static_cast<const void*>(gemm.x), static_cast<const void*>(gemm.w),
        static_cast<const void*>(gemm.y), static_cast<const void*>(gemm.bias1)}) {
    require_gpu(array, pointers);
  }
  for (size_t i = 0; i < static_cast<size_t>(groups); ++i) {
    if (gemm.in_strides[i] != gemm.shapes[i].in_cols) {
      throw RunError("a fused GEMM's stride is not its columns");
    }
    if (gemm.shapes[i].rows == 0) continue;
    run_group({.shape = gemm.shapes[i],
               .x = reinterpret_cast<const BFloat16*>(gemm.x[i]),
               .w = reinterpret_cast<const BFloat16*>(gemm.w[i]),
               .y = reinterpret_cast<BFloat16*>(const_cast<std::byte*>(gemm.y[i])),
               .bias1 = gemm.bias1[i],
               .bias3 = gemm.bias3 == nullptr ? nullptr : gemm.bias3[i]},
              gemm.epilogue);
  }
}

}  // namespace

const char* why_no_fused_gemm() {
  return nullptr;
}

int64_t fused_gemm_workspace_bytes() {
  return kWorkspaceBytes;
}

void run_fused_gemm(const FusedGemm& gemm, void* workspace, DeviceStream stream) {
  if (gemm.groups == 0) return;
  if (!standin::state().memory.is_gpu(workspace, kWorkspaceBytes)) {
    throw RunError("a fused GEMM without workspace");
  }
  const auto work = [gemm] { run_groups(gemm); };
  const auto array = [&](const auto* values) {
    const auto size = static_cast<int64_t>(sizeof(*values));
    return standin::MemoryRange{values, values == nullptr ? 0 : size * gemm.groups};
  };
  // What the arrays lead to may change between replays of a graph; the arrays may not.
  standin::MemoryRanges memory = {
      array(gemm.shapes), array(gemm.x),     array(gemm.w),          array(gemm.y),
      array(gemm.bias1),  array(gemm.bias3), array(gemm.in_strides), {workspace, kWorkspaceBytes}};
  const cudaError_t code = standin::cuda_call(
      "kernel", [&] { return standin::ask(stream.handle, work, workspace, std::move(memory)); });
  check_cuda(code, "run_fused_gemm");
}

}  // namespace hashep
