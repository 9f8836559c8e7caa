// SPDX-License-Identifier: Apache-2.0
// The stand-in's cuBLAS, against plain loops.
#include <cublas_v2.h>

#include <cmath>
#include <random>

#include "tests/standin/gemm_case.hpp"
#include "tests/standin/handles.hpp"

using namespace hashep;
using namespace hashep::test;
using standin::Order;

namespace {

template <typename T>
void check_grouped(cudaDataType_t type, double tolerance) {
  std::mt19937 random(11);
  standin::reset(Order::lazy);
  Handles handles;
  const auto stream = handles.stream();
  const auto workspace = handles.gpu<float>(64);
  cublasHandle_t blas = nullptr;
  REQUIRE(cublasCreate(&blas) == CUBLAS_STATUS_SUCCESS);
  REQUIRE(cublasSetStream(blas, stream) == CUBLAS_STATUS_SUCCESS);

  const Shape shapes[] = {{true, false, 5, 3, 7}, {false, true, 2, 4, 1}, {true, false, 5, 0, 7}};
  int counts[] = {2, 1, 1};  // of each group
  std::vector<cublasOperation_t> ops_a, ops_b;
  std::vector<int> m, n, k, lda, ldb, ldc;
  std::vector<std::span<T>> a, b, d;
  std::vector<std::vector<T>> c;
  std::vector<Shape> shape_of;
  for (int g = 0; g < 3; ++g) {
    const Shape& shape = shapes[g];
    ops_a.push_back(shape.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
    ops_b.push_back(shape.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
    m.push_back(shape.m), n.push_back(shape.n), k.push_back(shape.k);
    lda.push_back(shape.lda()), ldb.push_back(shape.ldb()), ldc.push_back(shape.ldc());
    for (int i = 0; i < counts[g]; ++i) {
      shape_of.push_back(shape);
      a.push_back(handles.gpu(draw<T>(random, shape.lda() * shape.cols_a())));
      b.push_back(handles.gpu(draw<T>(random, shape.ldb() * shape.cols_b())));
      c.push_back(draw<T>(random, shape.ldc() * shape.n));
      d.push_back(handles.gpu(c.back()));
    }
  }
  const auto pa = handles.gpu<const void*>(a.size());
  const auto pb = handles.gpu<const void*>(a.size());
  const auto pd = handles.gpu<void*>(a.size());
  const std::vector<float> alpha(3, 2.0f);
  const std::vector<float> beta(3, 0.5f);
  const auto run = [&](const void* const* addresses, const std::vector<int>& leading) {
    return cublasGemmGroupedBatchedEx(blas, ops_a.data(), ops_b.data(), m.data(), n.data(),
                                      k.data(), alpha.data(), addresses, type, leading.data(),
                                      pb.data(), type, ldb.data(), beta.data(), pd.data(), type,
                                      ldc.data(), 3, counts, CUBLAS_COMPUTE_32F);
  };
  CHECK(run(pa.data(), lda) == CUBLAS_STATUS_ALLOC_FAILED);  // no workspace
  REQUIRE(cublasSetWorkspace(blas, workspace.data(), workspace.size_bytes()) ==
          CUBLAS_STATUS_SUCCESS);
  CHECK(run(pa.data(), {1, 1, 1}) == CUBLAS_STATUS_INVALID_VALUE);
  const std::vector<const void*> host(a.size());
  CHECK(run(host.data(), lda) == CUBLAS_STATUS_INVALID_VALUE);
  REQUIRE(run(pa.data(), lda) == CUBLAS_STATUS_SUCCESS);
  m.assign(3, -1);  // shapes were read at the call, addresses are read when it is done
  counts[0] = 0;
  for (size_t i = 0; i < a.size(); ++i)
    pa[i] = a[i].data(), pb[i] = b[i].data(), pd[i] = d[i].data();
  workspace[0] = 1.0f;
  REQUIRE(cudaStreamSynchronize(stream) == cudaSuccess);
  CHECK(std::isnan(workspace[0]));
  for (size_t i = 0; i < a.size(); ++i) {
    CHECK(error_of<T, T>(shape_of[i], a[i], b[i], c[i], d[i]) < tolerance);
  }
  REQUIRE(cublasSetStream(blas, stream) == CUBLAS_STATUS_SUCCESS);
  m = {5, 2, 5};
  CHECK(run(pa.data(), lda) == CUBLAS_STATUS_ALLOC_FAILED);  // it took the workspace away
  CHECK(cublasDestroy(blas) == CUBLAS_STATUS_SUCCESS);
  CHECK(cublasDestroy(blas) == CUBLAS_STATUS_NOT_INITIALIZED);
}

}  // namespace

TEST_CASE("grouped products") {
  SECTION("fp32") {
    check_grouped<float>(CUDA_R_32F, 1e-6);
  }
  SECTION("bf16") {
    check_grouped<BFloat16>(CUDA_R_16BF, 4e-3);
  }
}

TEST_CASE("a grouped product that leaves its memory is an error of the stream") {
  standin::reset(Order::eager);
  {
    Handles handles;
    const auto stream = handles.stream();
    const auto workspace = handles.gpu<float>(64);
    const auto data = handles.gpu<float>(4);
    const auto a = handles.gpu<const void*>(std::vector<const void*>{data.data() + 1});
    const auto b = handles.gpu<const void*>(std::vector<const void*>{data.data()});
    const auto d = handles.gpu<void*>(std::vector<void*>{handles.gpu<float>(4).data()});
    cublasHandle_t blas = nullptr;
    REQUIRE(cublasCreate(&blas) == CUBLAS_STATUS_SUCCESS);
    REQUIRE(cublasSetStream(blas, stream) == CUBLAS_STATUS_SUCCESS);
    REQUIRE(cublasSetWorkspace(blas, workspace.data(), workspace.size_bytes()) ==
            CUBLAS_STATUS_SUCCESS);
    CHECK(cublasSetMathMode(blas, CUBLAS_TF32_TENSOR_OP_MATH) == CUBLAS_STATUS_NOT_SUPPORTED);
    const cublasOperation_t op = CUBLAS_OP_N;
    const int two = 2;
    const int one = 1;
    const float factor = 1.0f;
    const auto run = [&](cublasComputeType_t compute) {
      return cublasGemmGroupedBatchedEx(blas, &op, &op, &two, &two, &two, &factor, a.data(),
                                        CUDA_R_32F, &two, b.data(), CUDA_R_32F, &two, &factor,
                                        d.data(), CUDA_R_32F, &two, 1, &one, compute);
    };
    CHECK(run(CUBLAS_COMPUTE_32F_FAST_TF32) == CUBLAS_STATUS_NOT_SUPPORTED);
    CHECK(run(CUBLAS_COMPUTE_32F_PEDANTIC) == CUBLAS_STATUS_SUCCESS);
    CHECK(cudaStreamSynchronize(stream) == cudaErrorLaunchFailure);
    CHECK(run(CUBLAS_COMPUTE_32F) == CUBLAS_STATUS_EXECUTION_FAILED);
    CHECK(cublasDestroy(blas) == CUBLAS_STATUS_SUCCESS);
  }
  CHECK(standin::alive().objects == 0);
}
