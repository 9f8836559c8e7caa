// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "core/cuda/device_buffer.hpp"
#include "core/cuda/stream.hpp"
#include "kernels/gemm/linear_gemm_cublas.hpp"

namespace hashep {

/// Streams on which experts' tiles run side by side, so that the GEMMs of a few rows do not leave
/// most of the GPU idle. Each lane has its own scratch memory and cuBLAS workspace; what runs on
/// which lane changes no bit. Used by one caller at a time, between `fork` and `join`.
class GemmLanes {
 public:
  /// `workspace_bytes`: of cuBLAS, for each lane. `before_free`: where `reserve` has to free.
  GemmLanes(int count, int64_t workspace_bytes, BeforeFree before_free = {});

  int count() const { return static_cast<int>(lanes_.size()); }
  int64_t workspace_bytes() const { return workspace_bytes_; }
  /// What one lane's GEMM is to take of the GPU, so that those of all lanes fit beside each other;
  /// 0 where there is one lane: all.
  int multiprocessors() const { return multiprocessors_; }

  /// Also for other memory that the lanes' work uses.
  const BeforeFree& before_free() const { return before_free_; }

  /// Makes room in every lane, ahead of a step; true where addresses have changed.
  bool reserve(int64_t first_bytes, int64_t second_bytes);

  /// All lanes' work from now on comes after what `stream` has been asked for.
  void fork(DeviceStream stream) const;
  /// What `stream` is asked for from now on comes after all lanes' work.
  void join(DeviceStream stream) const;

  DeviceStream stream(int lane) const { return at(lane).stream; }
  GemmWorkspace workspace(int lane) const { return {at(lane).workspace.data(), workspace_bytes_}; }
  const DeviceBuffer& first(int lane) const { return at(lane).first; }
  const DeviceBuffer& second(int lane) const { return at(lane).second; }

  /// Bytes of scratch and workspaces, all lanes.
  int64_t bytes() const;

 private:
  struct Lane {
    CudaStream stream;
    CudaEvent done;
    DeviceBuffer workspace;
    DeviceBuffer first;
    DeviceBuffer second;
  };

  const Lane& at(int lane) const { return lanes_[lane]; }

  int64_t workspace_bytes_;
  int multiprocessors_ = 0;
  BeforeFree before_free_;
  CudaEvent forked_;
  std::vector<Lane> lanes_;
};

}  // namespace hashep
