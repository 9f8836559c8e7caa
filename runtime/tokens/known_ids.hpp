// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

#include "core/setting.hpp"
#include "hashep/error.hpp"
#include "hashep/token_batch.hpp"

namespace hashep {

/// Which ids of a file are padding, and which are known.
struct IdRules {
  int64_t vocab_size = 0;
  int64_t padding_id = kPaddingId;  // beside kPaddingId
};

/// IdRules for ids of one integer type of 1 to 8 bytes.
template <typename Id>
class IdReader {
 public:
  explicit IdReader(const IdRules& rules)
      : vocab_size_(static_cast<Wide>(rules.vocab_size)),
        padding_id_(std::in_range<Wide>(rules.padding_id) ? static_cast<Wide>(rules.padding_id)
                                                          : Wide{kPaddingId}) {}

  /// Writes `ids`, as a file has them, as token ids: padding as kPaddingId. Returns false where one
  /// is neither padding nor in [0, vocab_size); `out`, of the same size, is then not to be used.
  /// For ids of 32 bits `out` may be the same memory.
  bool take(std::span<const Id> ids, int32_t* out) const {
    int32_t unknown = 0;  // no early end: the loop is one for vector instructions
    for (size_t i = 0; i < ids.size(); ++i) {
      const Wide id = without_padding(ids[i]);
      unknown |= is_known(id) ? 0 : 1;
      out[i] = static_cast<int32_t>(id);
    }
    return unknown == 0;
  }

  /// Throws the InputError of the first id that `take` refuses: it names `path`, the id, and its
  /// place, ids[0] being token `first` of the file.
  [[noreturn]] void throw_first_unknown(std::span<const Id> ids, int64_t first,
                                        const std::string& path) const {
    size_t i = 0;
    while (i < ids.size() && is_known(without_padding(ids[i]))) ++i;
    if (i == ids.size()) throw RunError(path + ": an id is unknown and known");
    const std::string id = std::to_string(ids[i]);
    throw InputError(path + ": token " + std::to_string(first + static_cast<int64_t>(i)) +
                     " has id " + id + ", outside [0, " + std::to_string(vocab_size_) +
                     "); if it is padding: " + setting("padding_id") + " " + id);
  }

 private:
  /// Where ids are compared: vectors of 32 bits take half the time of 64.
  using Wide =
      std::conditional_t<(sizeof(Id) < 4 || std::is_same_v<Id, int32_t>), int32_t, int64_t>;

  /// Of u64, what is beyond int64 is neither an id nor padding.
  Wide without_padding(Id id) const {
    if constexpr (std::is_same_v<Id, uint64_t>) {
      if (!std::in_range<int64_t>(id)) return std::numeric_limits<int64_t>::max();
    }
    const auto wide = static_cast<Wide>(id);
    return wide == padding_id_ ? Wide{kPaddingId} : wide;
  }

  bool is_known(Wide id) const { return id >= kPaddingId && id < vocab_size_; }

  Wide vocab_size_;
  Wide padding_id_;
};

}  // namespace hashep
