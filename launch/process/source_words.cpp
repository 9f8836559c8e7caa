// SPDX-License-Identifier: Apache-2.0
#include "launch/process/source_words.hpp"

#include "core/quote.hpp"
#include "hashep/error.hpp"

namespace hashep {
namespace {

constexpr Word<PlacementKind> kPlacements[] = {{"contiguous", PlacementKind::contiguous},
                                               {"balanced", PlacementKind::balanced}};

constexpr Word<TokenDtype> kTokenDtypes[] = {
    {"u16", TokenDtype::u16}, {"u32", TokenDtype::u32}, {"i32", TokenDtype::i32}};

}  // namespace

PlacementSource parse_placement(const std::string& text) {
  for (const Word<PlacementKind>& known : kPlacements) {
    if (known.word == text) return {known.value};
  }
  if (text.ends_with(".json")) return {PlacementKind::file, text};
  throw InputError("--placement " + quote(text) +
                   ": known are contiguous, balanced, or a placement file (*.json)");
}

std::string placement_word(const PlacementSource& source) {
  if (source.kind == PlacementKind::file) return source.path;
  return std::string(word_of<PlacementKind>(source.kind, kPlacements));
}

std::span<const Word<TokenDtype>> token_dtype_words() {
  return kTokenDtypes;
}

}  // namespace hashep
