// SPDX-License-Identifier: Apache-2.0
// The stand-in's cuBLASLt, against plain loops.
#include <cublasLt.h>

#include <cmath>
#include <random>

#include "tests/standin/gemm_case.hpp"
#include "tests/standin/handles.hpp"

using namespace hashep;
using namespace hashep::test;
using standin::Order;

namespace {

constexpr int kWorkspaceBytes = 2048;

/// A product of cuBLASLt with all that describes it.
struct LtProduct {
  LtProduct(const Shape& shape, cudaDataType_t in, cudaDataType_t out,
            cublasComputeType_t compute = CUBLAS_COMPUTE_32F) {
    REQUIRE(cublasLtCreate(&handle) == CUBLAS_STATUS_SUCCESS);
    REQUIRE(cublasLtMatmulDescCreate(&desc, compute, CUDA_R_32F) == CUBLAS_STATUS_SUCCESS);
    const cublasOperation_t ops[] = {shape.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N,
                                     shape.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N};
    cublasLtMatmulDescSetAttribute(desc, CUBLASLT_MATMUL_DESC_TRANSA, &ops[0], sizeof(ops[0]));
    cublasLtMatmulDescSetAttribute(desc, CUBLASLT_MATMUL_DESC_TRANSB, &ops[1], sizeof(ops[1]));
    const auto layout = [](cublasLtMatrixLayout_t& made, cudaDataType_t type, int rows, int cols,
                           int ld) {
      REQUIRE(cublasLtMatrixLayoutCreate(&made, type, static_cast<uint64_t>(rows),
                                         static_cast<uint64_t>(cols), ld) == CUBLAS_STATUS_SUCCESS);
    };
    layout(a, in, shape.rows_a(), shape.cols_a(), shape.lda());
    layout(b, in, shape.rows_b(), shape.cols_b(), shape.ldb());
    layout(c, out, shape.m, shape.n, shape.ldc());
    REQUIRE(cublasLtMatmulPreferenceCreate(&preference) == CUBLAS_STATUS_SUCCESS);
    const uint64_t bytes = kWorkspaceBytes;
    REQUIRE(cublasLtMatmulPreferenceSetAttribute(preference,
                                                 CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &bytes,
                                                 sizeof(bytes)) == CUBLAS_STATUS_SUCCESS);
  }
  LtProduct(const LtProduct&) = delete;
  ~LtProduct() {
    for (auto made : {a, b, c}) cublasLtMatrixLayoutDestroy(made);
    cublasLtMatmulPreferenceDestroy(preference);
    cublasLtMatmulDescDestroy(desc);
    cublasLtDestroy(handle);
  }

  cublasStatus_t choose() {
    int found = 0;
    const cublasStatus_t status =
        cublasLtMatmulAlgoGetHeuristic(handle, desc, a, b, c, c, preference, 1, &chosen, &found);
    CHECK(found == (status == CUBLAS_STATUS_SUCCESS ? 1 : 0));
    return status;
  }
  /// d = 2 op(x) op(y) + d / 2
  cublasStatus_t run(const void* x, const void* y, void* d, void* workspace, size_t bytes,
                     cudaStream_t stream) {
    const float alpha = 2.0f;
    const float beta = 0.5f;
    return cublasLtMatmul(handle, desc, &alpha, x, a, y, b, &beta, d, c, d, c, &chosen.algo,
                          workspace, bytes, stream);
  }

  cublasLtHandle_t handle = nullptr;
  cublasLtMatmulDesc_t desc = nullptr;
  cublasLtMatrixLayout_t a = nullptr, b = nullptr, c = nullptr;
  cublasLtMatmulPreference_t preference = nullptr;
  cublasLtMatmulHeuristicResult_t chosen{};
};

template <typename In, typename Out>
void check_lt(cudaDataType_t in, cudaDataType_t out, double tolerance) {
  std::mt19937 random(7);
  for (const bool transpose_a : {false, true}) {
    for (const bool transpose_b : {false, true}) {
      standin::reset(Order::lazy);
      Handles handles;
      const Shape shape{transpose_a, transpose_b};
      LtProduct product(shape, in, out);
      const auto stream = handles.stream();
      const auto a = handles.gpu(draw<In>(random, shape.lda() * shape.cols_a()));
      const auto b = handles.gpu(draw<In>(random, shape.ldb() * shape.cols_b()));
      const auto c = draw<Out>(random, shape.ldc() * shape.n);
      const auto d = handles.gpu(c);
      const auto workspace = handles.gpu<float>(kWorkspaceBytes / sizeof(float));
      workspace[0] = 1.0f;
      REQUIRE(product.choose() == CUBLAS_STATUS_SUCCESS);
      CHECK(product.chosen.workspaceSize > 0);
      REQUIRE(product.run(a.data(), b.data(), d.data(), workspace.data(), kWorkspaceBytes,
                          stream) == CUBLAS_STATUS_SUCCESS);
      a[0] = In(3.0f);  // read when it is done
      CHECK(to_float(d[0]) == to_float(c[0]));
      REQUIRE(cudaStreamSynchronize(stream) == cudaSuccess);
      CHECK(error_of<In, Out>(shape, a, b, c, d) < tolerance);
      CHECK(std::isnan(workspace[0]));
    }
  }
}

}  // namespace

TEST_CASE("products of cuBLASLt, transposed or not") {
  SECTION("fp32") {
    check_lt<float, float>(CUDA_R_32F, CUDA_R_32F, 1e-6);
  }
  SECTION("bf16") {
    check_lt<BFloat16, BFloat16>(CUDA_R_16BF, CUDA_R_16BF, 4e-3);
  }
  SECTION("bf16 to fp32") {
    check_lt<BFloat16, float>(CUDA_R_16BF, CUDA_R_32F, 1e-6);
  }
}

TEST_CASE("cuBLASLt refuses what a GPU would") {
  standin::reset(Order::eager);
  Handles handles;
  const Shape shape;
  const auto stream = handles.stream();
  const auto a = handles.gpu<float>(static_cast<size_t>(shape.lda() * shape.cols_a()));
  const auto b = handles.gpu<float>(static_cast<size_t>(shape.ldb() * shape.cols_b()));
  const auto d = handles.gpu<float>(static_cast<size_t>(shape.ldc() * shape.n));
  const auto workspace = handles.gpu<std::byte>(kWorkspaceBytes);
  LtProduct product(shape, CUDA_R_32F, CUDA_R_32F);
  REQUIRE(product.choose() == CUBLAS_STATUS_SUCCESS);
  const auto run = [&](const float* x, const float* y, float* z, std::span<std::byte> space) {
    return product.run(x, y, z, space.data(), space.size(), stream);
  };
  REQUIRE(run(a.data(), b.data(), d.data(), workspace) == CUBLAS_STATUS_SUCCESS);

  SECTION("memory") {
    const std::vector<float> host(a.begin(), a.end());
    CHECK(run(host.data(), b.data(), d.data(), workspace) == CUBLAS_STATUS_INVALID_VALUE);
    CHECK(run(a.data() + 64, b.data(), d.data(), workspace) == CUBLAS_STATUS_INVALID_VALUE);
    CHECK(run(a.data(), b.data(), a.data(), workspace) == CUBLAS_STATUS_INVALID_VALUE);
  }
  SECTION("addresses less aligned than the algorithm was told") {
    // Their columns stand apart: one element further is still inside.
    CHECK(run(a.data() + 1, b.data(), d.data(), workspace) == CUBLAS_STATUS_INVALID_VALUE);
    const uint32_t alignment = sizeof(float);
    REQUIRE(cublasLtMatmulPreferenceSetAttribute(
                product.preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &alignment,
                sizeof(alignment)) == CUBLAS_STATUS_SUCCESS);
    REQUIRE(product.choose() == CUBLAS_STATUS_SUCCESS);
    CHECK(run(a.data() + 1, b.data(), d.data(), workspace) == CUBLAS_STATUS_SUCCESS);
  }
  SECTION("workspace") {
    CHECK(run(a.data(), b.data(), d.data(), workspace.first(8)) == CUBLAS_STATUS_INVALID_VALUE);
    std::vector<std::byte> host(kWorkspaceBytes);
    CHECK(run(a.data(), b.data(), d.data(), host) == CUBLAS_STATUS_INVALID_VALUE);
  }
  SECTION("an algorithm of another shape") {
    LtProduct other({.n = shape.n + 1}, CUDA_R_32F, CUDA_R_32F);
    REQUIRE(other.choose() == CUBLAS_STATUS_SUCCESS);
    product.chosen = other.chosen;
    CHECK(run(a.data(), b.data(), d.data(), workspace) == CUBLAS_STATUS_INVALID_VALUE);
  }
  SECTION("types, leading dimensions, empty matrices") {
    LtProduct mixed(shape, CUDA_R_32F, CUDA_R_16BF);
    CHECK(mixed.choose() == CUBLAS_STATUS_NOT_SUPPORTED);
    LtProduct tf32(shape, CUDA_R_32F, CUDA_R_32F, CUBLAS_COMPUTE_32F_FAST_TF32);
    CHECK(tf32.choose() == CUBLAS_STATUS_NOT_SUPPORTED);
    const int64_t ld = shape.m - 1;
    cublasLtMatrixLayoutSetAttribute(product.c, CUBLASLT_MATRIX_LAYOUT_LD, &ld, sizeof(ld));
    CHECK(product.choose() == CUBLAS_STATUS_INVALID_VALUE);
    LtProduct empty({.n = 0}, CUDA_R_32F, CUDA_R_32F);
    CHECK(empty.choose() == CUBLAS_STATUS_INVALID_VALUE);
  }
  SECTION("handles that are none, and failures on demand") {
    int found = 0;
    CHECK(cublasLtMatmulAlgoGetHeuristic(nullptr, product.desc, product.a, product.b, product.c,
                                         product.c, product.preference, 1, &product.chosen,
                                         &found) == CUBLAS_STATUS_NOT_INITIALIZED);
    standin::fail("cublasLtMatmul", CUBLAS_STATUS_INTERNAL_ERROR);
    CHECK(run(a.data(), b.data(), d.data(), workspace) == CUBLAS_STATUS_INTERNAL_ERROR);
    CHECK(run(a.data(), b.data(), d.data(), workspace) == CUBLAS_STATUS_SUCCESS);
    CHECK(standin::calls("cublasLtMatmul") == 3);
  }
}

TEST_CASE("a workspace is for one product at a time") {
  for (const Order order : {Order::eager, Order::lazy}) {
    standin::reset(order);
    Handles handles;
    const Shape shape;
    const auto first = handles.stream();
    const auto second = handles.stream();
    const auto event = handles.event();
    const auto a = handles.gpu<float>(static_cast<size_t>(shape.lda() * shape.cols_a()));
    const auto b = handles.gpu<float>(static_cast<size_t>(shape.ldb() * shape.cols_b()));
    const auto d = handles.gpu<float>(static_cast<size_t>(shape.ldc() * shape.n));
    const auto workspace = handles.gpu<std::byte>(kWorkspaceBytes);
    LtProduct product(shape, CUDA_R_32F, CUDA_R_32F);
    REQUIRE(product.choose() == CUBLAS_STATUS_SUCCESS);
    const auto run = [&](cudaStream_t stream) {
      return product.run(a.data(), b.data(), d.data(), workspace.data(), workspace.size(), stream);
    };
    CHECK(run(first) == CUBLAS_STATUS_SUCCESS);
    CHECK(run(first) == CUBLAS_STATUS_SUCCESS);
    CHECK(run(second) == CUBLAS_STATUS_INVALID_VALUE);
    REQUIRE(cudaEventRecord(event, first) == cudaSuccess);
    REQUIRE(cudaStreamWaitEvent(second, event, 0) == cudaSuccess);
    CHECK(run(second) == CUBLAS_STATUS_SUCCESS);
    CHECK(run(first) == CUBLAS_STATUS_INVALID_VALUE);
    REQUIRE(cudaStreamSynchronize(second) == cudaSuccess);
    CHECK(run(first) == CUBLAS_STATUS_SUCCESS);
    REQUIRE(cudaStreamSynchronize(first) == cudaSuccess);

    // In a capture: order within the graph.
    REQUIRE(cudaStreamBeginCapture(first, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
    REQUIRE(cudaEventRecord(event, first) == cudaSuccess);
    REQUIRE(cudaStreamWaitEvent(second, event, 0) == cudaSuccess);
    CHECK(run(first) == CUBLAS_STATUS_SUCCESS);
    CHECK(run(second) == CUBLAS_STATUS_INVALID_VALUE);
    cudaGraph_t graph = nullptr;
    REQUIRE(cudaStreamEndCapture(first, &graph) == cudaSuccess);
    CHECK(cudaGraphDestroy(graph) == cudaSuccess);
  }
}
