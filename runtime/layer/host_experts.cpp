// SPDX-License-Identifier: Apache-2.0
#include "runtime/layer/host_experts.hpp"

#include "kernels/ffn/expert_ffn.hpp"
#include "runtime/layer/stack_experts.hpp"

namespace hashep {
namespace {

class PackedExperts final : public HostExperts {
 public:
  PackedExperts(const ModelConfig& config, const HostExpertsOptions& options)
      : experts_{ExpertFfn(config.routed_shape(), options.dtype, options.num_routed,
                           options.threads, options.library),
                 std::nullopt} {
    if (config.num_shared_experts == 0) return;
    experts_.shared.emplace(config.shared_shape(), options.dtype, options.num_layers,
                            options.threads, options.library);
  }

  LayerWeightSink sink(int64_t layer, int64_t first_expert) override {
    return experts_.sink(layer, first_expert, {});
  }
  bool has_shared() const override { return experts_.shared.has_value(); }

  void prepare_kernels(int64_t global_tokens) override {
    experts_.routed.prepare_all_tiles(global_tokens);  // a token has an expert once
    if (has_shared()) experts_.shared->prepare_aligned_kernels(shared_tile_rows(global_tokens));
  }

  void prepare(const ExchangePlan& plan, const BatchPlace& place) override {
    experts_.routed.prepare(plan.expert_offsets);
    if (has_shared()) experts_.shared->prepare_aligned(shared_tile_rows(place.global_tokens));
  }

  void run_tiles(std::span<const ExpertTile> tiles, MatrixView rows, int64_t first_expert,
                 const FfnTape&) override {
    experts_.routed.run_tiles(tiles, rows, first_expert);
  }

  void run_shared(int64_t layer, ConstMatrixView x, const BatchPlace& place, MatrixView out,
                  const FfnTape&) override {
    experts_.shared->run_aligned(x, place.first_token, shared_tile_rows(place.global_tokens), out,
                                 layer);
  }

  int64_t weight_bytes() const override {
    return experts_.routed.weight_bytes() + (has_shared() ? experts_.shared->weight_bytes() : 0);
  }
  int64_t scratch_bytes() const override {
    return experts_.routed.scratch_bytes() + (has_shared() ? experts_.shared->scratch_bytes() : 0);
  }
  std::string_view implementation() const override { return experts_.routed.implementation(); }

 private:
  StackExperts<ExpertFfn> experts_;
};

}  // namespace

std::unique_ptr<HostExperts> make_packed_experts(const ModelConfig& config,
                                                 const HostExpertsOptions& options) {
  return std::make_unique<PackedExperts>(config, options);
}

}  // namespace hashep
