// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "tests/standin/standin.hpp"

namespace hashep::test::standin {

struct Capture;

/// How far each stream (by its number) is certainly done at some point: a vector clock.
using Clock = std::map<int64_t, int64_t>;

/// A point in a stream that others can wait for.
struct Signal {
  CUstream_st* stream = nullptr;  // valid until done
  int64_t position = 0;           // what the stream had been asked for, this point included
  Clock clock;
  bool done = false;
  int64_t time = 0;  // in ticks, when done
};

/// A hardware queue, which streams share (Order::queues).
struct SharedQueue {
  int64_t asked = 0;
  int64_t done = 0;
};

/// A place in such a queue: it comes when all that was asked for before it there is done. Where
/// there is no queue, at once.
class Turn {
 public:
  Turn() = default;
  explicit Turn(SharedQueue& queue) : queue_(&queue), number_(queue.asked++) {}

  bool has_come() const { return queue_ == nullptr || queue_->done == number_; }
  void pass() const {
    if (queue_ != nullptr) ++queue_->done;
  }

 private:
  SharedQueue* queue_ = nullptr;
  int64_t number_ = 0;
};

}  // namespace hashep::test::standin

/// What a cudaStream_t points to: a queue. Positions count what was asked for, from 1.
struct CUstream_st {
  int64_t number = 0;
  std::deque<hashep::test::standin::Poll> queue;  // its first entry may have begun
  int64_t asked = 0;
  int64_t done = 0;
  hashep::test::standin::Clock clock;
  bool destroyed = false;  // it goes when its queue is done
  bool told_not_ready = false;

  std::shared_ptr<hashep::test::standin::Capture> capture;  // null where it is not captured
  std::set<size_t> last_nodes;  // of the capture: what the next node comes after
};

/// What a cudaEvent_t points to.
struct CUevent_st {
  bool timing = false;
  std::shared_ptr<hashep::test::standin::Signal> signal;    // of the last record; null before
  std::shared_ptr<hashep::test::standin::Signal> replayed;  // of one in a replay, until it is done
  bool told_not_ready = false;

  std::shared_ptr<hashep::test::standin::Capture> capture;  // where it was last recorded in one
  std::set<size_t> nodes;
};

namespace hashep::test::standin {

/// Which of the GPU's engines does a piece of work.
enum class Engine { compute, copy };

/// A place in a hardware queue for what is asked for now: in the one that the stream uses, or in
/// that of copies.
Turn next_turn(const CUstream_st& stream, Engine engine);

/// Queues an entry that is not a capture's: a step of work, a wait, a record or a replay.
void push(CUstream_st& stream, Turn turn, Poll entry);
/// Queues work, which moves the clock on by a tick when it is done.
void push_work(CUstream_st& stream, Engine engine, Work work);
void push_wait(CUstream_st& stream, const std::shared_ptr<Signal>& signal);
std::shared_ptr<Signal> push_record(CUstream_st& stream);

/// Work that is done in one go.
Work at_once(std::function<void()> work);

/// One look at a run of work, which begins where `begun` is null: whether it is done. Where it
/// throws, it is, and that becomes the error that all later calls return.
bool is_done(const Work& work, Poll& begun);
void do_record(Signal& signal);

/// Does a stream's queue up to a position, and before each entry what it waits for, as far as it
/// goes now. False where it is stuck.
bool advance(CUstream_st& stream, int64_t position);
bool advance(const Signal& signal);

/// An event is recorded, for calls that wait for it, when a replay that records it is asked for.
/// CUDA does not say whether calls that only ask about it see the record before until then: unless
/// work is prompt, they do.
void note_replay(CUevent_st& event, const std::shared_ptr<Signal>& signal);
/// A record of a replay that is done by now is the event's last one.
void settle(CUevent_st& event);
/// What calls that wait for the event wait for; null where it was never recorded.
std::shared_ptr<Signal> last_record(const CUevent_st& event);

/// What a host's question does: advances what it asks about; where that is stuck, all else too,
/// with Order::lazy after some questions in vain. Whether it is done.
bool look(CUstream_st& stream, int64_t position);
bool look(const Signal& signal);

/// Whether work is done without being asked about.
bool is_prompt();

/// Waits. Where nothing is done for long, all that is stuck ends, as an error of work.
void run_until(CUstream_st& stream, int64_t position);
void run_until(const Signal& signal);
void run_all();

/// The host has nothing to do for the moment.
void idle();

/// The host has seen that this is done.
void host_saw(const Clock& clock);

/// Whether all earlier use of a workspace is certainly done when the stream comes to what it is
/// asked for next. True for null.
bool may_use(const CUstream_st& stream, const void* workspace);
/// The stream's last entry uses it.
void note_use(const CUstream_st& stream, const void* workspace);

}  // namespace hashep::test::standin
