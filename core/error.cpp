// SPDX-License-Identifier: Apache-2.0
#include "hashep/error.hpp"

#include <algorithm>
#include <cctype>

#include "core/setting.hpp"

namespace hashep {
namespace {

constexpr char kMark = '\x1f';  // before and after a setting's name: no text of a user has it

bool is_name(std::string_view word) {
  return !word.empty() && std::all_of(word.begin(), word.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
  });
}

template <typename Spell>
std::string without_marks(std::string_view text, Spell&& spell) {
  std::string plain;
  for (;;) {
    const size_t begin = text.find(kMark);
    const size_t end = begin == text.npos ? begin : text.find(kMark, begin + 1);
    if (end == text.npos) return plain += text;
    plain += text.substr(0, begin);
    const std::string_view word = text.substr(begin + 1, end - begin - 1);
    if (is_name(word)) {
      plain += spell(word);
      text.remove_prefix(end + 1);
    } else {  // a user's own character: the next one may be a mark
      plain += kMark;
      text.remove_prefix(begin + 1);
    }
  }
}

}  // namespace

Error::Error(const std::string& text)
    : std::runtime_error(without_marks(text, [](std::string_view name) { return name; })),
      marked_(text) {}

std::string Error::text(const std::function<std::string(std::string_view)>& spell) const {
  return without_marks(marked(), spell);
}

std::string setting(std::string_view name) {
  return kMark + std::string(name) + kMark;
}

const char* marked_text(const std::exception& error) {
  const auto* ours = dynamic_cast<const Error*>(&error);
  return ours == nullptr ? error.what() : ours->marked();
}

}  // namespace hashep
