// SPDX-License-Identifier: Apache-2.0
#include "tests/standin/queue.hpp"

#include <sched.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "tests/standin/state.hpp"

namespace hashep::test::standin {
namespace {

void merge(Clock& into, const Clock& other) {
  for (const auto& [stream, position] : other) into[stream] = std::max(into[stream], position);
}

/// Whether all of `before` is done wherever `after` is.
bool is_before(const Clock& before, const Clock& after) {
  return std::all_of(before.begin(), before.end(), [&](const auto& point) {
    const auto found = after.find(point.first);
    return found != after.end() && found->second >= point.second;
  });
}

constexpr int kPatience = 100;  // questions in vain before Order::lazy lets all streams go on

/// While queues are worked on: what they do must not begin to do so again.
class Moving {
 public:
  Moving() { state().moving = true; }
  ~Moving() { state().moving = false; }
  Moving(const Moving&) = delete;
  Moving& operator=(const Moving&) = delete;
};

/// All queues as far as they go: what one does can be what another is stuck for.
void advance_all() {
  for (int64_t left = -1; left != queued();) {
    left = queued();
    const auto& streams = state().streams.all();
    for (size_t i = 0; i < streams.size(); ++i) {
      const bool reverse = state().order == Order::newest_first;
      CUstream_st& stream = *streams[reverse ? streams.size() - 1 - i : i];
      advance(stream, stream.asked);
    }
  }
}

/// One question was in vain.
void let_others_go_on() {
  if (state().order == Order::eager || ++state().in_vain > kPatience) advance_all();
}

template <typename Advance>
bool look_with(Advance&& advance_it) {
  const Moving moving;
  if (state().order == Order::newest_first) advance_all();
  bool done = advance_it();
  if (!done) {
    let_others_go_on();
    done = advance_it();
  }
  if (done) state().in_vain = 0;
  return done;
}

template <typename Look>
void wait_with(Look&& look_at_it) {
  while (!look_at_it()) sched_yield();
}

}  // namespace

void push(CUstream_st& stream, Poll entry) {
  stream.queue.push_back(std::move(entry));
  ++stream.asked;
  merge(stream.clock, state().host_clock);  // the host asks after what it has seen
  stream.clock[stream.number] = stream.asked;
  if (state().order == Order::eager) {
    const Moving moving;
    advance_all();
  }
}

void push_work(CUstream_st& stream, Work work) {
  push(stream, [work = std::move(work), begun = Poll()]() mutable { return is_done(work, begun); });
}

void push_wait(CUstream_st& stream, const std::shared_ptr<Signal>& signal) {
  merge(stream.clock, signal->clock);
  push(stream, [signal] { return advance(*signal); });
}

std::shared_ptr<Signal> push_record(CUstream_st& stream) {
  auto signal = std::make_shared<Signal>();
  signal->stream = &stream;
  signal->position = stream.asked + 1;
  push(stream, [signal] {
    do_record(*signal);
    return true;
  });
  signal->clock = stream.clock;
  return signal;
}

Work at_once(std::function<void()> work) {
  return [shared = std::make_shared<std::function<void()>>(std::move(work))] {
    return [shared] {
      (*shared)();
      return true;
    };
  };
}

bool is_done(const Work& work, Poll& begun) {
  try {
    if (begun == nullptr) begun = work();
    if (!begun() && state().work_error == cudaSuccess) return false;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "stand-in: work on a stream failed: %s\n", error.what());
    state().work_error = cudaErrorLaunchFailure;
  }
  ++state().ticks;
  return true;
}

void do_record(Signal& signal) {
  signal.done = true;
  signal.time = state().ticks;
}

bool advance(CUstream_st& stream, int64_t position) {
  while (stream.done < position) {
    if (!stream.queue.front()()) return false;
    stream.queue.pop_front();
    ++stream.done;
  }
  return true;
}

bool advance(const Signal& signal) {
  if (!signal.done) advance(*signal.stream, signal.position);
  return signal.done;
}

bool look(CUstream_st& stream, int64_t position) {
  return look_with([&] { return advance(stream, position); });
}

bool look(const Signal& signal) {
  return look_with([&] { return advance(signal); });
}

void run_until(CUstream_st& stream, int64_t position) {
  wait_with([&] { return look(stream, position); });
}

void run_until(const Signal& signal) {
  wait_with([&] { return look(signal); });
}

void run_all() {
  for (const auto& stream : state().streams.all()) {
    run_until(*stream, stream->asked);
    host_saw(stream->clock);
  }
}

void idle() {
  if (state().moving || queued() == 0) return;
  const Moving moving;
  let_others_go_on();
}

void host_saw(const Clock& clock) {
  merge(state().host_clock, clock);
}

bool may_use(const CUstream_st& stream, const void* workspace) {
  const auto last_use = state().workspaces.find(workspace);
  if (last_use == state().workspaces.end()) return true;
  Clock now = stream.clock;
  merge(now, state().host_clock);
  return is_before(last_use->second, now);
}

void note_use(const CUstream_st& stream, const void* workspace) {
  if (workspace != nullptr) state().workspaces[workspace] = stream.clock;
}

}  // namespace hashep::test::standin

extern "C" {

int __real_sched_yield();

// The linker's --wrap puts it in the place of sched_yield in HashEP's own code.
int __wrap_sched_yield() {
  hashep::test::standin::idle();
  return __real_sched_yield();
}

}  // extern "C"
