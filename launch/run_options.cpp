// SPDX-License-Identifier: Apache-2.0
#include "launch/run_options.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "hashep/error.hpp"
#include "hashep/version.hpp"
#include "kernels/gemm/gemm_library.hpp"
#include "launch/describe_run_options.hpp"
#include "launch/process/command_line.hpp"
#include "runtime/layer/backend_factory.hpp"

namespace hashep {
namespace {

/// Options of a synthetic model that others leave without effect.
void require_used_options(const RunOptions& options) {
  const ModelConfig& model = options.synthetic;
  if (options.layers == ModelLayers::all) throw InputError("--layers all goes with --model DIR");
  if (options.accept_unused) throw InputError("--accept-unused goes with --model DIR");
  if (options.weight_memory > 0) throw InputError("--weight-memory goes with --model DIR");
  if (options.weight_form != WeightForm::automatic) {
    throw InputError("--weights goes with --model DIR");
  }
  const bool has_score = model.score != Score::none || options.gate == GateKind::noaux_tc;
  if (model.routed_scaling_factor != 1.0f && !has_score) {
    throw InputError(
        "--routed-scaling-factor goes with --score sqrtsoftplus or sigmoid, not with "
        "none");
  }
  if (model.swiglu_limit > 0.0f && model.activation != Activation::silu) {
    throw InputError("--swiglu-limit goes with --activation silu, not with " +
                     std::string(activation_name(model.activation)));
  }
}

void require_positive_seconds(const char* option, double seconds) {
  if (std::isfinite(seconds) && seconds > 0.0) return;
  throw InputError(std::string(option) + ": must be a positive number of seconds");
}

/// What this build and machine cannot do, and what options tell together.
void validate(const RunOptions& options) {
  require_device(options.device);
  require_gemm_library(options.gemm_library);
  require_transport(options.transport);
  // Every product of sizes is within int64.
  require_between("--steps", options.steps, 1,
                  std::numeric_limits<int64_t>::max() / options.batch_tokens);
  require_positive_seconds("--deadline", options.deadline);
  require_positive_seconds("--setup-deadline", options.setup_deadline);
  if (options.node_reduce && options.transport != TransportKind::hier &&
      options.transport != TransportKind::automatic) {
    throw InputError("--node-reduce goes with --transport hier or auto, not with " +
                     std::string(transport_name(options.transport)));
  }
  if (options.model.empty()) require_used_options(options);
  if (!options.weights_ahead && options.weight_memory == 0) {
    throw InputError("--read-ahead goes with --weight-memory");
  }
}

}  // namespace

bool RunOptions::is_given(const std::string& option) const {
  return std::find(given.begin(), given.end(), option) != given.end();
}

RunCommandLine parse_run_command_line(int argc, const char* const* argv) {
  RunOptions options;
  CLI::App app(
      "Runs expert-parallel MoE layers, hash-routed ones, over batches of tokens. Start it alone "
      "or with mpirun: mpirun -np 4 hashep run --tokens FILE.bin --vocab-size 32000. Numbers "
      "take K, M, G (powers of 1024).",
      "hashep run");
  app.option_defaults()->always_capture_default();
  OptionTable table(app);
  describe_run_options(table, options);
  if (std::optional<std::string> answer = parse_command_line(app, argc, argv)) {
    return {std::nullopt, std::move(*answer)};
  }
  for (const CLI::Option* option : app.get_options()) {
    if (option->count() > 0) options.given.push_back(option->get_name());
  }
  if (options.weight_memory > 0 && !options.is_given("--plan-depth")) {
    options.plan_depth = kPlanDepthOfStreams;
  }
  require_routing(app, options);
  validate(options);
  options.settings = table.settings();
  options.settings.insert(options.settings.begin(), {"version", std::string(version())});
  return {std::move(options), ""};
}

}  // namespace hashep
