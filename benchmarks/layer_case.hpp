// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "benchmarks/layer_steps.hpp"
#include "benchmarks/layer_table.hpp"
#include "benchmarks/layer_yardsticks.hpp"
#include "benchmarks/rank_options.hpp"
#include "benchmarks/workload.hpp"
#include "comm/communicator.hpp"
#include "comm/exchange/transport.hpp"
#include "comm/watch.hpp"
#include "hashep/buffer.hpp"
#include "hashep/phase.hpp"
#include "hashep/weight_source.hpp"
#include "runtime/layer/layer_stack.hpp"
#include "runtime/model/model_config.hpp"

namespace hashep::bench {

/// The model of layers of this width. Throws InputError.
ModelConfig layer_config(const LayerOptions& options, int64_t ffn_size);

/// MoE layers of one size and dtype on the ranks of `comm`, with seeded weights and hidden states,
/// planned in one way or several, beside their yardsticks (see LayerYardsticks). As after many
/// batches, no tile shape is new: all kernels are made beforehand.
class LayerCase {
 public:
  /// References, and what `ranks` refers to, must outlive the case. Reads weights; collective.
  LayerCase(const LayerOptions& options, const ModelConfig& config, DType dtype,
            const Workload& workload, Transport& transport, const JobRanks& ranks);
  LayerCase(const LayerCase&) = delete;  // its stack refers to its weights
  LayerCase& operator=(const LayerCase&) = delete;

  /// What the experts' GEMMs run on, one line.
  std::string implementation() const { return std::string(stack_.implementation()); }

  /// Checks, times all in turn, and checks again. Rows: for each way of planning its phases and
  /// `layer`; with several ways a `layer` with its plans at hand too; `gemm_alone`, `copy_bound`.
  /// Collective.
  std::vector<LayerRow> measure();

  /// After `measure`: what the phase took on this rank with the first way of planning, in
  /// microseconds, one for each sample of `layer`; empty where it never came. Local.
  std::vector<double> own_samples(Phase phase) const {
    return ways_.front().steps->newest(phase, options_.common.sampling.samples);
  }

  /// `sign` is called before each sample, untimed: a sign of life to ranks that wait.
  void before_samples(std::function<void()> sign) { before_sample_ = std::move(sign); }

 private:
  /// One way of planning.
  struct Way {
    std::unique_ptr<LayerSteps> steps;
    int64_t wrong = 0;  // of this rank: checks that failed, and rows that differ
  };
  /// [thing][step], as time_in_turn_on_ranks gives them: the ways', then the yardsticks'.
  using Samples = std::vector<std::vector<RankSamples>>;

  int threads() const { return static_cast<int>(options_.common.threads); }
  ExecOptions exec_options() const {
    return {.dtype = dtype_,
            .threads = threads(),
            .watch = &watch_,
            .gemm_library = options_.gemm_library};
  }
  int64_t tokens() const { return options_.common.tokens_per_rank; }
  bool residual() const { return config_.num_layers > 1; }
  MatrixView view(Buffer& buffer) const {
    return buffer.matrix(dtype_, tokens(), config_.hidden_size);
  }

  void make_input();
  /// The batch of step 0: the first way's result against the naive oracle, the others' against that
  /// bit for bit.
  void check_first_batch();
  /// The next batch of each way that plans by itself, against the oracle.
  void check_next_batch();
  /// Runs a batch, and takes a sample of this rank's tokens: 0 where they are what the oracle makes
  /// of them, else 1.
  int64_t run_checked(LayerSteps& steps);

  const RankSamples& yardstick(const Samples& samples, LayerYardsticks::Thing thing) const {
    return samples[ways_.size() + thing].front();
  }
  const RankSamples& copy_bound(const Samples& samples) const;

  std::vector<LayerRow> make_rows(const Samples& samples);
  std::vector<LayerRow> step_rows(const Way& way, const RankSamples& layer);
  LayerRow make_row(const std::string& name, const RankSamples& samples) const;
  /// Fills in rates, shares of the bounds and bytes.
  void complete_rows(const Samples& samples, std::vector<LayerRow>& rows);

  const LayerOptions& options_;
  const ModelConfig& config_;
  DType dtype_;
  const Workload& workload_;
  Transport& transport_;
  const Communicator& comm_;
  Watch& watch_;
  std::unique_ptr<WeightSource> weights_;
  LayerStack stack_;
  LayerYardsticks yardsticks_;
  Buffer input_;   // [tokens, hidden_size]
  Buffer state_;   // the same, what the layers work on
  Buffer output_;  // the same, of one layer, where there are several
  std::vector<Way> ways_;
  std::function<void()> before_sample_;  // may be empty
};

}  // namespace hashep::bench
