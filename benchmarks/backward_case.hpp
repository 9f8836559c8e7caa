// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "benchmarks/backward_gemms.hpp"
#include "benchmarks/expert_gemms.hpp"
#include "benchmarks/layer_table.hpp"
#include "benchmarks/phase_samples.hpp"
#include "benchmarks/rank_options.hpp"
#include "benchmarks/workload.hpp"
#include "comm/exchange/transport.hpp"
#include "hashep/buffer.hpp"
#include "hashep/weight_source.hpp"
#include "runtime/layer/layer_stack.hpp"

namespace hashep::bench {

/// Forward and backward of MoE layers of one size and dtype on the ranks of `comm`, for one batch
/// whose plans are at hand, beside their GEMMs alone (`hashep-bench layer --backward`).
class BackwardCase {
 public:
  /// References, and what `ranks` refers to, must outlive the case. Reads weights; collective.
  BackwardCase(const LayerOptions& options, const ModelConfig& config, DType dtype,
               const Workload& workload, Transport& transport, const JobRanks& ranks);
  BackwardCase(const BackwardCase&) = delete;  // its stack refers to its weights
  BackwardCase& operator=(const BackwardCase&) = delete;

  std::string implementation() const { return std::string(stack_.implementation()); }

  /// Checks, times all in turn, and checks again. Rows: the phases of a step, `step` (forward and
  /// backward), `optimizer`, `gemm_alone`, `gemm_alone_backward`. Collective.
  std::vector<LayerRow> measure();

 private:
  int threads() const { return static_cast<int>(options_.common.threads); }
  ExecOptions exec_options() const {
    return {.dtype = dtype_,
            .threads = threads(),
            .watch = &watch_,
            .gemm_library = options_.gemm_library,
            .training = TrainingOptions{}};
  }
  int64_t tokens() const { return options_.common.tokens_per_rank; }
  MatrixView view(Buffer& buffer) const {
    return buffer.matrix(dtype_, tokens(), config_.hidden_size);
  }

  void plan_batch(const JobRanks& ranks);
  void run_step();
  void run_optimizer();
  /// What memory gives: streams as many floats as there are parameters from one place to another.
  void run_copy();
  /// Some tokens' gradients of inputs against the oracle's, and gradients of weights against what
  /// follows from outputs. How many are wrong, of this rank; collective.
  int64_t check();
  int64_t wrong_tokens();
  int64_t wrong_weights();
  void dump();
  LayerRow make_row(const std::string& name, const RankSamples& samples) const;

  const LayerOptions& options_;
  const ModelConfig& config_;
  DType dtype_;
  const Workload& workload_;
  Transport& transport_;
  const Communicator& comm_;
  Watch& watch_;
  std::unique_ptr<WeightSource> weights_;
  LayerStack stack_;
  ExpertGemms forward_gemms_;
  BackwardGemms backward_gemms_;
  PhaseSamples phases_;
  BatchPlan plan_;
  StackTape tape_;
  Buffer input_;     // [tokens, hidden_size]
  Buffer output_;    // the same: of forward
  Buffer gradient_;  // the same: of outputs, then of inputs
  Buffer moments_;   // of AdamW, two for each parameter
  Buffer copied_;    // a float for each
};

}  // namespace hashep::bench
