// SPDX-License-Identifier: Apache-2.0
#include "tests/standin/queue.hpp"

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

}  // namespace

void push(CUstream_st& stream, std::function<void()> entry) {
  stream.queue.push_back(std::move(entry));
  ++stream.asked;
  merge(stream.clock, state().host_clock);  // the host asks after what it has seen
  stream.clock[stream.number] = stream.asked;
  if (state().order == Order::eager) run_until(stream, stream.asked);
}

void push_work(CUstream_st& stream, std::function<void()> work) {
  push(stream, [work = std::move(work)] { do_work(work); });
}

void push_wait(CUstream_st& stream, const std::shared_ptr<Signal>& signal) {
  merge(stream.clock, signal->clock);
  push(stream, [signal] { run_until(*signal); });
}

std::shared_ptr<Signal> push_record(CUstream_st& stream) {
  auto signal = std::make_shared<Signal>();
  signal->stream = &stream;
  signal->position = stream.asked + 1;
  push(stream, [signal] { do_record(*signal); });
  signal->clock = stream.clock;
  return signal;
}

void do_work(const std::function<void()>& work) {
  ++state().ticks;
  try {
    work();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "stand-in: work on a stream failed: %s\n", error.what());
    state().work_error = cudaErrorLaunchFailure;
  }
}

void do_record(Signal& signal) {
  signal.done = true;
  signal.time = state().ticks;
}

void run_until(CUstream_st& stream, int64_t position) {
  while (stream.done < position) {
    const std::function<void()> entry = std::move(stream.queue.front());
    stream.queue.pop_front();
    entry();
    ++stream.done;
  }
}

void run_until(const Signal& signal) {
  if (!signal.done) run_until(*signal.stream, signal.position);
}

void run_all() {
  for (const auto& stream : state().streams.all()) {
    run_until(*stream, stream->asked);
    host_saw(stream->clock);
  }
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
