// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/exchange_check.hpp"

#include <algorithm>
#include <cstring>

#include "core/random.hpp"

namespace hashep::bench {
namespace {

constexpr uint64_t kTokenTag = 1;   // addresses of tokens
constexpr uint64_t kExpertTag = 2;  // what an expert adds
constexpr int kNaNByte = 0xff;      // of NaN in every dtype
constexpr uint64_t kValues = 64;    // 2 * value + value stays below 256, which bf16 holds

uint64_t token_address(int64_t token) {
  return derive_key(kTokenTag, static_cast<uint64_t>(token));
}

uint64_t expert_address(int32_t expert) {
  return derive_key(kExpertTag, static_cast<uint64_t>(expert));
}

/// out <- what an expert makes of a row.
void apply_expert(std::span<const float> row, std::span<const float> added, std::span<float> out) {
  for (size_t i = 0; i < row.size(); ++i) out[i] = 2.0f * row[i] + added[i];
}

}  // namespace

std::span<const float> AddressedRow::of(uint64_t address) {
  constexpr size_t kPerWord = 8;
  for (size_t i = 0; i < values_.size(); i += kPerWord) {
    uint64_t word = random_bits(address, i / kPerWord);
    for (size_t j = i; j < std::min(i + kPerWord, values_.size()); ++j) {
      values_[j] = static_cast<float>(word % kValues);
      word >>= 8;
    }
  }
  return values_;
}

uint64_t message_address(int source, int destination, int64_t index) {
  return derive_key(derive_key(static_cast<uint64_t>(source), static_cast<uint64_t>(destination)),
                    static_cast<uint64_t>(index));
}

void poison(MatrixView rows) {
  if (rows.bytes() > 0) std::memset(rows.data, kNaNByte, rows.bytes());
}

int64_t wrong_elements(const ConstMatrixView& rows, int64_t row, std::span<const float> expected) {
  const auto size = static_cast<size_t>(dtype_size(rows.dtype));
  std::vector<std::byte> bytes(expected.size() * size);
  convert_from_float(expected.data(), rows.cols, rows.dtype, bytes.data());
  const std::byte* got = rows.row(row);
  if (std::memcmp(bytes.data(), got, bytes.size()) == 0) return 0;
  int64_t wrong = 0;
  for (size_t at = 0; at < bytes.size(); at += size) {
    wrong += std::memcmp(bytes.data() + at, got + at, size) == 0 ? 0 : 1;
  }
  return wrong;
}

ExchangeCheck::ExchangeCheck(std::vector<int32_t> experts, int top_k,
                             std::span<const int32_t> local_experts, Range own_tokens)
    : experts_(std::move(experts)), top_k_(top_k), own_tokens_(own_tokens) {
  const auto is_local = [&](int32_t expert) {
    return std::binary_search(local_experts.begin(), local_experts.end(), expert);
  };
  for (size_t a = 0; a < experts_.size(); ++a) {
    if (is_local(experts_[a])) rows_.push_back({static_cast<int64_t>(a) / top_k, experts_[a]});
  }
  std::stable_sort(rows_.begin(), rows_.end(),
                   [](const ExpectedRow& a, const ExpectedRow& b) { return a.expert < b.expert; });
}

void ExchangeCheck::fill(MatrixView x) const {
  AddressedRow row(x.cols);
  for (int64_t i = 0; i < x.rows; ++i) {
    convert_from_float(row.of(token_address(own_tokens_.begin + i)).data(), x.cols, x.dtype,
                       x.row(i));
  }
}

int64_t ExchangeCheck::wrong_in_dispatch(ConstMatrixView rows) const {
  const auto expected = static_cast<int64_t>(rows_.size());
  if (rows.rows != expected) return std::max(rows.rows, expected) * rows.cols;
  AddressedRow row(rows.cols);
  int64_t wrong = 0;
  for (int64_t i = 0; i < rows.rows; ++i) {
    wrong += wrong_elements(rows, i, row.of(token_address(rows_[i].token)));
  }
  return wrong;
}

void ExchangeCheck::run_experts(MatrixView rows) const {
  AddressedRow added(rows.cols);
  std::vector<float> row(rows.cols);
  int32_t expert = -1;
  std::span<const float> adds;
  for (int64_t i = 0; i < std::min(rows.rows, std::ssize(rows_)); ++i) {
    const int32_t next = rows_[i].expert;
    if (next != expert) adds = added.of(expert_address(next));
    expert = next;
    convert_to_float(rows.dtype, rows.row(i), rows.cols, row.data());
    apply_expert(row, adds, row);
    convert_from_float(row.data(), rows.cols, rows.dtype, rows.row(i));
  }
}

int64_t ExchangeCheck::wrong_in_combine(ConstMatrixView y, std::span<const float> weights,
                                        bool experts_ran) const {
  AddressedRow sent(y.cols);
  AddressedRow added(y.cols);
  std::vector<float> output(y.cols);
  std::vector<float> sum(output.size());
  int64_t wrong = 0;
  for (int64_t i = 0; i < y.rows; ++i) {
    const int64_t token = own_tokens_.begin + i;
    const std::span<const float> row = sent.of(token_address(token));
    std::fill(sum.begin(), sum.end(), 0.0f);
    for (int j = 0; j < top_k_; ++j) {
      const int32_t expert = experts_of(token)[j];
      if (expert < 0) continue;
      std::copy(row.begin(), row.end(), output.begin());
      if (experts_ran) apply_expert(row, added.of(expert_address(expert)), output);
      const float weight =
          weights.empty() ? 1.0f / static_cast<float>(top_k_) : weights[i * top_k_ + j];
      for (size_t c = 0; c < sum.size(); ++c) sum[c] += weight * output[c];
    }
    wrong += wrong_elements(y, i, sum);
  }
  return wrong;
}

}  // namespace hashep::bench
