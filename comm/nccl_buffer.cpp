// SPDX-License-Identifier: Apache-2.0
#include "comm/nccl_buffer.hpp"

#include <nccl.h>

#include <cstdio>
#include <exception>

#include "core/cuda/check_cuda.hpp"
#include "core/units.hpp"

namespace hashep {
namespace {

void warn_nccl(ncclResult_t code, const char* call) {
  if (code == ncclSuccess) return;
  std::fprintf(stderr, "hashep: warning: %s failed with code %d: %s\n", call,
               static_cast<int>(code), ncclGetErrorString(code));
}

}  // namespace

bool NcclBuffer::reserve(int64_t bytes, const BeforeFree& before_free) {
  if (bytes <= capacity_) return false;
  const int64_t wanted = data_ == nullptr ? bytes : grown_bytes(bytes);
  if (data_ != nullptr && before_free) before_free();
  release();
  allocate(wanted, bytes);
  const auto size = static_cast<size_t>(capacity_);
  nccl_.check_call(ncclCommRegister(nccl_.get(), data_, size, &registration_), "ncclCommRegister");
  return true;
}

void NcclBuffer::allocate(int64_t wanted, int64_t least) {
  void* memory = nullptr;
  ncclResult_t code = ncclMemAlloc(&memory, static_cast<size_t>(wanted));
  if (code != ncclSuccess && least < wanted) {  // headroom is not worth an error
    wanted = least;
    code = ncclMemAlloc(&memory, static_cast<size_t>(wanted));
  }
  nccl_.check_call(code, "ncclMemAlloc of " + format_bytes(wanted));
  data_ = static_cast<std::byte*>(memory);
  capacity_ = wanted;
}

void NcclBuffer::release() noexcept {
  if (data_ == nullptr) return;
  // Deregistering asks the ranks that have mapped the memory: one that is lost would not answer.
  if (std::uncaught_exceptions() > 0) nccl_.begin_abort();
  warn_cuda(cudaDeviceSynchronize(), "cudaDeviceSynchronize");  // which ncclMemFree need not do
  if (end_registration()) warn_nccl(ncclMemFree(data_), "ncclMemFree");
  data_ = nullptr;
  capacity_ = 0;
  registration_ = nullptr;
}

bool NcclBuffer::end_registration() noexcept {
  if (nccl_.get() == nullptr) return nccl_.end_abort();  // with the communicator it has ended
  if (registration_ == nullptr) return true;
  const BlockingCallScope call(nccl_.watch(), "NCCL gives memory back");
  warn_nccl(ncclCommDeregister(nccl_.get(), registration_), "ncclCommDeregister");
  return true;
}

}  // namespace hashep
