// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "benchmarks/expert_gemms.hpp"
#include "benchmarks/rank_options.hpp"
#include "benchmarks/workload.hpp"
#include "comm/communicator.hpp"
#include "comm/transport/transport.hpp"
#include "comm/watch.hpp"
#include "core/buffer.hpp"
#include "core/phase.hpp"
#include "core/result_json.hpp"
#include "runtime/exec/layer_stack.hpp"
#include "runtime/exec/phase_log.hpp"
#include "runtime/exec/plan_pipeline.hpp"
#include "runtime/model/weight_source.hpp"

namespace hashep::bench {

/// The model of a layer of this width. Throws InputError.
ModelConfig layer_config(const LayerOptions& options, int64_t ffn_size);

/// One MoE layer of one size and dtype on the ranks of `comm`, with seeded weights and hidden
/// states, beside the GEMMs of the same rows with nothing else.
class LayerCase {
 public:
  /// References must outlive the case. Reads weights; collective (duplicates `comm`).
  LayerCase(const LayerOptions& options, const ModelConfig& config, DType dtype,
            const Workload& workload, Transport& transport, const Communicator& comm, Watch& watch);
  LayerCase(const LayerCase&) = delete;  // its stack refers to its weights
  LayerCase& operator=(const LayerCase&) = delete;

  /// What the experts' GEMMs run on, one line.
  std::string implementation() const { return std::string(stack_.implementation()); }

  /// Checks, times, and checks again. All rows: `plan` (routing the next batch and completing the
  /// plan of this one, beside the layer), the layer's phases, `layer`, `gemm_alone`. Collective.
  std::vector<MeasuredRow> measure();

  /// After `measure`: this rank's own newest samples of a phase, in microseconds, one for each of
  /// `layer`; empty where this rank has not so many. Local.
  std::vector<double> own_samples(Phase phase) const;

  /// `sign` is called before each batch, which is not timed: for a sign of life to ranks that wait.
  void before_batches(std::function<void()> sign) { before_batch_ = std::move(sign); }

 private:
  int threads() const { return static_cast<int>(options_.common.threads); }
  int64_t tokens() const { return options_.common.tokens_per_rank; }
  int64_t rounds() const {
    return int64_t{1} + options_.common.sampling.warmup + options_.common.sampling.samples;
  }
  MatrixView input() { return input_.matrix(dtype_, tokens(), config_.hidden_size); }
  MatrixView state() { return state_.matrix(dtype_, tokens(), config_.hidden_size); }

  void make_input();
  /// As a run does between two steps: the plan of this batch comes, the exchange for the next one
  /// begins. And fresh hidden states, as the layer works in place.
  void next_batch();
  /// Adds what is wrong in the newest results, tokens of the layer and rows of the experts alone.
  void check();
  /// The newest samples of a phase, each the slowest rank's.
  std::vector<double> phase(Phase phase) const;
  std::vector<MeasuredRow> rows(const std::vector<double>& layer,
                                const std::vector<double>& gemm_alone);
  MeasuredRow blank() const;

  const LayerOptions& options_;
  const ModelConfig& config_;
  DType dtype_;
  const Workload& workload_;
  Transport& transport_;
  const Communicator& comm_;
  Watch& watch_;
  std::unique_ptr<WeightSource> weights_;
  LayerStack stack_;
  ExpertGemms gemms_;
  PhaseLog log_;
  PlanPipeline pipeline_;
  const BatchPlan* plan_ = nullptr;     // of the newest batch
  Buffer input_;                        // [tokens, hidden_size]
  Buffer state_;                        // the same, what the layer works on
  std::function<void()> before_batch_;  // may be empty
  int64_t wrong_in_layer_ = 0;
  int64_t wrong_in_gemms_ = 0;
};

}  // namespace hashep::bench
