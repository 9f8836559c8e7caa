// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "core/device_stream.hpp"

struct CUevent_st;  // CUDA's own name for what cudaEvent_t points to

namespace hashep {

class CudaEvent;

/// Owns a stream of the current GPU that does not wait for the default stream. All calls return
/// before what they ask for is done, but `synchronize`.
class CudaStream {
 public:
  enum class Priority { usual, highest };

  /// Of streams whose work could run at once, the GPU gives place to that of higher priority first.
  explicit CudaStream(Priority priority = Priority::usual);
  ~CudaStream();
  CudaStream(CudaStream&& other) noexcept;
  CudaStream& operator=(CudaStream&&) = delete;

  DeviceStream get() const { return {handle_}; }
  operator DeviceStream() const { return get(); }

  void wait(const CudaEvent& event) const;  // see wait_for
  /// Returns when all is done. Not inside a step.
  void synchronize() const;

 private:
  CUstream_st* handle_ = nullptr;
};

/// Owns an event.
class CudaEvent {
 public:
  enum class Kind { ordering, timing };

  explicit CudaEvent(Kind kind = Kind::ordering);
  ~CudaEvent();
  CudaEvent(CudaEvent&& other) noexcept;
  CudaEvent& operator=(CudaEvent&&) = delete;

  /// Marks what `stream` has been asked for so far. While the stream is captured: for order within
  /// the graph alone.
  void record(DeviceStream stream) const;
  /// The same; while the stream is captured, each replay of the graph records the event.
  void record_in_graph(DeviceStream stream) const;
  /// Whether the last record's work is done (also where there was none). Never waits.
  bool is_done() const;
  CUevent_st* handle() const { return handle_; }

 private:
  CUevent_st* handle_ = nullptr;
};

/// What is asked of `stream` from now on comes after the event's last record; an event that was
/// never recorded is over.
void wait_for(DeviceStream stream, const CudaEvent& event);

/// Microseconds between two timing events that are done.
double microseconds_between(const CudaEvent& begin, const CudaEvent& end);
/// The same, nothing where one of them is not done or was never recorded. An event of a graph may
/// become so at any time while a replay of it is under way, also where it was done a moment ago.
std::optional<double> microseconds_if_known(const CudaEvent& begin, const CudaEvent& end);

/// to[0, bytes) = from[0, bytes), in stream order; either may be GPU memory or pinned memory.
/// Nothing where bytes is 0.
void copy_async(void* to, const void* from, int64_t bytes, DeviceStream stream);
/// Sets bytes to `value`, in stream order.
void fill_async(void* to, int value, int64_t bytes, DeviceStream stream);

}  // namespace hashep
