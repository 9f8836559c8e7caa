// SPDX-License-Identifier: Apache-2.0
#include "comm/nccl_communicator.hpp"

#include <mpi.h>
#include <nccl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <thread>

#include "core/cuda/device_buffer.hpp"
#include "core/cuda/stream.hpp"
#include "core/narrow.hpp"
#include "hashep/error.hpp"

namespace hashep {
namespace {

constexpr int kSpins = 2000;  // before yielding the core: longer than a group takes to be launched
constexpr auto kAbortLimit = std::chrono::seconds(2);
constexpr double kFinalizeLimit = 10.0;  // seconds, where the deadline is later
constexpr size_t kLongestHostName = 256;

std::string peer_text(const char* call, const char* direction, int peer) {
  return std::string(call) + direction + "rank " + std::to_string(peer);
}

}  // namespace

void check_nccl(int code, const std::string& call, ncclComm* comm) {
  if (code == ncclSuccess || code == ncclInProgress) return;
  std::string text = call + " failed with code " + std::to_string(code) + ": " +
                     ncclGetErrorString(static_cast<ncclResult_t>(code));
  const char* const last = ncclGetLastError(comm);
  if (last != nullptr && *last != '\0') text += ", " + std::string(last);
  // NCCL's text may have several lines; an error of ours has one.
  while (text.ends_with('\n')) text.pop_back();
  std::replace(text.begin(), text.end(), '\n', ' ');
  throw RunError(text);
}

std::string nccl_version() {
  int version = 0;
  check_nccl(ncclGetVersion(&version), "ncclGetVersion", nullptr);
  return "NCCL " + std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) +
         "." + std::to_string(version % 100);
}

void separate_nccl_hosts(int rank) {
  std::array<char, kLongestHostName> host{};
  if (gethostname(host.data(), host.size() - 1) != 0) throw RunError("gethostname failed");
  const std::string id = std::string(host.data()) + "-" + std::to_string(rank);
  if (setenv("NCCL_HOSTID", id.c_str(), 0) != 0) throw RunError("setenv NCCL_HOSTID failed");
}

NcclCommunicator::NcclCommunicator(Watch& watch) : watch_(watch) {}

// Delegates, so that the destructor aborts what an error leaves half made.
NcclCommunicator::NcclCommunicator(const Communicator& comm, Watch& watch)
    : NcclCommunicator(watch) {
  rank_ = comm.rank();
  size_ = comm.size();
  const auto id = std::make_shared<ncclUniqueId>();
  if (rank_ == 0) check_call(ncclGetUniqueId(id.get()), "ncclGetUniqueId");
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(MPI_Ibcast(id.get(), static_cast<int>(sizeof(*id)), MPI_BYTE, 0, comm.get(), &request),
            "MPI_Ibcast");
  watch_.count_collective();
  watch_.wait(request, id);
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  check_call(ncclCommInitRankConfig(&comm_, size_, *id, rank_, &config), "ncclCommInitRankConfig");
  settle("ncclCommInitRankConfig");
}

NcclCommunicator::~NcclCommunicator() {
  if (comm_ == nullptr) return;
  // While an error unwinds this rank, others may never come to the end.
  if (std::uncaught_exceptions() > 0 || !is_finalized()) {
    begin_abort();
    end_abort();
    return;
  }
  const ncclResult_t code = ncclCommDestroy(comm_);
  if (code != ncclSuccess && code != ncclInProgress) {
    std::fprintf(stderr, "hashep: warning: ncclCommDestroy failed with code %d: %s\n",
                 static_cast<int>(code), ncclGetErrorString(code));
  }
}

void NcclCommunicator::check_call(int code, const std::string& call) const {
  try {
    check_nccl(code, call, comm_);
  } catch (const RunError& error) {
    throw RunError("rank " + std::to_string(rank_) + " in " + to_string(watch_.position()) + ": " +
                   error.what());
  }
}

void NcclCommunicator::settle(const char* call) {
  const auto is_settled = [&] {
    ncclResult_t state = ncclSuccess;
    check_call(ncclCommGetAsyncError(comm_, &state), "ncclCommGetAsyncError");
    check_call(state, call);
    return state != ncclInProgress;
  };
  watch_.wait_until(kSpins, is_settled, [call] { return std::string(" in ") + call; });
}

void NcclCommunicator::connect(std::span<const int> peers) {
  const auto words = static_cast<int64_t>(peers.size()) + 1;
  const int64_t bytes = words * static_cast<int64_t>(sizeof(int32_t));
  DeviceBuffer on_gpu(bytes);
  PinnedBuffer on_host(bytes);
  auto* const there = on_gpu.as<int32_t>();
  auto* const here = reinterpret_cast<int32_t*>(on_host.data());
  std::fill_n(here, words, rank_);
  const CudaStream stream;
  copy_async(there, here, bytes, stream);
  exchange([&] {
    for (size_t i = 0; i < peers.size(); ++i) {
      send(there, sizeof(int32_t), peers[i], stream);
      receive(there + 1 + i, sizeof(int32_t), peers[i], stream);
    }
  });
  copy_async(here, there, bytes, stream);
  const CudaEvent done;
  done.record(stream);
  const auto is_done = [&] {
    check();
    return done.is_done();
  };
  try {
    watch_.wait_until(kSpins, is_done, [] { return " for NCCL's first messages"; });
  } catch (...) {
    begin_abort();  // or the buffers would wait for messages that never come
    end_abort();
    throw;
  }
  for (size_t i = 0; i < peers.size(); ++i) {
    if (here[1 + i] == peers[i]) continue;
    throw RunError("rank " + std::to_string(rank_) + ": NCCL brought a word of rank " +
                   std::to_string(here[1 + i]) + " from rank " + std::to_string(peers[i]));
  }
}

void NcclCommunicator::begin_group() {
  if (comm_ == nullptr) {
    throw RunError("rank " + std::to_string(rank_) + ": the NCCL communicator was aborted");
  }
  check_call(ncclGroupStart(), "ncclGroupStart");
}

void NcclCommunicator::end_group() {
  // A stream that is asked for more before the group has settled may get it in front of the group.
  check_call(ncclGroupEnd(), "ncclGroupEnd");
  settle("ncclGroupEnd");
}

void NcclCommunicator::drop_group() noexcept {
  // Groups nest by thread: without its end, all later calls of this thread would be inside. What it
  // returns tells no more than the error that is on its way.
  static_cast<void>(ncclGroupEnd());
}

void NcclCommunicator::send(const void* data, int64_t bytes, int peer, DeviceStream stream) {
  const auto count = narrow<size_t>(bytes, "bytes to send");
  check_call(ncclSend(data, count, ncclUint8, peer, comm_, stream.handle),
             peer_text("ncclSend", " to ", peer));
}

void NcclCommunicator::receive(void* data, int64_t bytes, int peer, DeviceStream stream) {
  const auto count = narrow<size_t>(bytes, "bytes to receive");
  check_call(ncclRecv(data, count, ncclUint8, peer, comm_, stream.handle),
             peer_text("ncclRecv", " from ", peer));
}

void NcclCommunicator::check() {
  if (comm_ == nullptr) return;
  ncclResult_t state = ncclSuccess;
  check_call(ncclCommGetAsyncError(comm_, &state), "ncclCommGetAsyncError");
  check_call(state, "an exchange by NCCL");
}

bool NcclCommunicator::is_finalized() noexcept {
  ncclResult_t state = ncclCommFinalize(comm_);
  const std::chrono::duration<double> limit(std::min(watch_.deadline(), kFinalizeLimit));
  const auto begin = std::chrono::steady_clock::now();
  while (state == ncclInProgress && std::chrono::steady_clock::now() - begin < limit) {
    std::this_thread::yield();
    if (ncclCommGetAsyncError(comm_, &state) != ncclSuccess) return false;
  }
  return state == ncclSuccess;
}

void NcclCommunicator::begin_abort() noexcept {
  if (comm_ == nullptr) return;
  ncclComm* const comm = comm_;
  comm_ = nullptr;
  abort_begun_ = std::chrono::steady_clock::now();
  try {
    // In a thread that is left behind where NCCL does not come back.
    is_back_ = std::make_shared<std::atomic<bool>>(false);
    std::thread([comm, is_back = is_back_] {
      static_cast<void>(ncclCommAbort(comm));  // an error is on its way already
      *is_back = true;
    }).detach();
  } catch (const std::exception& error) {  // no thread to be had
    std::fprintf(stderr, "hashep: warning: NCCL is not aborted: %s\n", error.what());
  }
}

bool NcclCommunicator::end_abort() noexcept {
  if (is_back_ == nullptr) return true;
  while (!*is_back_) {
    if (std::chrono::steady_clock::now() - abort_begun_ > kAbortLimit) return false;
    std::this_thread::yield();
  }
  return true;
}

}  // namespace hashep
