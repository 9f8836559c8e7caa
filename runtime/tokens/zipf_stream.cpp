// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <limits>

#include "core/random.hpp"
#include "hashep/error.hpp"
#include "runtime/tokens/token_stream.hpp"

namespace hashep {
namespace {

constexpr uint64_t kZipfTag = 0x7a697066u;  // "zipf"

/// Draws ids in O(1) by the alias method (Walker 1977, table built as in Vose 1991): a fair draw of
/// a column, then a coin between the column's own id and its alias.
class ZipfStream final : public TokenStream {
 public:
  ZipfStream(int64_t vocab_size, double exponent, uint64_t seed)
      : key_(derive_key(seed, kZipfTag)), columns_(vocab_size) {
    std::vector<double> heights = column_heights(vocab_size, exponent);
    std::vector<int32_t> low;
    std::vector<int32_t> high;
    for (int32_t id = 0; id < vocab_size; ++id) {
      columns_[id].alias = id;
      (heights[id] < 1.0 ? low : high).push_back(id);
    }
    // What is left in one list when the other is empty has height 1, up to rounding, and keeps
    // itself as alias.
    while (!low.empty() && !high.empty()) {
      const int32_t filled = low.back();
      const int32_t donor = high.back();
      low.pop_back();
      const double height = heights[filled];
      columns_[filled] = {static_cast<uint32_t>(height * 0x1.0p32), donor};
      double& left = heights[donor];
      left -= 1.0 - height;
      if (left < 1.0) {
        high.pop_back();
        low.push_back(donor);
      }
    }
  }

  void read(int64_t first, std::span<int32_t> out) const override {
    auto index = static_cast<uint64_t>(first);
    for (int32_t& id : out) {
      // The upper half of the bits picks the column, the lower half is the coin.
      const uint64_t bits = random_bits(key_, index++);
      const uint64_t column = ((bits >> 32) * columns_.size()) >> 32;
      const Column& entry = columns_[column];
      id = static_cast<uint32_t>(bits) < entry.threshold ? static_cast<int32_t>(column)
                                                         : entry.alias;
    }
  }

  std::optional<int64_t> size() const override { return std::nullopt; }

 private:
  struct Column {
    uint32_t threshold = 0;  // coins below it, of 2^32, take the column's own id
    int32_t alias = 0;
  };

  /// Probabilities times vocab_size: mean 1.
  static std::vector<double> column_heights(int64_t vocab_size, double exponent) {
    std::vector<double> heights(vocab_size);
    double sum = 0.0;
    for (int64_t id = vocab_size - 1; id >= 0; --id) {  // small first, for the sum's sake
      const double weight = std::pow(static_cast<double>(id + 1), -exponent);
      heights[id] = weight;
      sum += weight;
    }
    for (double& height : heights) height *= static_cast<double>(vocab_size) / sum;
    return heights;
  }

  uint64_t key_;
  std::vector<Column> columns_;  // [vocab_size]
};

}  // namespace

std::unique_ptr<TokenStream> make_zipf_stream(int64_t vocab_size, double exponent, uint64_t seed) {
  if (vocab_size < 1 || vocab_size > std::numeric_limits<int32_t>::max()) {
    throw InputError("Zipf ids: vocab_size is " + std::to_string(vocab_size) +
                     ", expected 1 to 2147483647");
  }
  if (!std::isfinite(exponent) || exponent < 0.0) {
    throw InputError("Zipf ids: exponent is " + std::to_string(exponent) +
                     ", expected a finite number >= 0");
  }
  return std::make_unique<ZipfStream>(vocab_size, exponent, seed);
}

}  // namespace hashep
