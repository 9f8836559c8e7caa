// SPDX-License-Identifier: Apache-2.0
#include "tests/standin/standin.hpp"

namespace hashep::test::standin {

const std::vector<std::string>& call_names() {
  static const std::vector<std::string> names = {
      "kernel",
      "cudaGetDeviceCount",
      "cudaSetDevice",
      "cudaGetDevice",
      "cudaGetDeviceProperties",
      "cudaDeviceGetAttribute",
      "cudaDriverGetVersion",
      "cudaRuntimeGetVersion",
      "cudaDeviceSynchronize",
      "cudaMalloc",
      "cudaFree",
      "cudaMemGetInfo",
      "cudaHostAlloc",
      "cudaFreeHost",
      "cudaMemcpyAsync",
      "cudaMemsetAsync",
      "cudaStreamCreateWithFlags",
      "cudaStreamDestroy",
      "cudaStreamSynchronize",
      "cudaStreamQuery",
      "cudaStreamWaitEvent",
      "cudaStreamIsCapturing",
      "cudaStreamBeginCapture",
      "cudaStreamEndCapture",
      "cudaEventCreateWithFlags",
      "cudaEventDestroy",
      "cudaEventRecord",
      "cudaEventRecordWithFlags",
      "cudaEventQuery",
      "cudaEventSynchronize",
      "cudaEventElapsedTime",
      "cudaGraphInstantiate",
      "cudaGraphGetNodes",
      "cudaGraphDestroy",
      "cudaGraphExecDestroy",
      "cudaGraphLaunch",
  };
  return names;
}

}  // namespace hashep::test::standin
