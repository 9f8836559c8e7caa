// SPDX-License-Identifier: Apache-2.0
#include "launch/train/train_job.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <numbers>
#include <optional>
#include <utility>

#include "comm/gather.hpp"
#include "comm/topology.hpp"
#include "core/atomic_file.hpp"
#include "core/format.hpp"
#include "hashep/adamw.hpp"
#include "hashep/checkpoint.hpp"
#include "hashep/context.hpp"
#include "hashep/error.hpp"
#include "hashep/stack.hpp"
#include "hashep/synthetic_weights.hpp"
#include "hashep/version.hpp"
#include "launch/process/result_json.hpp"
#include "launch/process/standard_streams.hpp"
#include "launch/train/language_model.hpp"
#include "launch/train/train_curve.hpp"
#include "launch/train/train_tokens.hpp"
#include "runtime/layer/make_router.hpp"

namespace hashep {
namespace {

namespace fs = std::filesystem;

/// What is read and checked before ranks make a model.
struct TrainSetup {
  ModelConfig config;
  std::unique_ptr<TokenStream> stream;
  std::optional<TrainTokens> tokens;
  std::shared_ptr<const Router> router;  // null where no layer is routed ahead
  std::vector<Placement> placements;
  uint64_t token_digest = 0;
  std::optional<AtomicFile> json, csv;  // on rank 0
};

void read_inputs(const TrainOptions& options, const Topology& topology, bool writes,
                 TrainSetup& setup) {
  setup.config = synthetic_model(options);
  validate_config(setup.config, "hashep train");
  setup.stream = open_tokens(options, setup.config.vocab_size);
  setup.token_digest = id_digest(*setup.stream, setup.stream->size().value_or(0));
  const int64_t seq_len = sequence_length(options, *setup.stream);
  setup.tokens.emplace(*setup.stream, options.held_out, seq_len, options.context);
  const RoutingSource source = routing_source(options, setup.config, true);
  std::shared_ptr<const Router> router = make_router(setup.config, source, *setup.stream);
  setup.placements = place_experts(options.placement, setup.config, *router, *setup.stream, seq_len,
                                   topology.nodes);
  if (setup.config.shape().num_routed_layers() > 0) setup.router = std::move(router);
  if (!writes) return;
  if (!options.json.empty()) setup.json.emplace(options.json);
  if (!options.csv.empty()) setup.csv.emplace(options.csv);
  const bool has_checkpoints =
      !options.save.empty() && fs::exists(fs::path(options.save) / "latest");
  if (has_checkpoints && !options.resume) {
    throw InputError("--save " + options.save +
                     " has checkpoints: --resume goes on from the latest one");
  }
}

StackOptions stack_options(const TrainOptions& options, const TrainSetup& setup) {
  return {.dtype = options.dtype,
          .residual = false,
          .placements = setup.placements,
          .expected_tokens = options.batch_tokens,
          .gemm_library = options.gemm_library,
          .training = TrainingOptions{.recompute = options.recompute,
                                      .gradient_block = options.gradient_block,
                                      .balance_loss = static_cast<float>(options.balance_loss),
                                      .z_loss = static_cast<float>(options.z_loss),
                                      .bias_step = static_cast<float>(options.bias_step)}};
}

ContextOptions context_options(const TrainOptions& options, Watch& watch,
                               const volatile int* stop_signal) {
  return {.transport = options.transport,
          .deadline = std::chrono::duration<double>(options.deadline),
          .threads = static_cast<int>(options.threads),
          .failure_policy = {std::shared_ptr<void>(), watch.policy()},  // borrowed
          .stop_signal = stop_signal};
}

class Trainer {
 public:
  Trainer(const TrainOptions& options, const std::vector<std::string>& args,
          const Communicator& comm, Watch& watch, const volatile int* stop_signal,
          TrainSetup& setup)
      : options_(options),
        args_(args),
        comm_(comm),
        watch_(watch),
        setup_(setup),
        context_(MPI_COMM_WORLD, context_options(options, watch, stop_signal)),
        stack_(context_, setup.config.shape(), setup.router,
               *make_synthetic_weights(setup.config.shape(), DType::f32,
                                       static_cast<uint64_t>(options.seed)),
               stack_options(options, setup)),
        model_(context_,
               {.vocab_size = setup.config.vocab_size,
                .hidden_size = setup.config.hidden_size,
                .num_layers = setup.config.num_layers,
                .context = options.context,
                .gradient_block = options.gradient_block},
               static_cast<uint64_t>(options.seed)),
        optimizer_(stack_,
                   {.weight_decay = static_cast<float>(options.weight_decay),
                    .clip_norm = static_cast<float>(options.clip_norm)},
                   model_.parameters()) {}

  void run() {
    resume();
    print_start();
    Progress progress(is_first() ? options_.progress : Progress::Style::off, options_.steps,
                      options_.batch_tokens);
    const auto begin = Clock::now();
    const int64_t first = optimizer_.steps();
    submit(first);
    for (int64_t step = first; step < options_.steps; ++step) {
      TrainPoint point = train_step(step);
      const bool is_last = step + 1 == options_.steps;
      if (is_last || (step + 1) % options_.evaluate_every == 0) {
        if (setup_.tokens->held_out() > 0) point.held_out_loss = held_out_loss();
      }
      curve_.push_back(point);
      if (point.held_out_loss || is_last || step == first) print(point, begin, step + 1 - first);
      if (!options_.save.empty() && (is_last || (step + 1) % options_.save_every == 0)) save();
      progress.update(step + 1);
    }
    report();
  }

 private:
  using Clock = std::chrono::steady_clock;

  bool is_first() const { return comm_.rank() == 0; }
  int64_t hidden() const { return setup_.config.hidden_size; }
  int64_t layers() const { return setup_.config.num_layers; }

  /// This rank's part of so many tokens, whole gradient blocks of them.
  Range part_of(int64_t tokens) const {
    const int64_t block = options_.gradient_block;
    const Range blocks = split_range((tokens + block - 1) / block, comm_.size(), comm_.rank());
    return {std::min(tokens, blocks.begin * block), std::min(tokens, blocks.end * block)};
  }

  /// What a checkpoint of this run has, beside parameters and states.
  nlohmann::ordered_json program() const {
    nlohmann::ordered_json settings;
    for (const auto& [name, value] : options_.of_run) settings[name] = value;
    return {{"program", "hashep train"},
            {"settings", settings},
            {"token_digest", setup_.token_digest},
            {"curve", curve_json(curve_)}};
  }

  /// Goes on from a checkpoint, where there is one.
  void resume() {
    if (!options_.resume) return;
    const bool has_one = is_first() && fs::exists(fs::path(options_.save) / "latest");
    if (reduce_max(comm_, watch_, int64_t{has_one ? 1 : 0}) == 0) return;
    const LoadedCheckpoint loaded = load_checkpoint(stack_, optimizer_, options_.save);
    agree(comm_, watch_, [&] {
      const nlohmann::json found = nlohmann::json::parse(loaded.program);
      const auto settings = found.find("settings");
      if (settings == found.end() || !settings->is_object()) {
        throw InputError(loaded.path + ": not a checkpoint of hashep train");
      }
      for (const auto& [name, value] : options_.of_run) {
        const auto then = settings->find(name);
        if (then != settings->end() && *then == value) continue;
        throw InputError(loaded.path + ": was trained with " + name + " " +
                         (then == settings->end() ? "not given" : then->get<std::string>()) +
                         ", not " + value);
      }
      if (found.value("token_digest", uint64_t{0}) != setup_.token_digest) {
        throw InputError(loaded.path + ": was trained on another text than " +
                         options_.tokens.path);
      }
      curve_ = parse_curve(found.value("curve", nlohmann::json()), loaded.path);
    });
    if (is_first()) {
      std::printf("goes on from %s, step %lld\n", loaded.path.c_str(),
                  static_cast<long long>(loaded.steps));
    }
  }

  void save() {
    save_checkpoint(stack_, optimizer_, options_.save,
                    {.vocab_size = setup_.config.vocab_size,
                     .program = program().dump(),
                     .keep_last = static_cast<int>(options_.keep_last)});
  }

  void print_start() const {
    if (!is_first()) return;
    const ModelConfig& config = setup_.config;
    const auto* const routing = options_.baseline == Baseline::learned ? "learned"
                                : options_.baseline == Baseline::dense ? "dense"
                                                                       : "";
    std::printf("hashep %s: %d rank%s x %d thread%s, transport %s, %s\n",
                std::string(version()).c_str(), comm_.size(), comm_.size() == 1 ? "" : "s",
                context_.options().threads, context_.options().threads == 1 ? "" : "s",
                std::string(stack_.transport()).c_str(),
                std::string(stack_.implementation()).c_str());
    std::printf(
        "model: the last %lld of %lld words, %lld layers, d %lld, f %lld, %lld experts, top "
        "%d, %lld shared, %s, router %s, %s\n",
        static_cast<long long>(options_.context), static_cast<long long>(config.vocab_size),
        static_cast<long long>(config.num_layers), static_cast<long long>(config.hidden_size),
        static_cast<long long>(config.ffn_size), static_cast<long long>(config.num_experts),
        config.top_k, static_cast<long long>(config.num_shared_experts),
        std::string(activation_name(config.activation)).c_str(),
        *routing != 0 ? routing : std::string(router_name(config.router)).c_str(),
        std::string(dtype_name(options_.dtype)).c_str());
    std::printf("text: %lld tokens to train on, %lld held out; %lld a step\n",
                static_cast<long long>(setup_.tokens->train_size()),
                static_cast<long long>(setup_.tokens->held_out()),
                static_cast<long long>(options_.batch_tokens));
    std::printf("\n  %8s%10s%12s%12s%14s%12s\n", "step", "loss", "held out", "perplexity",
                "learning rate", "tokens/s");
    flush_stdout();
  }

  void print(const TrainPoint& point, Clock::time_point begin, int64_t steps) const {
    if (!is_first()) return;
    const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    const auto text = [](const char* pattern, const std::optional<double>& value) {
      return value ? format(pattern, *value) : std::string("-");
    };
    std::printf("  %8lld%10.4f%12s%12s%14.2e%12.0f\n", static_cast<long long>(point.step),
                point.loss, text("%.4f", point.held_out_loss).c_str(),
                text("%.2f", point.held_out_loss ? std::optional(std::exp(*point.held_out_loss))
                                                 : std::nullopt)
                    .c_str(),
                point.learning_rate, static_cast<double>(steps * options_.batch_tokens) / seconds);
    flush_stdout();
  }

  double rate_at(int64_t step) const {
    const double rate = options_.learning_rate;
    const auto at = static_cast<double>(step);
    const auto warmup = static_cast<double>(options_.warmup);
    if (step < options_.warmup) return rate * (at + 1.0) / warmup;
    const double left = std::max(1.0, static_cast<double>(options_.steps) - 1.0 - warmup);
    const double cosine = 0.5 * (1.0 + std::cos(std::numbers::pi * (at - warmup) / left));
    return rate * (options_.final_share + (1.0 - options_.final_share) * cosine);
  }

  /// Begins to plan the batch of a step.
  void submit(int64_t step) {
    if (step >= options_.steps) return;
    next_text_ =
        setup_.tokens->train_batch(step, options_.batch_tokens, part_of(options_.batch_tokens));
    next_batch_ = stack_.submit(next_text_.view());
  }

  MatrixView rows(Buffer& buffer, int64_t tokens) {
    buffer.reserve(tokens * hidden() * dtype_size(options_.dtype));
    return buffer.matrix(options_.dtype, tokens, hidden());
  }

  /// x_[layer + 1] <- x_[layer] + layer(norm(x_[layer])) for all layers.
  void forward(const TextBatch& text, const Batch& batch, Tape* tape) {
    const auto size = static_cast<size_t>(text.tokens() * hidden());
    x_.resize(static_cast<size_t>(layers()) + 1);
    for (std::vector<float>& x : x_) x.resize(size);
    model_.begin(text, x_.front());
    std::vector<float> added(size);
    for (int64_t layer = 0; layer < layers(); ++layer) {
      const std::vector<float>& x = x_[static_cast<size_t>(layer)];
      std::vector<float>& next = x_[static_cast<size_t>(layer) + 1];
      const MatrixView state = rows(state_, text.tokens());
      model_.normalise(layer, x, state);
      if (tape != nullptr) {
        stack_.forward_layer(batch, layer, state, state, *tape);
      } else {
        stack_.forward_layer(batch, layer, state, state);
      }
      convert_to_float(state.dtype, state.data, std::ssize(added), added.data());
      for (size_t i = 0; i < size; ++i) next[i] = x[i] + added[i];
    }
  }

  TrainPoint train_step(int64_t step) {
    const auto begin = Clock::now();
    const TextBatch text = std::move(next_text_);
    const Batch batch = std::move(next_batch_);
    submit(step + 1);
    forward(text, batch, &tape_);
    TrainPoint point{.step = step + 1, .learning_rate = rate_at(step)};
    if (setup_.config.gate && (step + 1) % options_.evaluate_every == 0) {
      point.balance = stack_.gate_losses(batch, tape_).balance;
    }
    std::vector<float> gradient(x_.back().size());
    const double scale = 1.0 / static_cast<double>(options_.batch_tokens);
    point.loss = model_.predict(text, x_.back(), scale, gradient).mean();
    for (int64_t layer = layers(); layer-- > 0;) {
      const MatrixView dy = rows(state_, text.tokens());
      convert_from_float(gradient.data(), std::ssize(gradient), dy.dtype, dy.data);
      stack_.backward_layer(batch, layer, tape_, dy, dy);
      model_.normalise_backward(layer, x_[static_cast<size_t>(layer)], dy, gradient);
    }
    model_.begin_backward(text, gradient);
    model_.sum_gradients();
    point.gradient_norm = optimizer_.step(static_cast<float>(point.learning_rate));
    if (!std::isfinite(point.gradient_norm)) {
      throw CollectiveRunError(
          "step " + std::to_string(step + 1) + ": gradients are not finite (a lower --lr may help)",
          is_first());
    }
    step_us_.push_back(std::chrono::duration<double, std::micro>(Clock::now() - begin).count());
    return point;
  }

  /// The mean over the tokens held out.
  double held_out_loss() {
    PredictionLoss all;
    const int64_t tokens = setup_.tokens->held_out();
    for (int64_t first = 0; first < tokens; first += options_.batch_tokens) {
      const Range part = part_of(std::min(options_.batch_tokens, tokens - first));
      const TextBatch text = setup_.tokens->held_out_batch({first + part.begin, first + part.end});
      const Batch batch = stack_.submit(text.view());
      forward(text, batch, nullptr);
      const PredictionLoss loss = model_.predict(text, x_.back(), 0.0, {});
      all.sum += loss.sum;
      all.targets += loss.targets;
    }
    return all.mean();
  }

  void report() {
    const std::vector<double> samples = reduce_max(comm_, watch_, step_us_);
    if (!is_first()) return;
    const ModelConfig& config = setup_.config;
    MeasuredRow row{.name = "step",
                    .transport = std::string(stack_.transport()),
                    .device = "cpu",
                    .dtype = std::string(dtype_name(options_.dtype)),
                    .workload = "tokens",
                    .tokens_per_rank = options_.batch_tokens / comm_.size(),
                    .hidden_size = config.hidden_size,
                    .ffn_size = config.ffn_size,
                    .num_experts = config.num_experts,
                    .top_k = config.top_k,
                    .bytes_off_rank = std::nullopt,
                    .samples_us = samples,
                    .wrong = std::nullopt};
    nlohmann::ordered_json json = row_json(row);
    if (!samples.empty()) {
      json["tokens_per_s"] = static_cast<double>(options_.batch_tokens) / median(samples) * 1e6;
    }
    json["curve"] = curve_json(curve_);
    if (setup_.json) {
      const nlohmann::ordered_json document =
          result_document({.program = "hashep train",
                           .args = args_,
                           .ranks = comm_.size(),
                           .gpu = std::nullopt,
                           .mpi = std::nullopt},
                          nlohmann::ordered_json::array({json}));
      setup_.json->write(document.dump(1) + "\n");
      setup_.json->commit();
    }
    if (setup_.csv) {
      setup_.csv->write(curve_csv(curve_));
      setup_.csv->commit();
    }
    std::printf("\nloss %.4f at step 1, %.4f at step %lld\n", curve_.front().loss,
                curve_.back().loss, static_cast<long long>(curve_.back().step));
  }

  const TrainOptions& options_;
  const std::vector<std::string>& args_;
  const Communicator& comm_;
  Watch& watch_;
  TrainSetup& setup_;
  hashep::Context context_;
  Stack stack_;
  LanguageModel model_;
  AdamW optimizer_;
  std::vector<TrainPoint> curve_;
  TextBatch next_text_;
  Batch next_batch_;
  Tape tape_;
  std::vector<std::vector<float>> x_;  // [num_layers + 1] of [tokens, hidden_size]
  Buffer state_;                       // what a layer reads and writes
  std::vector<double> step_us_;
};

}  // namespace

void train_job(const TrainOptions& options, const std::vector<std::string>& args,
               const Communicator& comm, Watch& watch, const volatile int* stop_signal) {
  require_same_settings(comm, watch, options.settings);
  TrainSetup setup;
  const Topology topology = find_topology(comm, watch);
  agree(comm, watch, [&] { read_inputs(options, topology, comm.rank() == 0, setup); });
  require_same_settings(comm, watch,
                        {{"the token ids", "digest " + std::to_string(setup.token_digest)}});
  Trainer(options, args, comm, watch, stop_signal, setup).run();
}

}  // namespace hashep
