// SPDX-License-Identifier: Apache-2.0
#include "core/file_kind.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <string_view>

#include "core/load.hpp"

namespace hashep {
namespace {

using namespace std::string_view_literals;

/// Bytes that files of a kind begin with.
struct Magic {
  std::string_view bytes;
  std::string_view kind;
};

constexpr std::array kMagics = {
    Magic{"\x93NUMPY"sv, "a NumPy array (.npy)"sv},
    Magic{"PK\x03\x04"sv, "a zip archive, as PyTorch and NumPy's .npz are"sv},
    Magic{"\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20"sv, "a PyTorch file (a Python pickle)"sv},
    Magic{"\x1f\x8b\x08"sv, "a gzip archive"sv},
    Magic{"\x28\xb5\x2f\xfd"sv, "a zstd archive"sv},
    Magic{"\xfd"
          "7zXZ\x00"sv,
          "an xz archive"sv},
    Magic{"GGUF"sv, "a GGUF model"sv},
    Magic{"PAR1"sv, "a Parquet table"sv},
    Magic{"ARROW1\x00"sv, "an Arrow table"sv},
    Magic{"MMIDIDX\x00\x00"sv, "Megatron's index (.idx) of the ids in the .bin beside it"sv},
    Magic{"\x89HDF\r\n"sv, "an HDF5 file"sv},
    Magic{"%PDF-"sv, "a PDF file"sv},
    Magic{"<?xml"sv, "XML text"sv},
};

bool begins_with_word(std::string_view text, std::string_view word) {
  return text.size() >= word.size() &&
         std::equal(word.begin(), word.end(), text.begin(), [](char a, char b) {
           return a == std::tolower(static_cast<unsigned char>(b));
         });
}

/// The length of a pickle's first frame (protocol 4 and 5) has its upper half empty.
bool is_pickle(std::string_view text) {
  return text.size() >= 11 && text[0] == '\x80' && (text[1] == 4 || text[1] == 5) &&
         text[2] == '\x95' && text.substr(7, 4) == "\0\0\0\0"sv;
}

bool is_safetensors(std::span<const std::byte> start) {
  constexpr uint64_t kMaxHeaderBytes = 100'000'000;
  return start.size() >= 10 && load<uint64_t>(start.data()) <= kMaxHeaderBytes &&
         start[8] == std::byte{'{'} && (start[9] == std::byte{'"'} || start[9] == std::byte{'}'});
}

}  // namespace

bool is_lfs_pointer(std::span<const std::byte> start) {
  const std::string_view text(reinterpret_cast<const char*>(start.data()), start.size());
  return text.starts_with("version https://git-lfs.github.com/spec/");
}

std::string file_kind(std::span<const std::byte> start) {
  std::string_view text(reinterpret_cast<const char*>(start.data()), start.size());
  if (is_lfs_pointer(start)) {
    return "a git-lfs pointer, whose contents were not fetched (git lfs pull)";
  }
  for (const auto& [bytes, kind] : kMagics) {
    if (text.starts_with(bytes)) return std::string(kind);
  }
  if (is_pickle(text)) return "a Python pickle";
  if (is_safetensors(start)) return "a safetensors file";
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);  // a byte order mark
  text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
  if (begins_with_word(text, "<!doctype html") || begins_with_word(text, "<html")) {
    return "a web page (HTML)";
  }
  const bool has_bracket = text.starts_with('{') || text.starts_with('[');
  if (has_bracket && is_ascii_text(start.first(std::min(start.size(), size_t{64})))) {
    return "JSON text";
  }
  return "";
}

bool is_ascii_text(std::span<const std::byte> start) {
  return std::all_of(start.begin(), start.end(), [](std::byte byte) {
    const int c = std::to_integer<int>(byte);
    return (c >= 0x20 && c < 0x7f) || (c >= '\t' && c <= '\r');
  });
}

}  // namespace hashep
