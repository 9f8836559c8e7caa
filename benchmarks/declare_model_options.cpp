// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/declare_model_options.hpp"

#include <map>

#include "benchmarks/declare_workload.hpp"
#include "benchmarks/option_types.hpp"

namespace hashep::bench {
namespace {

void add_results(CLI::App& command, std::vector<std::string>& results) {
  command.add_option("--results", results, "Results of exchange, layer or experts; or simulated")
      ->type_name("FILE");
}

void add_holdout(CLI::App& command, int64_t& holdout) {
  command.add_option("--holdout", holdout, "Hold out every so many sizes of a sweep; 0: none")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str();
}

void declare_routing(CLI::App& command, JobRouting& routing) {
  declare_workload(command, routing.workload);
  command
      .add_option("--placement", routing.placement,
                  "Experts on ranks: contiguous, balanced or a placement file")
      ->capture_default_str();
}

}  // namespace

void declare_fit(CLI::App& command, FitOptions& options) {
  add_results(command, options.results);
  command.get_option("--results")->required();
  command.add_option("--base", options.base, "The profile that says what is not fitted")
      ->required()
      ->type_name("FILE");
  command.add_option("--output", options.output, "Write the fitted profile here")
      ->type_name("FILE");
  add_holdout(command, options.holdout);
}

void declare_check(CLI::App& command, CheckOptions& options) {
  command.add_option("--machine", options.machine, "The profile to check")
      ->required()
      ->type_name("FILE");
  add_results(command, options.results);
  command.add_option("--published", options.published, "Published figures to compare with")
      ->type_name("FILE");
  add_holdout(command, options.holdout);
}

void declare_predict(CLI::App& command, PredictOptions& options) {
  add_counts(command, "--predict", options.ranks,
             "Predict jobs of so many ranks instead of measuring, from --machine; without mpirun");
  add_count(command, "--base-ranks", options.base_ranks,
            "The number of ranks whose efficiency is 100 % [the smallest of --predict]");
  command.add_option("--machine", options.machine, "Machine profile to predict from")
      ->type_name("FILE");
  add_count(command, "--ranks-per-node", options.ranks_per_node, "Ranks of a node [the profile's]");
  add_count(command, "--tokens-per-rank", options.tokens_per_rank,
            "Tokens of a rank; of the smallest job where the batch stays [16K]");
  add_count(command, "--hidden-size", options.hidden_size, "Width of a token [1024]");
  add_count(command, "--ffn-size", options.ffn_size, "Width of an expert [4096]");
  CLI::Option* num_experts =
      add_count(command, "--num-experts", options.num_experts, "Experts, over all ranks [16]");
  add_count(command, "--experts-per-rank", options.experts_per_rank,
            "Experts of a rank instead, so that experts grow with ranks")
      ->excludes(num_experts);
  add_count(command, "--top-k", options.top_k, "Experts of a token [1]");
  add_count(command, "--num-shared-experts", options.num_shared_experts, "On every rank [0]");
  const std::map<std::string, Activation> activations{
      {"relu", Activation::relu}, {"gelu", Activation::gelu}, {"silu", Activation::silu}};
  command.add_option("--activation", options.activation, "relu, gelu or silu (SwiGLU) [silu]")
      ->transform(CLI::CheckedTransformer(activations));
  add_dtypes(command, options.dtypes, "fp32, bf16 [fp32]");
  declare_routing(command, options.routing);
  command
      .add_option("--transport", options.transport,
                  "auto (in a node shm or ipc, else hier), mpi, shm, hier, nccl or ipc")
      ->capture_default_str();
  command.add_flag("--node-reduce", options.node_reduce,
                   "hier: results of a node return as one sum");
  command.add_option("--scaling", options.scaling, "weak, strong or both")
      ->check(CLI::IsMember({"weak", "strong", "both"}))
      ->capture_default_str();
}

}  // namespace hashep::bench
