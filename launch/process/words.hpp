// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "hashep/error.hpp"

namespace hashep {

/// A word of the command line, and what it stands for.
template <typename Value>
struct Word {
  std::string_view word;
  Value value;
};

/// What `text` stands for, as the value of `option`. Throws InputError, naming the option and all
/// words, where it is none of them; `what`: "transports", for "known transports are".
template <typename Value>
Value parse_word(const std::string& option, std::string_view text,
                 std::span<const Word<Value>> words, const std::string& what = "") {
  std::string list;
  for (const Word<Value>& known : words) {
    if (known.word == text) return known.value;
    list += (list.empty() ? "" : ", ") + std::string(known.word);
  }
  throw InputError(option + " " + std::string(text) + ": known " +
                   (what.empty() ? "" : what + " ") + "are " + list);
}

/// The word for `value`, which has one.
template <typename Value>
std::string_view word_of(const Value& value, std::span<const Word<Value>> words) {
  for (const Word<Value>& known : words) {
    if (known.value == value) return known.word;
  }
  throw RunError("a value without a word");
}

}  // namespace hashep
