// SPDX-License-Identifier: Apache-2.0
#include "core/units.hpp"

#include <array>
#include <charconv>
#include <cstdio>

#include "core/format.hpp"
#include "core/quote.hpp"
#include "hashep/error.hpp"

namespace hashep {
namespace {

/// 0 where the character is no suffix.
int64_t multiplier_of(char suffix) {
  switch (suffix) {
    case 'K':
    case 'k':
      return int64_t{1} << 10;
    case 'M':
    case 'm':
      return int64_t{1} << 20;
    case 'G':
    case 'g':
      return int64_t{1} << 30;
    default:
      return 0;
  }
}

/// Digits alone, no sign; false where there are others or none, or the value does not fit.
bool parse_digits(std::string_view text, int64_t& value) {
  if (text.empty() || text.find_first_not_of("0123456789") != text.npos) return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size();
}

/// The value of `digits`, read as decimals behind a point, times `multiplier`, where that is whole.
bool parse_fraction(std::string_view digits, int64_t multiplier, int64_t& value) {
  constexpr size_t kMaxDigits = 9;  // so that digits * multiplier fits int64
  if (digits.empty() || digits.find_first_not_of("0123456789") != digits.npos) return false;
  digits = digits.substr(0, digits.find_last_not_of('0') + 1);
  value = 0;
  if (digits.empty()) return true;
  int64_t numerator = 0;
  if (digits.size() > kMaxDigits || !parse_digits(digits, numerator)) return false;
  int64_t denominator = 1;
  for (size_t i = 0; i < digits.size(); ++i) denominator *= 10;
  value = numerator * multiplier / denominator;
  return numerator * multiplier % denominator == 0;
}

}  // namespace

int64_t parse_count(std::string_view text, std::string_view what) {
  std::string_view digits = text;
  int64_t multiplier = digits.empty() ? 0 : multiplier_of(digits.back());
  if (multiplier != 0) {
    digits.remove_suffix(1);
  } else {
    multiplier = 1;
  }
  const size_t point = digits.find('.');
  int64_t whole = 0;
  int64_t fraction = 0;
  int64_t result = 0;
  const bool valid =
      parse_digits(digits.substr(0, point), whole) &&
      (point == digits.npos || parse_fraction(digits.substr(point + 1), multiplier, fraction)) &&
      !__builtin_mul_overflow(whole, multiplier, &result) &&
      !__builtin_add_overflow(result, fraction, &result);
  if (!valid) {
    throw InputError(std::string(what) + ": " + quote(text) +
                     " is not a whole number below 2^63 (a suffix K, M or G multiplies by 1024, "
                     "1024^2 or 1024^3)");
  }
  return result;
}

std::string format_bytes(int64_t bytes) {
  constexpr std::array kUnits = {"KiB", "MiB", "GiB"};
  if (bytes < 1024) return std::to_string(bytes) + " B";
  double value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  return format("%.2f %s", value, kUnits[unit]);
}

}  // namespace hashep
