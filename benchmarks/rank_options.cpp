// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/rank_options.hpp"

#include <algorithm>
#include <cmath>

#include "core/error.hpp"
#include "kernels/combine.hpp"
#include "runtime/exec/backend_factory.hpp"

namespace hashep::bench {
namespace {

// With kMaxModelSize, and rows of a batch bounded (see Workload), bytes stay within int64.
constexpr int64_t kMaxTokens = int64_t{1} << 30;  // of a rank
constexpr int64_t kMaxThreads = 4096;

void require_between(const std::string& option, int64_t value, int64_t least, int64_t most) {
  if (value < least || value > most) {
    throw InputError(option + " " + std::to_string(value) + ": must be in [" +
                     std::to_string(least) + ", " + std::to_string(most) + "]");
  }
}

void validate_common(const RankOptions& options) {
  require_between("--tokens-per-rank", options.tokens_per_rank, 1, kMaxTokens);
  require_between("--hidden-size", options.hidden_size, 1, kMaxModelSize);
  require_between("--num-experts", options.num_experts, 1, kMaxModelSize);
  require_between("--top-k", options.top_k, 1, options.num_experts);
  require_between("--vocab-size", options.vocab_size, 1, kMaxVocabSize);
  require_between("--threads", options.threads, 1, kMaxThreads);
  if (!std::isfinite(options.deadline) || options.deadline <= 0.0) {
    throw InputError("--deadline: must be a positive number of seconds");
  }
}

}  // namespace

std::vector<int64_t> ExchangeOptions::sizes() const {
  if (min_tokens == 0) return {common.tokens_per_rank};
  std::vector<int64_t> sizes;
  for (int64_t tokens = min_tokens; tokens <= max_tokens; tokens *= factor) sizes.push_back(tokens);
  return sizes;
}

void validate(const ExchangeOptions& options) {
  validate_common(options.common);
  if (options.device == "cuda") {
    require_between("--top-k", options.common.top_k, 1, kMaxDeviceTopK);
  }
  if (options.min_tokens != 0) {
    require_between("-e", options.max_tokens, 1, kMaxTokens);
    require_between("-f", options.factor, 2, kMaxTokens);
    if (options.max_tokens < options.min_tokens) {
      throw InputError("-e " + std::to_string(options.max_tokens) + " is less than -b " +
                       std::to_string(options.min_tokens));
    }
  }
  const bool all = std::find(options.transports.begin(), options.transports.end(), "all") !=
                   options.transports.end();
  if (all && options.transports.size() > 1) {
    throw InputError("--transport all goes with no other name");
  }
  for (const std::string& name : options.transports) {
    if (!all) require_transport(name);
  }
}

void validate(const LayerOptions& options) {
  validate_common(options.common);
  for (const int64_t ffn_size : options.ffn_sizes) {
    require_between("--ffn-size", ffn_size, 1, kMaxModelSize);
  }
  require_transport(options.transport);
  if (!options.dump_folder.empty() &&
      options.ffn_sizes.size() * options.common.dtypes.size() != 1) {
    throw InputError("--dump takes one --ffn-size and one --dtype");
  }
}

}  // namespace hashep::bench
