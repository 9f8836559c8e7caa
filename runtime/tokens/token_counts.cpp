// SPDX-License-Identifier: Apache-2.0
#include "runtime/tokens/token_counts.hpp"

#include <xxhash.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <numeric>
#include <system_error>

#include "hashep/error.hpp"
#include "runtime/routing/route_checks.hpp"
#include "runtime/tokens/id_histogram.hpp"
#include "runtime/tokens/text_tokens.hpp"

namespace hashep {
namespace {

constexpr int64_t kChunk = 1 << 15;           // ids: 128 KiB, which stay in a core's cache
constexpr int64_t kChunksPerReport = 1 << 8;  // 8 M ids

struct FreeState {
  void operator()(XXH64_state_t* state) const { XXH64_freeState(state); }
};

/// Counts and digest of the ids so far.
class Tally {
 public:
  explicit Tally(int64_t vocab_size) : histogram_(vocab_size), digest_(XXH64_createState()) {
    if (digest_ == nullptr || XXH64_reset(digest_.get(), 0) != XXH_OK) {
      throw RunError("XXH64_createState failed");
    }
  }

  /// Known ids and padding.
  void add(std::span<const int32_t> ids) {
    histogram_.add(ids);
    if (XXH64_update(digest_.get(), ids.data(), ids.size_bytes()) != XXH_OK) {
      throw RunError("XXH64_update failed");
    }
  }

  TokenCounts result() const {
    TokenCounts counts{.counts = histogram_.counts(),
                       .padding = histogram_.padding(),
                       .digest = XXH64_digest(digest_.get())};
    counts.total = std::accumulate(counts.counts.begin(), counts.counts.end(), int64_t{0});
    return counts;
  }

 private:
  IdHistogram histogram_;
  std::unique_ptr<XXH64_state_t, FreeState> digest_;
};

int64_t bytes_of(const TokenFile& file) {
  std::error_code error;
  const auto size = std::filesystem::file_size(file.path, error);
  if (error) throw InputError(file.path + ": cannot be read: " + error.message());
  return static_cast<int64_t>(size);
}

void count_stream(const TokenStream& stream, Tally& tally,
                  const std::function<void(double share)>& report) {
  const int64_t size = stream.size().value();
  std::vector<int32_t> ids(std::min(kChunk, size));
  int64_t chunks = 0;
  for (int64_t first = 0; first < size; first += kChunk) {
    const std::span<int32_t> chunk(ids.data(), static_cast<size_t>(std::min(kChunk, size - first)));
    stream.read(first, chunk);
    tally.add(chunk);
    if (++chunks % kChunksPerReport != 0) continue;
    report(static_cast<double>(first + kChunk) / static_cast<double>(size));
  }
}

}  // namespace

TokenCounts count_tokens(std::span<const TokenFile> files, int64_t vocab_size,
                         const CountProgress& progress) {
  require_router_sizes(vocab_size, 1, 1, "token counts");
  Tally tally(vocab_size);
  int64_t bytes_before = 0;
  for (const TokenFile& file : files) {
    const int64_t bytes = bytes_of(file);
    const auto report = [&](int64_t done) {
      if (progress) progress(bytes_before + std::min(done, bytes));
    };
    if (is_text_file(file)) {
      encode_text_file(file, vocab_size, [&](std::span<const int32_t> ids, int64_t bytes_read) {
        tally.add(ids);
        report(bytes_read);
      });
    } else {
      count_stream(*open_token_file(file, vocab_size), tally, [&](double share) {
        report(static_cast<int64_t>(share * static_cast<double>(bytes)));
      });
    }
    bytes_before += bytes;
    report(0);
  }
  TokenCounts counts = tally.result();
  counts.files = std::ssize(files);
  return counts;
}

int64_t token_file_bytes(std::span<const TokenFile> files) {
  return std::accumulate(files.begin(), files.end(), int64_t{0},
                         [](int64_t sum, const TokenFile& file) { return sum + bytes_of(file); });
}

}  // namespace hashep
