// SPDX-License-Identifier: Apache-2.0
#include "hashep/adamw.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <string>
#include <utility>

#include "comm/agreement.hpp"
#include "comm/gather.hpp"
#include "hashep/error.hpp"
#include "hashep/stack.hpp"
#include "kernels/optimizer/adamw.hpp"
#include "runtime/face/stack_impl.hpp"

namespace hashep {
namespace {

void require_in(const char* name, float value, bool is_in, const char* range) {
  if (is_in) return;  // what is no number is in no range
  throw InputError(std::string(name) + ": " + std::to_string(value) + " is not " + range);
}

void require_options(const AdamWOptions& options) {
  const auto is_share = [](float value) { return value >= 0.0f && value < 1.0f; };
  require_in("beta1", options.beta1, is_share(options.beta1), "in [0, 1)");
  require_in("beta2", options.beta2, is_share(options.beta2), "in [0, 1)");
  require_in("epsilon", options.epsilon, options.epsilon > 0.0f && std::isfinite(options.epsilon),
             "above 0");
  require_in("weight_decay", options.weight_decay,
             options.weight_decay >= 0.0f && std::isfinite(options.weight_decay), "at least 0");
  require_in("clip_norm", options.clip_norm,
             options.clip_norm >= 0.0f && std::isfinite(options.clip_norm), "at least 0");
}

std::string text_of(const AdamWOptions& options) {
  std::string text;
  for (const float value :
       {options.beta1, options.beta2, options.epsilon, options.weight_decay, options.clip_norm}) {
    text += std::to_string(std::bit_cast<uint32_t>(value)) + " ";
  }
  return text;
}

void require_other(const Parameter& parameter) {
  const auto is_fp32 = [](ConstMatrixView matrix) {
    return matrix.dtype == DType::f32 && matrix.rows >= 0 && matrix.cols >= 0 &&
           (matrix.data != nullptr || matrix.rows * matrix.cols == 0);
  };
  if (parameter.expert == -1 && is_fp32(parameter.value) && is_fp32(parameter.gradient) &&
      parameter.value.rows == parameter.gradient.rows &&
      parameter.value.cols == parameter.gradient.cols) {
    return;
  }
  throw InputError("parameter " + parameter.name +
                   ": what is trained beside a Stack is held by all ranks (expert = -1), in fp32, "
                   "with a gradient of its shape");
}

}  // namespace

class AdamW::Impl {
 public:
  Impl(Stack& stack, AdamWOptions options, std::vector<Parameter> others)
      : stack_(stack.impl()), options_(options), others_(std::move(others)) {
    Context::Impl& context = stack_->context();
    context.in_step([&] {
      agree(context.comm(), context.watch(), [&] {
        require_options(options_);
        stack_->trained_layers();
        for (const Parameter& other : others_) require_other(other);
      });
      std::string sizes;
      for (const Parameter& other : others_) {
        sizes += other.name + " [" + std::to_string(other.value.rows) + ", " +
                 std::to_string(other.value.cols) + "] ";
      }
      require_same_settings(context.comm(), context.watch(),
                            {{"the optimizer's options", text_of(options_)},
                             {"what is trained beside the stack", sizes}});
    });
    int64_t values = 0;
    for (const Parameter& parameter : all()) values += size_of(parameter);
    moments_.reserve(2 * values * dtype_size(DType::f32));
    std::fill_n(moments_.data(), moments_.capacity(), std::byte{0});
  }

  double step(float learning_rate) {
    require_in("learning_rate", learning_rate,
               learning_rate >= 0.0f && std::isfinite(learning_rate), "at least 0 and finite");
    stack_->sum_gradients();
    Context::Impl& context = stack_->context();
    return context.in_step([&] {
      const double norm = gradient_norm();
      context.watch().at({Phase::optimizer, -1, -1});
      if (!std::isfinite(norm)) {
        clear_gradients();
      } else {
        update(learning_rate, norm);
      }
      return norm;
    });
  }

  int64_t steps() const { return steps_; }
  void set_steps(int64_t steps) {
    if (steps < 0) throw InputError("steps: " + std::to_string(steps) + " is below 0");
    steps_ = steps;
  }

  std::vector<ParameterState> states() {
    std::vector<ParameterState> found;
    float* next = moments();
    for (Parameter& parameter : all()) {
      const int64_t rows = parameter.value.rows;
      const int64_t cols = parameter.value.cols;
      const auto take = [&] {
        auto* const first = reinterpret_cast<std::byte*>(std::exchange(next, next + rows * cols));
        return MatrixView{first, DType::f32, rows, cols};
      };
      const MatrixView first = take();
      found.push_back({std::move(parameter), first, take()});
    }
    return found;
  }

  int64_t bytes() const { return moments_.capacity(); }

 private:
  static int64_t size_of(const Parameter& parameter) {
    return parameter.value.rows * parameter.value.cols;
  }

  float* moments() { return reinterpret_cast<float*>(moments_.data()); }

  std::vector<Parameter> all() {
    std::vector<Parameter> parameters = stack_->trained_layers().parameters();
    parameters.insert(parameters.end(), others_.begin(), others_.end());
    return parameters;
  }

  double squares(const Parameter& parameter) const {
    return sum_of_squares(parameter.gradient.row_as<float>(0), size_of(parameter), threads());
  }
  int threads() const { return stack_->context().options().threads; }

  /// Experts in their order, each by its owner; then what all ranks hold, which all sum alike.
  double gradient_norm() {
    const StackShape& shape = stack_->shape();
    std::vector<double> of_experts(static_cast<size_t>(shape.num_layers * shape.num_experts));
    double of_all = 0.0;
    for (const Parameter& parameter : all()) {
      if (parameter.expert < 0) {
        of_all += squares(parameter);
      } else {
        of_experts[parameter.layer * shape.num_experts + parameter.expert] += squares(parameter);
      }
    }
    Context::Impl& context = stack_->context();
    // Of an expert all but its owner have 0: the largest is the owner's, a NaN made infinite.
    for (double& sum : of_experts) {
      if (std::isnan(sum)) sum = HUGE_VAL;
    }
    of_experts = reduce_max(context.comm(), context.watch(), std::move(of_experts));
    double sum = 0.0;
    for (const double of_expert : of_experts) sum += of_expert;
    return std::sqrt(sum + of_all);
  }

  void clear_gradients() {
    stack_->trained_layers().clear_gradients();
    for (const Parameter& other : others_) {
      std::fill_n(other.gradient.data, other.gradient.bytes(), std::byte{0});
    }
  }

  void update(float learning_rate, double norm) {
    ++steps_;
    const auto correction = [&](float beta) {
      return 1.0 - std::pow(static_cast<double>(beta), static_cast<double>(steps_));
    };
    AdamWStep step{.learning_rate = learning_rate,
                   .beta1 = options_.beta1,
                   .beta2 = options_.beta2,
                   .epsilon = options_.epsilon,
                   .correction1 = static_cast<float>(correction(options_.beta1)),
                   .root_correction2 = static_cast<float>(std::sqrt(correction(options_.beta2)))};
    if (options_.clip_norm > 0.0f && norm > static_cast<double>(options_.clip_norm)) {
      step.scale = static_cast<float>(static_cast<double>(options_.clip_norm) / norm);
    }
    float* next = moments();
    const auto update_all = [&](std::span<const Parameter> parameters) {
      for (const Parameter& parameter : parameters) {
        const int64_t count = size_of(parameter);
        step.weight_decay = parameter.value.rows > 1 ? options_.weight_decay : 0.0f;
        adamw_update(step,
                     {.values = parameter.value.row_as<float>(0),
                      .gradients = parameter.gradient.row_as<float>(0),
                      .first_moments = next,
                      .second_moments = next + count,
                      .count = count},
                     threads());
        next += 2 * count;
      }
    };
    stack_->trained_layers().step_gate_biases();
    stack_->trained_layers().update(update_all);
    update_all(others_);
  }

  std::shared_ptr<Stack::Impl> stack_;
  AdamWOptions options_;
  std::vector<Parameter> others_;
  Buffer moments_;  // of each parameter in turn: first moments, then second ones
  int64_t steps_ = 0;
};

AdamW::AdamW(Stack& stack, AdamWOptions options, std::vector<Parameter> others)
    : impl_(std::make_unique<Impl>(stack, options, std::move(others))) {}
AdamW::~AdamW() = default;
AdamW::AdamW(AdamW&& other) noexcept = default;

double AdamW::step(float learning_rate) {
  return impl_->step(learning_rate);
}

int64_t AdamW::steps() const {
  return impl_->steps();
}

void AdamW::set_steps(int64_t steps) {
  impl_->set_steps(steps);
}

std::vector<ParameterState> AdamW::states() {
  return impl_->states();
}

int64_t AdamW::bytes() const {
  return impl_->bytes();
}

}  // namespace hashep
