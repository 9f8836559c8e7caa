// SPDX-License-Identifier: Apache-2.0
#include "tests/standin/queue.hpp"

#include <sched.h>

#include <algorithm>
#include <chrono>
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
  for (int64_t moves = -1; moves != state().moves;) {
    moves = state().moves;
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
  if (is_prompt() || ++state().in_vain > kPatience) advance_all();
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

/// How long nothing has been done.
class Standstill {
 public:
  /// Whether nothing that is asked for will be done any more, as far as it can be told. Other ranks
  /// have deadlines of their own to do their part.
  bool is_final() {
    const auto now = std::chrono::steady_clock::now();
    if (std::exchange(moves_, state().moves) != state().moves) {
      since_ = now;
      looks_ = 0;
    }
    const std::chrono::seconds longest(ranks_from_environment() > 1 ? 60 : 1);
    return ++looks_ > 10 * kPatience && now - since_ > longest;
  }

 private:
  int64_t moves_ = -1;
  int64_t looks_ = 0;  // since
  std::chrono::steady_clock::time_point since_;
};

void end_what_is_stuck() {
  std::fprintf(stderr,
               "stand-in: deadlock: %lld things that were asked for wait for what stands behind "
               "them, or was not asked for\n",
               static_cast<long long>(queued()));
  state().work_error = cudaErrorLaunchTimeout;
}

template <typename Look>
void wait_with(Look&& look_at_it) {
  Standstill standstill;
  while (!look_at_it()) {
    if (standstill.is_final()) end_what_is_stuck();
    sched_yield();
  }
}

}  // namespace

bool is_prompt() {
  const Order order = state().order;
  return order == Order::eager || order == Order::blocking || order == Order::queues;
}

Turn next_turn(const CUstream_st& stream, Engine engine) {
  if (state().order != Order::queues) return {};
  if (engine == Engine::copy) return Turn(state().copies);
  const auto queue = static_cast<size_t>(stream.number) % state().queues.size();
  return Turn(state().queues[queue]);
}

void push(CUstream_st& stream, Turn turn, Poll entry) {
  stream.queue.push_back([turn, entry = std::move(entry)] {
    if (!turn.has_come() || !entry()) return false;
    turn.pass();
    return true;
  });
  ++stream.asked;
  merge(stream.clock, state().host_clock);  // the host asks after what it has seen
  stream.clock[stream.number] = stream.asked;
  if (is_prompt()) {
    const Moving moving;
    advance_all();
  }
  if (state().order == Order::blocking) run_until(stream, stream.asked);
}

void push_work(CUstream_st& stream, Engine engine, Work work) {
  push(stream, next_turn(stream, engine),
       [work = std::move(work), begun = Poll()]() mutable { return is_done(work, begun); });
}

void push_wait(CUstream_st& stream, const std::shared_ptr<Signal>& signal) {
  merge(stream.clock, signal->clock);
  push(stream, next_turn(stream, Engine::compute), [signal] { return advance(*signal); });
}

std::shared_ptr<Signal> push_record(CUstream_st& stream) {
  auto signal = std::make_shared<Signal>();
  signal->stream = &stream;
  signal->position = stream.asked + 1;
  push(stream, next_turn(stream, Engine::compute), [signal] {
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

void note_replay(CUevent_st& event, const std::shared_ptr<Signal>& signal) {
  settle(event);
  event.replayed = signal;
  if (is_prompt()) event.signal = signal;
  event.capture.reset();
  event.told_not_ready = false;
}

void settle(CUevent_st& event) {
  if (event.replayed != nullptr && event.replayed->done) {
    event.signal = std::exchange(event.replayed, nullptr);
  }
}

std::shared_ptr<Signal> last_record(const CUevent_st& event) {
  return event.replayed != nullptr ? event.replayed : event.signal;
}

bool advance(CUstream_st& stream, int64_t position) {
  while (stream.done < position) {
    if (!stream.queue.front()()) return false;
    stream.queue.pop_front();
    ++stream.done;
    ++state().moves;
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
