// SPDX-License-Identifier: Apache-2.0
#include "core/read_queue.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

namespace hashep {
namespace {

class ThreadReadQueue final : public ReadQueue {
 public:
  explicit ThreadReadQueue(int depth) {
    for (int i = 0; i < depth; ++i) threads_.emplace_back([this] { work(); });
  }

  ~ThreadReadQueue() override {
    {
      const std::lock_guard lock(mutex_);
      ends_ = true;
    }
    has_request_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  std::string_view name() const override { return "threads"; }

  void submit(const ReadRequest& request) override {
    {
      const std::lock_guard lock(mutex_);
      requests_.push_back(request);
    }
    has_request_.notify_one();
  }

  ReadResult wait() override {
    std::unique_lock lock(mutex_);
    has_result_.wait(lock, [this] { return !results_.empty(); });
    const ReadResult result = results_.front();
    results_.pop_front();
    return result;
  }

 private:
  void work() {
    std::unique_lock lock(mutex_);
    while (true) {
      has_request_.wait(lock, [this] { return ends_ || !requests_.empty(); });
      if (requests_.empty()) return;
      const ReadRequest request = requests_.front();
      requests_.pop_front();
      lock.unlock();
      const ReadResult result = read(request);
      lock.lock();
      results_.push_back(result);
      has_result_.notify_one();
    }
  }

  static ReadResult read(const ReadRequest& request) {
    while (true) {
      const ssize_t count = pread(request.descriptor, request.to,
                                  static_cast<size_t>(request.bytes), off_t{request.offset});
      if (count >= 0) return {request.tag, int64_t{count}, 0};
      if (errno != EINTR) return {request.tag, 0, errno};
    }
  }

  std::mutex mutex_;
  std::condition_variable has_request_;
  std::condition_variable has_result_;
  std::deque<ReadRequest> requests_;
  std::deque<ReadResult> results_;
  bool ends_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace

std::unique_ptr<ReadQueue> make_thread_read_queue(int depth) {
  return std::make_unique<ThreadReadQueue>(depth);
}

std::unique_ptr<ReadQueue> make_read_queue(int depth) {
  auto queue = make_uring_read_queue(depth);
  return queue != nullptr ? std::move(queue) : make_thread_read_queue(depth);
}

}  // namespace hashep
