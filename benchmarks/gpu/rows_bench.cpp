// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/gpu/rows_bench.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <string>

#include "benchmarks/gpu/device_rows.hpp"
#include "core/random.hpp"
#include "hashep/exchange_plan.hpp"
#include "kernels/gate/gate_scores.hpp"
#include "kernels/rows/combine.hpp"
#include "kernels/rows/scatter.hpp"

namespace hashep::bench {
namespace {

constexpr int64_t kCopies = 3;  // of inputs and outputs, so that no sample finds them in the cache

/// One dtype and top_k: a plan on the host, and all that the kernels need in GPU memory.
class RowsCase {
 public:
  RowsCase(const RowsOptions& options, DType dtype, int top_k)
      : tokens_(options.tokens),
        d_(options.hidden_size),
        dtype_(dtype),
        plan_(random_plan(options, top_k)),
        x_bytes_(random_rows(dtype, tokens_, d_, 1)),
        weights_(plan_.experts.size()),
        gate_values_(static_cast<size_t>(options.num_experts * d_)) {
    for (size_t i = 0; i < weights_.size(); ++i) {
      weights_[i] = static_cast<float>(uniform_from_bits(random_bits(2, i)));
    }
    fill_normal(3, 0, gate_values_);
    experts_ = to_gpu(plan_.experts.data(), bytes_of(plan_.experts));
    rows_ = to_gpu(plan_.send_rows.data(), bytes_of(plan_.send_rows));
    gpu_weights_ = to_gpu(weights_.data(), bytes_of(weights_));
    gate_ = to_gpu(gate_values_.data(), bytes_of(gate_values_));
    for (int64_t copy = 0; copy < kCopies; ++copy) {
      x_.push_back(to_gpu(x_bytes_.data(), std::ssize(x_bytes_)));
      expert_rows_.emplace_back(plan_.total_recv() * d_ * dtype_size(dtype));
      y_.emplace_back(tokens_ * d_ * dtype_size(dtype));
      std::vector<ExpertPlace> places(static_cast<size_t>(plan_.num_experts));
      for (size_t e = 0; e < places.size(); ++e) {
        places[e] = {expert_rows_.back().data(), plan_.landing_rows[e] - plan_.expert_send_rows[e]};
      }
      places_.push_back(to_gpu(places.data(), bytes_of(places)));
      poison(expert_rows_.back());
      poison(y_.back());
    }
  }

  void dispatch(int64_t copy, DeviceStream stream) const {
    scatter_rows(x_[index(copy)].matrix(dtype_, tokens_, d_),
                 {experts(), rows(), plan_.top_k, places(copy)}, stream);
  }

  void combine(int64_t copy, DeviceStream stream) const {
    combine_rows({.places = places(copy),
                  .experts = experts(),
                  .row_of = rows(),
                  .top_k = plan_.top_k,
                  .weights = {gpu_weights_.as<float>(), weights_.size()},
                  .shared = {}},
                 y_[index(copy)].matrix(dtype_, tokens_, d_), stream);
  }

  void gate(int64_t copy, DeviceStream stream) const {
    gate_weights(x_[index(copy)].matrix(dtype_, tokens_, d_),
                 gate_.matrix(DType::f32, plan_.num_experts, d_), experts(), plan_.top_k, 1.0f,
                 {gpu_weights_.as<float>(), weights_.size()}, stream);
  }

  /// A device copy that reads and writes `bytes` in all.
  void copy(int64_t bytes, int64_t copy, DeviceStream stream) const {
    const DeviceBuffer& from = expert_rows_[index(copy)];
    const DeviceBuffer& to = expert_rows_[index(copy + 1)];
    for (int64_t left = bytes / 2; left > 0; left -= from.capacity()) {
      copy_async(to.data(), from.data(), std::min(left, from.capacity()), stream);
    }
  }

  /// Rows that dispatch put in a wrong place, or not at all.
  int64_t wrong_dispatched() const {
    const auto got = to_host(expert_rows_[0].data(), expert_rows_[0].capacity());
    const auto row_bytes = static_cast<size_t>(d_ * dtype_size(dtype_));
    int64_t wrong = 0;
    for (size_t a = 0; a < plan_.send_rows.size(); ++a) {
      const auto* const want = x_bytes_.data() + a / static_cast<size_t>(plan_.top_k) * row_bytes;
      const auto* const row = got.data() + static_cast<size_t>(plan_.send_rows[a]) * row_bytes;
      wrong += std::memcmp(want, row, row_bytes) != 0 ? 1 : 0;
    }
    return wrong;
  }

  /// Elements of combine's result that are off by more than rounding: each token's rows are copies
  /// of x's, so y = x * (sum of weights).
  int64_t wrong_combined() const {
    const auto got = to_host(y_[0].data(), y_[0].capacity());
    const double bound = dtype_ == DType::bf16 ? 0x1p-7 : 0x1p-20;
    const auto k = static_cast<size_t>(plan_.top_k);
    std::vector<float> x(static_cast<size_t>(d_));
    std::vector<float> y(static_cast<size_t>(d_));
    int64_t wrong = 0;
    for (int64_t token = 0; token < tokens_; ++token) {
      const auto offset = static_cast<size_t>(token * d_ * dtype_size(dtype_));
      convert_to_float(dtype_, x_bytes_.data() + offset, d_, x.data());
      convert_to_float(dtype_, got.data() + offset, d_, y.data());
      double sum = 0.0;
      for (size_t j = 0; j < k; ++j) sum += double{weights_[static_cast<size_t>(token) * k + j]};
      for (size_t i = 0; i < x.size(); ++i) {
        const double want = sum * double{x[i]};
        wrong += std::abs(double{y[i]} - want) <= bound * (std::abs(want) + 1e-6) ? 0 : 1;
      }
    }
    return wrong;
  }

  /// Weights that differ from the CPU's by more than rounding.
  int64_t wrong_gated() const {
    std::vector<float> want(weights_.size());
    const ConstMatrixView gate{reinterpret_cast<const std::byte*>(gate_values_.data()), DType::f32,
                               plan_.num_experts, d_};
    gate_weights(ConstMatrixView{x_bytes_.data(), dtype_, tokens_, d_}, gate, plan_.experts,
                 plan_.top_k, 1.0f, want, 1);
    const auto bytes = to_host(gpu_weights_.data(), gpu_weights_.capacity());
    int64_t wrong = 0;
    for (size_t i = 0; i < want.size(); ++i) {
      float got = 0.0f;
      std::memcpy(&got, bytes.data() + i * sizeof(float), sizeof(float));
      wrong += std::abs(got - want[i]) <= 1e-5f ? 0 : 1;
    }
    return wrong;
  }

  int64_t x_size() const { return std::ssize(x_bytes_); }
  int64_t rows_size() const { return expert_rows_[0].capacity(); }
  /// What the plan's arrays add to dispatch and combine.
  int64_t index_bytes() const { return bytes_of(plan_.experts) + bytes_of(plan_.send_rows); }
  int64_t weight_bytes() const { return bytes_of(weights_); }

 private:
  template <typename T>
  static int64_t bytes_of(const std::vector<T>& values) {
    return static_cast<int64_t>(values.size() * sizeof(T));
  }
  static size_t index(int64_t copy) { return static_cast<size_t>(copy % kCopies); }

  static ExchangePlan random_plan(const RowsOptions& options, int top_k) {
    std::vector<int32_t> experts;
    for (int64_t token = 0; token < options.tokens; ++token) {
      const auto first = static_cast<int64_t>(random_bits(4, static_cast<uint64_t>(token)) >> 1);
      for (int j = 0; j < top_k; ++j) {
        experts.push_back(static_cast<int32_t>((first + j * 7) % options.num_experts));
      }
    }
    std::vector<CountWord> counts(static_cast<size_t>(options.num_experts));
    count_assignments(experts, counts);
    return make_plan(std::move(experts), top_k, counts,
                     contiguous_placement(options.num_experts, 1), 0);
  }

  std::span<const int32_t> experts() const {
    return {experts_.as<const int32_t>(), plan_.experts.size()};
  }
  std::span<const int64_t> rows() const {
    return {rows_.as<const int64_t>(), plan_.send_rows.size()};
  }
  std::span<const ExpertPlace> places(int64_t copy) const {
    return {places_[index(copy)].as<const ExpertPlace>(), static_cast<size_t>(plan_.num_experts)};
  }

  int64_t tokens_;
  int64_t d_;
  DType dtype_;
  ExchangePlan plan_;
  std::vector<std::byte> x_bytes_;
  std::vector<float> weights_;
  std::vector<float> gate_values_;
  DeviceBuffer experts_;
  DeviceBuffer rows_;
  DeviceBuffer gpu_weights_;
  DeviceBuffer gate_;
  std::vector<DeviceBuffer> x_;            // [kCopies]
  std::vector<DeviceBuffer> expert_rows_;  // [kCopies]
  std::vector<DeviceBuffer> y_;            // [kCopies]
  std::vector<DeviceBuffer> places_;       // [kCopies]
};

std::string rate_note(int64_t bytes, const std::vector<double>& samples,
                      const std::vector<double>& copy) {
  std::array<char, 96> text{};
  std::snprintf(text.data(), text.size(), "%.0f GB/s, %.1f %% of copy",
                static_cast<double>(bytes) / median(samples) * 1e-3,
                100.0 * median(copy) / median(samples));
  return text.data();
}

void measure_case(const RowsCase& c, const GpuRun& run, std::vector<MeasuredRow>& rows) {
  {
    const CudaStream stream;
    for (int64_t copy = 0; copy < kCopies; ++copy) c.dispatch(copy, stream);
    c.combine(0, stream);
    stream.synchronize();
  }
  const int64_t wrong_dispatched = c.wrong_dispatched();
  const int64_t wrong_combined = c.wrong_combined();
  {
    const CudaStream stream;
    c.gate(0, stream);
    stream.synchronize();
  }
  const int64_t wrong_gated = c.wrong_gated();
  // Each row is read once and written once for each choice; combine the other way round.
  const int64_t dispatch_bytes = c.x_size() + c.rows_size() + c.index_bytes();
  const int64_t combine_bytes = dispatch_bytes + c.weight_bytes();
  const std::array<GpuWork, 4> things = {
      [&](int64_t i, DeviceStream s) { c.dispatch(i, s); },
      [&](int64_t i, DeviceStream s) { c.combine(i, s); },
      [&](int64_t i, DeviceStream s) { c.copy(dispatch_bytes, i, s); },
      [&](int64_t i, DeviceStream s) { c.gate(i, s); }};
  auto samples = time_on_gpu(run.sampling, things);
  const std::vector<double> copy = samples[2];
  rows.push_back(make_row(run, "dispatch", samples[0], wrong_dispatched,
                          rate_note(dispatch_bytes, samples[0], copy)));
  rows.push_back(make_row(run, "combine", samples[1], wrong_combined,
                          rate_note(combine_bytes, samples[1], copy)));
  rows.push_back(
      make_row(run, "copy_bound", copy, std::nullopt, rate_note(dispatch_bytes, copy, copy)));
  rows.push_back(make_row(run, "gate", samples[3], wrong_gated, "the k logits of each token"));
}

}  // namespace

std::vector<MeasuredRow> measure_rows(const RowsOptions& options, const GpuRun& run) {
  std::vector<MeasuredRow> rows;
  for (const DType dtype : options.dtypes) {
    for (const int64_t top_k : options.top_k) {
      GpuRun here = run;
      here.row.dtype = std::string(dtype_name(dtype));
      here.row.tokens_per_rank = options.tokens;
      here.row.hidden_size = options.hidden_size;
      here.row.num_experts = options.num_experts;
      here.row.top_k = top_k;
      here.row.workload = "top " + std::to_string(top_k);
      measure_case(RowsCase(options, dtype, static_cast<int>(top_k)), here, rows);
    }
  }
  return rows;
}

}  // namespace hashep::bench
