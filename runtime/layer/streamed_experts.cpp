// SPDX-License-Identifier: Apache-2.0
#include "runtime/layer/streamed_experts.hpp"

#include <algorithm>
#include <array>
#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/setting.hpp"
#include "hashep/error.hpp"
#include "kernels/ffn/expert_ffn.hpp"
#include "runtime/layer/stack_experts.hpp"
#include "runtime/layer/stored_experts.hpp"
#include "runtime/model/require_finite.hpp"
#include "runtime/model/weight_store.hpp"

namespace hashep {
namespace {

class StreamedExperts final : public HostExperts {
 public:
  StreamedExperts(const ModelConfig& config, const HostExpertsOptions& options,
                  const WeightSource& weights, std::span<const Placement> placements, int ep_rank,
                  const StreamingOptions& streaming)
      : dtype_(options.dtype),
        reads_ahead_(streaming.reads_ahead),
        check_finite_(streaming.check_finite),
        experts_(find_stored_experts(weights, placements, ep_rank)) {
    if (config.gate) {
      throw InputError(
          setting("weight_memory") +
          ": a learned gate chooses experts when its layer is reached, and none can be "
          "read ahead");
    }
    if (streaming.form == WeightForm::expanded) {
      throw InputError(setting("weight_memory") + ": weights that are streamed stay packed");
    }
    for_each_layer(placements, ep_rank, [&](int64_t, std::span<const int32_t>, int64_t first) {
      first_expert_.push_back(first);
    });
    if (config.num_shared_experts > 0) {
      shared_.emplace(config.shared_shape(), options.dtype, options.num_layers, options.threads,
                      options.library);
    }
    budget_ = streaming_budget(config, options.dtype, options.library, experts_, streaming.memory);
    routed_.emplace(config.routed_shape(), options.dtype, budget_.slots + budget_.spare,
                    options.threads, options.library);
    routed_->expect_quantised();
    std::vector<std::vector<FileRange>> items;
    for (const StoredExpert& expert : experts_) items.push_back(expert.stored.parts);
    store_.emplace(
        std::move(items),
        WeightStore::Options{.slots = budget_.slots,
                             .spare = budget_.spare,
                             .buffers = budget_.buffers,
                             .lookahead = streaming.reads_ahead ? streaming.lookahead : 0},
        [this](int64_t item, int slot, std::span<const std::byte* const> parts) {
          unpack(item, slot, parts, *routed_);
        });
    implementation_ = std::string(routed_->implementation()) + "; " +
                      std::to_string(budget_.slots) + " of " + std::to_string(experts_.size()) +
                      " experts in memory, " + store_->how();
  }

  LayerWeightSink sink(int64_t layer, int64_t) override {
    return {.routed = {},
            .shared = [this, layer](const FfnWeights& w) { shared_->set_expert(layer, w); },
            .gate = {}};
  }
  bool has_shared() const override { return shared_.has_value(); }

  void prepare_kernels(int64_t global_tokens) override {
    routed_->prepare_all_tiles(global_tokens);
    if (has_shared()) shared_->prepare_aligned_kernels(shared_tile_rows(global_tokens));
  }

  void prepare(const ExchangePlan& plan, const BatchPlace& place) override {
    for_each_tile(plan.expert_offsets, [&](const ExpertTile& tile) {
      const std::array one = {int64_t{0}, tile.count};
      routed_->prepare(one);
    });
    if (has_shared()) shared_->prepare_aligned(shared_tile_rows(place.global_tokens));
  }

  void expect(const BatchPlan& plan) override {
    if (!reads_ahead_) return;
    if (std::ranges::find(expected_, plan.step) != expected_.end()) return;
    expected_.push_back(plan.step);
    std::vector<int64_t> uses;
    for (size_t layer = 0; layer < plan.layers.size(); ++layer) {
      add_uses(plan.layers[layer], static_cast<int64_t>(layer), uses);
    }
    store_->announce(uses);
  }

  void begin(const BatchPlan& plan) override {
    if (!reads_ahead_) return;
    if (expected_.empty() || expected_.front() != plan.step) {
      forget();
      expect(plan);
    }
    expected_.pop_front();
  }

  void begin_layer(const BatchPlan& plan, int64_t layer) override {
    if (!reads_ahead_) return;
    forget();
    std::vector<int64_t> uses;
    add_uses(plan.layers[layer], layer, uses);
    store_->announce(uses);
  }

  void run_tiles(std::span<const ExpertTile> tiles, MatrixView rows, int64_t first_expert,
                 const FfnTape&) override {
    std::vector<ExpertTile>& ready = ready_tiles_;
    for (size_t i = 0; i < tiles.size();) {
      ready.clear();
      int64_t count = 0;
      do {
        const int64_t expert = tiles[i].expert;
        if (!reads_ahead_) store_->announce(std::array{first_expert + expert});
        const int slot = store_->acquire(first_expert + expert);
        ++count;
        for (; i < tiles.size() && tiles[i].expert == expert; ++i) {
          ready.push_back({slot, tiles[i].first_row, tiles[i].count});
        }
      } while (i < tiles.size() && store_->is_ready());
      routed_->run_tiles(ready, rows, 0);
      store_->release(count);
    }
  }

  void run_shared(int64_t layer, ConstMatrixView x, const BatchPlace& place, MatrixView out,
                  const FfnTape&) override {
    shared_->run_aligned(x, place.first_token, shared_tile_rows(place.global_tokens), out, layer);
  }

  int64_t weight_bytes() const override {
    return (budget_.slots + budget_.spare) * budget_.slot_bytes + store_->buffer_bytes() +
           (has_shared() ? shared_->weight_bytes() : 0);
  }
  int64_t scratch_bytes() const override {
    return routed_->scratch_bytes() + (has_shared() ? shared_->scratch_bytes() : 0);
  }
  std::string_view implementation() const override { return implementation_; }
  std::optional<StreamingStats> streaming() const override {
    const StoreStats of = store_->stats();
    return StreamingStats{.slots = budget_.slots,
                          .slot_bytes = budget_.slot_bytes,
                          .buffer_bytes = store_->buffer_bytes(),
                          .uses = of.uses,
                          .loads = of.loads,
                          .bytes_read = of.bytes_read,
                          .least_loads = of.least_loads,
                          .lru_loads = of.lru_loads,
                          .wait_s = of.wait_s,
                          .unpack_s = of.unpack_s};
  }

 private:
  void unpack(int64_t item, int slot, std::span<const std::byte* const> parts,
              ExpertFfn& to) const {
    const StoredExpert& expert = experts_[item];
    const FfnWeights weights = expert.stored.weights(parts);
    if (check_finite_) require_finite(weights, expert.name, dtype_);
    to.set_expert(slot, weights, 1);
  }

  void add_uses(const ExchangePlan& plan, int64_t layer, std::vector<int64_t>& uses) const {
    for (size_t i = 0; i + 1 < plan.expert_offsets.size(); ++i) {
      if (plan.expert_offsets[i] == plan.expert_offsets[i + 1]) continue;
      uses.push_back(first_expert_[layer] + static_cast<int64_t>(i));
    }
  }

  void forget() {
    store_->restart();
    expected_.clear();
  }

  DType dtype_;
  bool reads_ahead_;
  bool check_finite_;
  std::vector<StoredExpert> experts_;  // by item: the place among this rank's experts
  std::vector<int64_t> first_expert_;  // of each layer
  StreamingBudget budget_;
  std::optional<ExpertFfn> shared_;
  std::optional<ExpertFfn> routed_;  // by slot
  std::string implementation_;
  std::deque<int64_t> expected_;  // steps of batches that were announced and not begun
  std::vector<ExpertTile> ready_tiles_;
  std::optional<WeightStore> store_;  // goes first: its thread writes to `routed_`
};

}  // namespace

std::unique_ptr<HostExperts> make_streamed_experts(const ModelConfig& config,
                                                   const HostExpertsOptions& options,
                                                   const WeightSource& weights,
                                                   std::span<const Placement> placements,
                                                   int ep_rank, const StreamingOptions& streaming) {
  return std::make_unique<StreamedExperts>(config, options, weights, placements, ep_rank,
                                           streaming);
}

}  // namespace hashep
