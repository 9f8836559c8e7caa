// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <barrier>
#include <span>
#include <vector>

#include "comm/exchange/transport.hpp"
#include "hashep/buffer.hpp"

namespace hashep {

/// What the ranks of transport `local` share: R ranks as R threads of one process.
class LocalGroup {
 public:
  explicit LocalGroup(int ep_size);

  int ep_size() const { return static_cast<int>(expert_rows_.size()); }

 private:
  friend class LocalTransport;

  std::barrier<> barrier_;
  std::vector<std::byte*> expert_rows_;   // [ep_size]: each rank's expert-major rows
  std::vector<std::span<float>> values_;  // [ep_size]: and its values beside them
};

/// Transport `local`, for tests: a source writes each row once, straight to its final place in the
/// owner's expert-major buffer, and reads the result there. Each rank is a thread of one
/// process; the barriers have no deadline.
class LocalTransport final : public Transport {
 public:
  /// `group` must outlive the transport.
  LocalTransport(LocalGroup& group, int ep_rank);

  std::string_view name() const override { return "local"; }
  bool reserve(std::span<const ExchangePlan> plans, DType dtype, int64_t hidden_size,
               const BeforeFree& before_free) override;
  MatrixView expert_rows(const ExchangePlan& plan) override {
    return expert_buffer_.matrix(dtype_, plan.total_recv(), hidden_size_);
  }
  std::unique_ptr<Exchange> make_exchange() override;
  int64_t buffer_bytes() const override { return expert_buffer_.capacity(); }

 private:
  class LayerExchange;

  LocalGroup& group_;
  int ep_rank_;
  DType dtype_ = DType::f32;
  int64_t hidden_size_ = 0;
  Buffer expert_buffer_;  // expert-major, at the owner
};

}  // namespace hashep
