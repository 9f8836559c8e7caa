// SPDX-License-Identifier: Apache-2.0
#include "runtime/tokens/binary_ids.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <vector>

#include "core/file_kind.hpp"
#include "core/load.hpp"
#include "core/setting.hpp"
#include "hashep/error.hpp"

namespace hashep {
namespace {

constexpr int64_t kLlmcHeaderBytes = 1024;
constexpr int64_t kSampleBytes = int64_t{64} << 10;  // that tell what ids look like
constexpr int64_t kMaxU16Vocab = int64_t{1} << 16;
constexpr int64_t kLeastWords = 4;  // fewer are like each other by chance

/// Of a binary type of ids.
struct NamedType {
  std::string_view name;
  IdType type;
};
constexpr std::array kTypes = {NamedType{"u16", {false, 2}}, NamedType{"u32", {false, 4}},
                               NamedType{"i32", {true, 4}}};  // [TokenDtype]

const NamedType& named(TokenDtype dtype) {
  return kTypes.at(static_cast<size_t>(dtype));
}

/// What llm.c's data scripts write in front of ids.
struct LlmcHeader {
  int32_t magic = 0;
  int32_t version = 0;
  NamedType ids;
};
constexpr std::array kLlmcHeaders = {LlmcHeader{20240520, 1, kTypes[0]},
                                     LlmcHeader{20240801, 7, kTypes[1]}};

[[noreturn]] void fail(const InputFile& file, const std::string& reason) {
  throw InputError(file.path() + ": " + reason);
}

/// Whether all words of this type are padding or in the vocabulary, and not all 0.
template <typename Word>
bool are_known(std::span<const std::byte> data, int64_t vocab_size) {
  const int64_t count = std::ssize(data) / int64_t{sizeof(Word)};
  bool has_other_than_zero = false;
  for (int64_t i = 0; i < count; ++i) {
    const auto id = int64_t{load<Word>(data.data() + i * int64_t{sizeof(Word)})};
    if (id < kPaddingId || id >= vocab_size) return false;
    has_other_than_zero = has_other_than_zero || id > 0;
  }
  return count >= kLeastWords && has_other_than_zero;
}

/// The bits of the ids that the file looks like, where they are more than 16.
std::optional<int> wider_look(std::span<const std::byte> sample, int64_t vocab_size) {
  if (are_known<int64_t>(sample, vocab_size)) return 64;
  if (are_known<int32_t>(sample, vocab_size)) return 32;
  return std::nullopt;
}

std::string advice(int bits) {
  if (bits == 32) return setting("token_dtype") + " i32 or u32 reads them";
  return "save them as .npy, or as ids of 32 bits for " + setting("token_dtype") + " i32";
}

/// Behind a header of llm.c; nothing where there is none.
std::optional<BinaryIds> behind_llmc_header(const InputFile& file, const TokenFile& source,
                                            std::span<const std::byte> start) {
  constexpr size_t kWord = sizeof(int32_t);
  if (start.size() < 3 * kWord) return std::nullopt;
  const auto magic = load<int32_t>(start.data());
  const auto* known =
      std::find_if(kLlmcHeaders.begin(), kLlmcHeaders.end(),
                   [magic](const LlmcHeader& header) { return header.magic == magic; });
  if (known == kLlmcHeaders.end()) return std::nullopt;
  const std::string header = "its llm.c header (magic " + std::to_string(magic) + ") ";
  const auto version = load<int32_t>(start.data() + kWord);
  const int64_t count = load<int32_t>(start.data() + 2 * kWord);
  if (version != known->version) {
    fail(file, header + "has version " + std::to_string(version) + ", known is " +
                   std::to_string(known->version));
  }
  const std::string dtype(known->ids.name);
  if (source.token_dtype && named(*source.token_dtype).name != dtype) {
    fail(file, header + "says " + dtype + ", " + setting("token_dtype") + " says " +
                   std::string(named(*source.token_dtype).name));
  }
  const int64_t bytes = file.size() - kLlmcHeaderBytes;
  if (count < 0 || count * known->ids.type.size != bytes) {
    fail(file, header + "tells of " + std::to_string(count) + " ids of " + dtype + ", " +
                   std::to_string(std::max(bytes, int64_t{0})) + " bytes follow it");
  }
  return BinaryIds{known->ids.type, kLlmcHeaderBytes, bytes};
}

}  // namespace

BinaryIds locate_binary_ids(const InputFile& file, const TokenFile& source, int64_t vocab_size) {
  std::vector<std::byte> sample(std::min(file.size(), kSampleBytes));
  file.read(0, sample);
  const auto start = std::span(sample).first(std::min(sample.size(), kFileKindBytes));
  if (const auto ids = behind_llmc_header(file, source, start)) return *ids;

  constexpr size_t kLeastText = 64;  // bytes: as u16 ids they are all printable by no chance
  const bool is_told = source.token_dtype.has_value();
  std::string kind = file_kind(start);
  if (kind.empty() && !is_told && start.size() >= kLeastText && is_ascii_text(start)) kind = "text";
  if (!kind.empty()) fail(file, "this is " + kind + ", not binary token ids");

  const auto [name, type] = named(source.token_dtype.value_or(TokenDtype::u16));
  const std::optional<int> look = wider_look(sample, vocab_size);
  if (type.size == 2 && vocab_size > kMaxU16Vocab) {
    fail(file, "u16" + std::string(is_told ? "" : ", the default,") +
                   " cannot hold ids of a vocabulary of " + std::to_string(vocab_size) +
                   (look ? "; the file looks like ids of " + std::to_string(*look) +
                               " bits: " + advice(*look)
                         : "; " + setting("token_dtype") + " u32 or i32 reads wider ones"));
  }
  if (!is_told && look) {
    fail(file, "looks like ids of " + std::to_string(*look) + " bits, not of 16: " + advice(*look) +
                   " (" + setting("token_dtype") + " u16 takes them for 16 bits nevertheless)");
  }
  if (file.size() % type.size != 0) {
    fail(file, std::to_string(file.size()) + " bytes, not a multiple of " +
                   std::to_string(type.size) + " (" + std::string(name) + ")");
  }
  return {type, 0, file.size()};
}

}  // namespace hashep
