// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "core/error.hpp"
#include "core/load.hpp"
#include "core/mapped_file.hpp"
#include "core/npy.hpp"
#include "core/quote.hpp"
#include "runtime/routing/text_tokens.hpp"
#include "runtime/routing/token_stream.hpp"

namespace hashep {
namespace {

/// An integer type of a file's ids.
struct IdType {
  bool is_signed = false;
  int64_t size = 0;  // bytes

  bool operator==(const IdType&) const = default;
};

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

/// Ids that stay in the mapped file and are converted as they are read.
class MappedTokens final : public TokenStream {
 public:
  MappedTokens(MappedFile file, std::span<const std::byte> data, IdType type,
               std::optional<int64_t> row_length)
      : file_(std::move(file)),
        data_(data),
        type_(type),
        num_ids_(static_cast<int64_t>(data.size()) / type.size),
        row_length_(row_length) {
    if (num_ids_ == 0) throw InputError(file_.path() + ": no token ids in it");
  }

  void read(int64_t first, std::span<int32_t> out) const override {
    switch (type_.size) {
      case 1:
        return type_.is_signed ? read_as<int8_t>(first, out) : read_as<uint8_t>(first, out);
      case 2:
        return type_.is_signed ? read_as<int16_t>(first, out) : read_as<uint16_t>(first, out);
      case 4:
        return type_.is_signed ? read_as<int32_t>(first, out) : read_as<uint32_t>(first, out);
      case 8:
        return type_.is_signed ? read_as<int64_t>(first, out) : read_as<uint64_t>(first, out);
      default:
        throw RunError("MappedTokens: ids of " + std::to_string(type_.size) + " bytes");
    }
  }

  std::optional<int64_t> size() const override { return num_ids_; }
  std::optional<int64_t> natural_seq_len() const override { return row_length_; }
  void give_back_memory() const override { file_.drop_pages(); }

 private:
  template <typename Id>
  void read_as(int64_t first, std::span<int32_t> out) const {
    for_each_run(first, std::ssize(out), num_ids_, [&](int64_t from, int64_t count, int64_t at) {
      const std::byte* source = data_.data() + from * int64_t{sizeof(Id)};
      int32_t* target = out.data() + at;
      for (int64_t i = 0; i < count; ++i, source += sizeof(Id)) {
        const Id id = load<Id>(source);
        if (!std::in_range<int32_t>(id)) {
          throw InputError(file_.path() + ": token " + std::to_string(from + i) + " has id " +
                           std::to_string(id) + ", which is no 32-bit token id");
        }
        target[i] = static_cast<int32_t>(id);
      }
    });
  }

  MappedFile file_;
  std::span<const std::byte> data_;  // [num_ids_] of type_
  IdType type_;
  int64_t num_ids_;
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

std::unique_ptr<TokenStream> open_npy(const std::string& path) {
  MappedFile file(path);
  const NpyArray array = parse_npy(file.bytes(), path);
  const size_t dimensions = array.shape.size();
  if ((array.kind != 'i' && array.kind != 'u') || dimensions < 1 || dimensions > 2) {
    throw InputError(path + ": token ids are a 1-D or 2-D array of integers, found " +
                     std::to_string(dimensions) + "-D of NumPy kind '" + array.kind + "'");
  }
  const auto row_length = dimensions == 2 ? std::optional(array.shape[1]) : std::nullopt;
  return std::make_unique<MappedTokens>(std::move(file), array.data,
                                        IdType{array.kind == 'i', array.item_size}, row_length);
}

IdType parse_bin_dtype(const std::string& name) {
  if (name == "u16") return {false, 2};
  if (name == "u32") return {false, 4};
  if (name == "i32") return {true, 4};
  throw InputError("token dtype " + quote(name) + " is unknown; expected u16, u32 or i32");
}

std::unique_ptr<TokenStream> open_bin(const std::string& path, const std::string& dtype) {
  const IdType type = parse_bin_dtype(dtype);
  MappedFile file(path);
  const std::span<const std::byte> data = file.bytes();
  if (static_cast<int64_t>(data.size()) % type.size != 0) {
    throw InputError(path + ": " + std::to_string(data.size()) + " bytes, not a multiple of " +
                     std::to_string(type.size) + " (" + dtype + ")");
  }
  return std::make_unique<MappedTokens>(std::move(file), data, type, std::nullopt);
}

}  // namespace

bool is_text_file(const std::string& path) {
  return !path.ends_with(".npy") && !path.ends_with(".bin");
}

std::unique_ptr<TokenStream> open_token_file(const TokenFile& file) {
  if (file.path.ends_with(".npy")) return open_npy(file.path);
  if (file.path.ends_with(".bin")) return open_bin(file.path, file.bin_dtype);
  return std::make_unique<StoredTokens>(tokenize_text_file(file.path, file.tokenizer));
}

}  // namespace hashep
