// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <utility>

#include "core/input_file.hpp"
#include "core/npy.hpp"
#include "hashep/error.hpp"
#include "runtime/tokens/binary_ids.hpp"
#include "runtime/tokens/known_ids.hpp"
#include "runtime/tokens/text_tokens.hpp"
#include "runtime/tokens/token_stream.hpp"

namespace hashep {
namespace {

/// Calls body(first, count, out_offset) for the parts of [first, first + count) of an endless
/// repetition of `size` ids.
template <typename Body>
void for_each_run(int64_t first, int64_t count, int64_t size, Body body) {
  int64_t from = first % size;
  for (int64_t done = 0; done < count;) {
    const int64_t run = std::min(count - done, size - from);
    body(from, run, done);
    done += run;
    from = 0;
  }
}

/// Ids that stay in the file and are converted as they are read.
class FileTokens final : public TokenStream {
 public:
  FileTokens(InputFile file, const BinaryIds& ids, const IdRules& rules,
             std::optional<int64_t> row_length)
      : file_(std::move(file)),
        ids_(ids),
        num_ids_(ids.bytes / ids.type.size),
        rules_(rules),
        row_length_(row_length) {
    if (num_ids_ == 0) throw InputError(file_.path() + ": no token ids in it");
  }

  void read(int64_t first, std::span<int32_t> out) const override {
    const bool is_signed = ids_.type.is_signed;
    switch (ids_.type.size) {
      case 1:
        return is_signed ? read_as<int8_t>(first, out) : read_as<uint8_t>(first, out);
      case 2:
        return is_signed ? read_as<int16_t>(first, out) : read_as<uint16_t>(first, out);
      case 4:
        return is_signed ? read_as<int32_t>(first, out) : read_as<uint32_t>(first, out);
      case 8:
        return is_signed ? read_as<int64_t>(first, out) : read_as<uint64_t>(first, out);
      default:
        throw RunError("FileTokens: ids of " + std::to_string(ids_.type.size) + " bytes");
    }
  }

  std::optional<int64_t> size() const override { return num_ids_; }
  std::optional<int64_t> natural_seq_len() const override { return row_length_; }

 private:
  template <typename Id>
  void read_as(int64_t first, std::span<int32_t> out) const {
    for_each_run(first, std::ssize(out), num_ids_, [&](int64_t from, int64_t count, int64_t at) {
      const auto run = out.subspan(at, count);
      if constexpr (sizeof(Id) == sizeof(int32_t)) {
        take<Id>(from, std::span(reinterpret_cast<Id*>(run.data()), run.size()), run);
      } else {
        constexpr size_t kBlockBytes = size_t{64} << 10;  // on the stack, and in a core's cache
        std::array<Id, kBlockBytes / sizeof(Id)> block;
        for (size_t done = 0; done < run.size(); done += block.size()) {
          const size_t some = std::min(block.size(), run.size() - done);
          take<Id>(from + static_cast<int64_t>(done), std::span(block).first(some),
                   run.subspan(done, some));
        }
      }
    });
    file_.require_unchanged();
  }

  /// Reads ids from token `from` of the file on into `ids`, and converts them to `out`, which may
  /// be the same memory.
  template <typename Id>
  void take(int64_t from, std::span<Id> ids, std::span<int32_t> out) const {
    file_.read(ids_.offset + from * int64_t{sizeof(Id)}, std::as_writable_bytes(ids));
    const IdReader<Id> reader(rules_);
    if (reader.take(ids, out.data())) return;
    file_.require_unchanged();
    reader.throw_first_unknown(ids, from, file_.path());
  }

  InputFile file_;
  BinaryIds ids_;
  int64_t num_ids_;
  IdRules rules_;
  std::optional<int64_t> row_length_;
};

/// Ids made from text, held in memory.
class StoredTokens final : public TokenStream {
 public:
  explicit StoredTokens(std::vector<int32_t> ids) : ids_(std::move(ids)) {}

  void read(int64_t first, std::span<int32_t> out) const override {
    for_each_run(first, std::ssize(out), std::ssize(ids_),
                 [&](int64_t from, int64_t count, int64_t at) {
                   std::copy_n(ids_.begin() + from, count, out.begin() + at);
                 });
  }

  std::optional<int64_t> size() const override { return std::ssize(ids_); }

 private:
  std::vector<int32_t> ids_;
};

std::unique_ptr<TokenStream> open_npy(const std::string& path, const IdRules& rules) {
  InputFile file(path);
  const NpyLayout array = read_npy_layout(file);
  const size_t dimensions = array.shape.size();
  if ((array.kind != 'i' && array.kind != 'u') || dimensions < 1 || dimensions > 2) {
    throw InputError(path + ": token ids are a 1-D or 2-D array of integers, found " +
                     std::to_string(dimensions) + "-D of NumPy kind '" + array.kind + "'");
  }
  const auto row_length = dimensions == 2 ? std::optional(array.shape[1]) : std::nullopt;
  const BinaryIds ids{{array.kind == 'i', array.item_size}, array.data_offset, array.data_bytes};
  return std::make_unique<FileTokens>(std::move(file), ids, rules, row_length);
}

}  // namespace

bool is_text_file(const TokenFile& file) {
  if (file.path.ends_with(".npy") || file.path.ends_with(".bin")) return false;
  return !file.tokenizer.empty() || !file.token_dtype;
}

std::unique_ptr<TokenStream> open_token_file(const TokenFile& file, int64_t vocab_size) {
  const IdRules rules{vocab_size, file.padding_id};
  if (file.path.ends_with(".npy")) return open_npy(file.path, rules);
  if (is_text_file(file)) {
    return std::make_unique<StoredTokens>(tokenize_text_file(file, vocab_size));
  }
  InputFile input(file.path);
  const BinaryIds ids = locate_binary_ids(input, file, vocab_size);
  return std::make_unique<FileTokens>(std::move(input), ids, rules, std::nullopt);
}

}  // namespace hashep
