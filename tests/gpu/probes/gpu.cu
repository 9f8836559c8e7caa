// SPDX-License-Identifier: Apache-2.0
// Whether programs for the GPU can be compiled, linked and run here. With an argument no GPU is
// asked for: that it begins and finds its libraries is then enough.
#include <cublasLt.h>
#include <cuda_runtime.h>

#include <cstdio>

__global__ void add(const int* values, int* sum) {
  atomicAdd(sum, values[threadIdx.x]);
}

namespace {

constexpr int kCount = 64;

bool works(cudaError_t code, const char* call) {
  if (code == cudaSuccess) return true;
  std::printf("%s failed with %s (%d): %s\n", call, cudaGetErrorName(code), static_cast<int>(code),
              cudaGetErrorString(code));
  return false;
}

/// A kernel's sum comes back right, and cuBLASLt takes the GPU.
bool gpu_works() {
  int values[kCount];
  for (int i = 0; i < kCount; ++i) values[i] = i;
  int sum = 0;
  int* on_gpu = nullptr;
  if (!works(cudaMalloc(&on_gpu, sizeof(values) + sizeof(sum)), "cudaMalloc") ||
      !works(cudaMemcpy(on_gpu, values, sizeof(values), cudaMemcpyHostToDevice), "cudaMemcpy") ||
      !works(cudaMemset(on_gpu + kCount, 0, sizeof(sum)), "cudaMemset")) {
    return false;
  }
  add<<<1, kCount>>>(on_gpu, on_gpu + kCount);
  if (!works(cudaGetLastError(), "a kernel's launch") ||
      !works(cudaMemcpy(&sum, on_gpu + kCount, sizeof(sum), cudaMemcpyDeviceToHost), "a kernel") ||
      !works(cudaFree(on_gpu), "cudaFree")) {
    return false;
  }
  if (sum != kCount * (kCount - 1) / 2) {
    std::printf("a kernel's sum is %d\n", sum);
    return false;
  }
  cublasLtHandle_t handle = nullptr;
  const cublasStatus_t status = cublasLtCreate(&handle);
  if (status != CUBLAS_STATUS_SUCCESS) {
    std::printf("cublasLtCreate failed with %s\n", cublasLtGetStatusString(status));
    return false;
  }
  return cublasLtDestroy(handle) == CUBLAS_STATUS_SUCCESS;
}

}  // namespace

int main(int argc, char**) {
  if (argc > 1) {
    std::printf("cuBLASLt %zu; no GPU was asked for\n", cublasLtGetVersion());
    return 0;
  }
  if (!gpu_works()) return 1;
  std::printf("a kernel and cuBLASLt %zu work\n", cublasLtGetVersion());
  return 0;
}
