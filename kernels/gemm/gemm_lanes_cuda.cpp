// SPDX-License-Identifier: Apache-2.0
#include "kernels/gemm/gemm_lanes_cuda.hpp"

#include <algorithm>
#include <utility>

#include "core/cuda/device.hpp"

namespace hashep {

GemmLanes::GemmLanes(int count, int64_t workspace_bytes, BeforeFree before_free)
    : workspace_bytes_(workspace_bytes), before_free_(std::move(before_free)), lanes_(count) {
  for (Lane& lane : lanes_) lane.workspace.reserve(workspace_bytes);
  if (count > 1) multiprocessors_ = std::max(1, hashep::multiprocessors() / count);
}

bool GemmLanes::reserve(int64_t first_bytes, int64_t second_bytes) {
  bool moved = false;
  for (Lane& lane : lanes_) {
    moved |= lane.first.reserve(first_bytes, before_free_);
    moved |= lane.second.reserve(second_bytes, before_free_);
  }
  return moved;
}

void GemmLanes::fork(DeviceStream stream) const {
  forked_.record(stream);
  for (const Lane& lane : lanes_) lane.stream.wait(forked_);
}

void GemmLanes::join(DeviceStream stream) const {
  for (const Lane& lane : lanes_) {
    lane.done.record(lane.stream);
    wait_for(stream, lane.done);
  }
}

int64_t GemmLanes::bytes() const {
  int64_t sum = 0;
  for (const Lane& lane : lanes_) {
    sum += lane.workspace.capacity() + lane.first.capacity() + lane.second.capacity();
  }
  return sum;
}

}  // namespace hashep
