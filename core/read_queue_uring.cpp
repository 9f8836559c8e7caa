// SPDX-License-Identifier: Apache-2.0
#include <liburing.h>

#include <system_error>

#include "core/read_queue.hpp"
#include "hashep/error.hpp"

namespace hashep {
namespace {

[[noreturn]] void fail(const char* call, int code) {
  throw RunError(std::string(call) + ": " + std::generic_category().message(code));
}

class UringReadQueue final : public ReadQueue {
 public:
  explicit UringReadQueue(const io_uring& ring) : ring_(ring) {}

  ~UringReadQueue() override {
    // What is under way still writes to memory.
    try {
      while (under_way_ > 0) wait();
    } catch (const RunError&) {
      // The ring's end cancels it.
    }
    io_uring_queue_exit(&ring_);
  }

  std::string_view name() const override { return "io_uring"; }

  void submit(const ReadRequest& request) override {
    io_uring_sqe* const entry = io_uring_get_sqe(&ring_);
    if (entry == nullptr) throw RunError("io_uring: more reads than the queue is deep");
    io_uring_prep_read(entry, request.descriptor, request.to, static_cast<unsigned>(request.bytes),
                       static_cast<uint64_t>(request.offset));
    io_uring_sqe_set_data64(entry, request.tag);
    int code = io_uring_submit(&ring_);
    while (code == -EINTR || code == -EAGAIN) code = io_uring_submit(&ring_);
    if (code < 0) fail("io_uring_submit", -code);
    ++under_way_;
  }

  ReadResult wait() override {
    io_uring_cqe* entry = nullptr;
    int code = io_uring_wait_cqe(&ring_, &entry);
    while (code == -EINTR) code = io_uring_wait_cqe(&ring_, &entry);
    if (code < 0) fail("io_uring_wait_cqe", -code);
    const ReadResult result{io_uring_cqe_get_data64(entry), entry->res >= 0 ? entry->res : 0,
                            entry->res < 0 ? -entry->res : 0};
    io_uring_cqe_seen(&ring_, entry);
    --under_way_;
    return result;
  }

 private:
  io_uring ring_;
  int under_way_ = 0;
};

}  // namespace

std::unique_ptr<ReadQueue> make_uring_read_queue(int depth) {
  io_uring ring;
  // Containers and old systems refuse it.
  if (io_uring_queue_init(static_cast<unsigned>(depth), &ring, 0) < 0) return nullptr;
  return std::make_unique<UringReadQueue>(ring);
}

}  // namespace hashep
