// SPDX-License-Identifier: Apache-2.0
#include "core/npy.hpp"

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>
#include <string_view>

#include "core/atomic_file.hpp"
#include "core/file_kind.hpp"
#include "core/load.hpp"
#include "core/narrow.hpp"
#include "core/quote.hpp"
#include "core/wrong_file.hpp"
#include "hashep/error.hpp"

namespace hashep {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr size_t kMaxDims = 64;                          // NumPy's own limit
constexpr uint64_t kMaxHeaderBytes = uint64_t{1} << 20;  // some 100 are usual

/// The header: a Python dict literal of exactly the keys descr, fortran_order and shape.
struct NpyHeader {
  std::optional<std::string> descr;
  std::optional<bool> fortran_order;
  std::optional<std::vector<int64_t>> shape;
};

[[noreturn]] void fail_reading(const std::string& source, const std::string& reason) {
  throw InputError(source + ": not a readable .npy file: " + reason);
}

/// Reads the forms of Python literals that NumPy's versions and other writers put into a header,
/// for example (64, 2), (64L, 2L) of Python 2 and (np.int64(64), np.int64(2)) of NumPy 2.
class HeaderParser {
 public:
  HeaderParser(std::string_view text, const std::string& source)
      : text_(text), rest_(text), source_(source) {}

  NpyHeader parse() {
    NpyHeader header;
    expect('{');
    while (!accept('}')) {
      const std::string key = parse_string();
      expect(':');
      if (key == "descr" && !header.descr) {
        if (starts_with('[')) fail("structured element types are not supported");
        header.descr = parse_string();
      } else if (key == "fortran_order" && !header.fortran_order) {
        header.fortran_order = parse_bool();
      } else if (key == "shape" && !header.shape) {
        header.shape = parse_tuple();
      } else {
        fail("unexpected or repeated key " + quote(key));
      }
      if (!accept(',') && !starts_with('}')) fail("no Python dict");
    }
    skip_space();
    if (!rest_.empty()) fail("no Python dict");
    if (!header.descr || !header.fortran_order || !header.shape) {
      fail("the header lacks descr, fortran_order or shape");
    }
    return header;
  }

  [[noreturn]] void fail(const std::string& reason) const {
    const size_t end = text_.find_last_not_of(" \t\r\n");
    fail_reading(source_, reason + " in its header " + quote(text_.substr(0, end + 1)));
  }

 private:
  void skip_space() {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t\r\n\f\v"), rest_.size()));
  }

  bool starts_with(char c) {
    skip_space();
    return rest_.starts_with(c);
  }

  bool accept(char c) {
    if (!starts_with(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }

  void expect(char c) {
    if (!accept(c)) fail("no Python dict");
  }

  std::string parse_string() {
    for (const char prefix : {'b', 'u'}) accept(prefix);  // of Python 2 and 3
    const char delimiter = starts_with('"') ? '"' : '\'';
    expect(delimiter);
    const size_t end = rest_.find(delimiter);
    if (end == rest_.npos) fail("a string without an end");
    std::string text(rest_.substr(0, end));
    rest_.remove_prefix(end + 1);
    return text;
  }

  /// A word of letters, digits, '_' and '.'; empty where none begins.
  std::string_view parse_word() {
    skip_space();
    const auto* const end = std::find_if_not(rest_.begin(), rest_.end(), [](char c) {
      return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
             c == '_' || c == '.';
    });
    const std::string_view word = rest_.substr(0, end - rest_.begin());
    rest_.remove_prefix(word.size());
    return word;
  }

  /// The value inside of np.bool_(...) and the like, or without it.
  std::string_view parse_value() {
    const std::string_view word = parse_word();
    if (!accept('(')) return word;
    const std::string_view value = parse_word();
    expect(')');
    return value;
  }

  bool parse_bool() {
    const std::string_view word = parse_value();
    if (word == "True" || word == "np.True_") return true;
    if (word == "False" || word == "np.False_") return false;
    fail("fortran_order is neither True nor False");
  }

  /// (), (3,) or (3, 4): of one element, the comma is what makes it a tuple.
  std::vector<int64_t> parse_tuple() {
    std::vector<int64_t> shape;
    if (!accept('(')) fail("a shape that is no tuple");
    bool after_comma = true;
    while (!accept(')')) {
      if (!after_comma || shape.size() == kMaxDims) fail("malformed shape");
      shape.push_back(parse_size());
      after_comma = accept(',');
    }
    if (shape.size() == 1 && !after_comma) fail("malformed shape");
    return shape;
  }

  int64_t parse_size() {
    std::string_view word = parse_value();
    if (word.ends_with('L')) word.remove_suffix(1);
    int64_t value = -1;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    const bool is_whole = error == std::errc{} && end == word.data() + word.size();
    if (!is_whole || value < 0) fail("malformed shape");
    return value;
  }

  std::string_view text_;
  std::string_view rest_;
  const std::string& source_;
};

/// The lengths of the part before the header, and of the header.
struct Preamble {
  size_t bytes = 0;
  uint64_t header_bytes = 0;

  int64_t data_offset() const { return static_cast<int64_t>(bytes + header_bytes); }
};

/// start: the file's first bytes, kFileKindBytes of them or all. Throws InputError where they
/// are no such file's, or its header does not end in the file.
Preamble parse_preamble(std::span<const std::byte> start, int64_t file_size,
                        const std::string& source) {
  const size_t version_at = kMagic.size();
  const size_t length_at = version_at + 2;
  const bool has_magic =
      start.size() >= length_at + 2 &&
      std::equal(kMagic.begin(), kMagic.end(), start.begin(),
                 [](char a, std::byte b) { return static_cast<std::byte>(a) == b; });
  const int major = has_magic ? std::to_integer<int>(start[version_at]) : 0;
  const size_t bytes = length_at + (major == 1 ? 2 : 4);
  if (major < 1 || major > 3 || start.size() < bytes) {
    const std::string known = what_it_is(start, file_size);
    fail_reading(source, has_magic || known.empty()
                             ? "it does not start as .npy files of version 1, 2 or 3 do"
                             : known);
  }
  const uint64_t header_bytes =
      major == 1 ? load<uint16_t>(&start[length_at]) : load<uint32_t>(&start[length_at]);
  if (std::cmp_greater(header_bytes, file_size - static_cast<int64_t>(bytes))) {
    fail_reading(source, "its header of " + std::to_string(header_bytes) + " bytes is cut off");
  }
  return {bytes, header_bytes};
}

/// Sets kind and size of elements from NumPy's name of their type: a byte order (none for the
/// machine's, which is '<'), a kind, and a number of bytes.
void parse_descr(const std::string& descr, NpyLayout& layout, const std::string& source) {
  std::string_view type = descr;
  const char order = type.empty() ? ' ' : type.front();
  if (std::string_view("<>=|").find(order) != std::string_view::npos) type.remove_prefix(1);
  constexpr std::string_view kKnown[] = {"i1", "i2", "i4", "i8", "u1", "u2",
                                         "u4", "u8", "f2", "f4", "f8"};
  if (std::find(std::begin(kKnown), std::end(kKnown), type) == std::end(kKnown)) {
    fail_reading(source, "element type " + quote(descr) +
                             " is not supported (little-endian integers and floats are)");
  }
  layout.kind = type[0];
  layout.item_size = type[1] - '0';
  if (order == '>' && layout.item_size > 1) {
    fail_reading(source, "element type " + quote(descr) + " is big-endian (a.astype('<" +
                             std::string(type) + "') makes little-endian of array a)");
  }
  if (order == '|' && layout.item_size > 1) {
    fail_reading(source, "element type " + quote(descr) + " does not tell its byte order");
  }
}

template <typename T>
int64_t integer_from(const std::byte* place) {
  const T value = load<T>(place);
  if (!std::in_range<int64_t>(value)) {
    throw InputError("the integer " + std::to_string(value) + " does not fit 64 signed bits");
  }
  return static_cast<int64_t>(value);
}

/// Throws InputError naming `source` where the header is not one that can be read, or the file's
/// data are not as long as its shape.
NpyLayout parse_layout(std::string_view header_text, int64_t data_offset, int64_t file_size,
                       const std::string& source) {
  const NpyHeader header = HeaderParser(header_text, source).parse();
  NpyLayout layout;
  parse_descr(*header.descr, layout, source);
  layout.shape = *header.shape;
  if (*header.fortran_order && layout.shape.size() > 1) {
    fail_reading(source, "fortran_order is not supported (numpy.ascontiguousarray makes C order)");
  }
  int64_t size = layout.item_size;
  for (const int64_t length : layout.shape) {
    if (__builtin_mul_overflow(size, length, &size)) fail_reading(source, "its shape is too large");
  }
  layout.data_offset = data_offset;
  layout.data_bytes = file_size - data_offset;
  if (layout.data_bytes != size) {
    fail_reading(source, "it holds " + std::to_string(layout.data_bytes) +
                             " bytes of data, but its shape needs " + std::to_string(size));
  }
  return layout;
}

/// `descr` is NumPy's name of the values' type.
void write_npy_bytes(const std::string& path, const std::string& descr,
                     std::span<const std::byte> values, std::span<const int64_t> shape) {
  constexpr size_t kAlignment = 64;  // of the data in the file, as NumPy writes it
  std::string dict = "{'descr': '" + descr + "', 'fortran_order': False, 'shape': (";
  for (const int64_t length : shape) dict += std::to_string(length) + ",";
  if (shape.size() > 1) dict.pop_back();
  dict += "), }";
  const size_t preamble = kMagic.size() + 4;  // version and header length, two bytes each
  const size_t total = (preamble + dict.size() + 1 + kAlignment - 1) / kAlignment * kAlignment;
  dict.append(total - preamble - dict.size() - 1, ' ');
  dict += '\n';
  const auto length = narrow<uint16_t>(dict.size(), "length of a .npy header");

  AtomicFile file(path);
  file.write(kMagic);
  file.write(std::string_view("\x01\x00", 2));
  file.write(std::as_bytes(std::span(&length, 1)));
  file.write(dict);
  file.write(values);
  file.commit();
}

}  // namespace

int64_t NpyLayout::integer_at(const std::byte* place) const {
  const bool is_signed = kind == 'i';
  switch (item_size) {
    case 1:
      return is_signed ? integer_from<int8_t>(place) : integer_from<uint8_t>(place);
    case 2:
      return is_signed ? integer_from<int16_t>(place) : integer_from<uint16_t>(place);
    case 4:
      return is_signed ? integer_from<int32_t>(place) : integer_from<uint32_t>(place);
    default:
      return is_signed ? integer_from<int64_t>(place) : integer_from<uint64_t>(place);
  }
}

NpyArray parse_npy(std::span<const std::byte> bytes, const std::string& source) {
  const Preamble preamble = parse_preamble(bytes, std::ssize(bytes), source);
  const auto* text = reinterpret_cast<const char*>(bytes.data()) + preamble.bytes;
  const NpyLayout layout = parse_layout({text, static_cast<size_t>(preamble.header_bytes)},
                                        preamble.data_offset(), std::ssize(bytes), source);
  return {layout, bytes.subspan(layout.data_offset)};
}

NpyLayout read_npy_layout(const InputFile& file) {
  std::vector<std::byte> head(std::min(int64_t{kFileKindBytes}, file.size()));
  file.read(0, head);
  const Preamble preamble = parse_preamble(head, file.size(), file.path());
  if (preamble.header_bytes > kMaxHeaderBytes) {
    fail_reading(file.path(), "a header of " + std::to_string(preamble.header_bytes) + " bytes");
  }
  const size_t read = head.size();
  if (std::cmp_greater(preamble.data_offset(), read)) {
    head.resize(preamble.data_offset());
    file.read(static_cast<int64_t>(read), std::span(head).subspan(read));
  }
  const std::string_view header(reinterpret_cast<const char*>(head.data()) + preamble.bytes,
                                static_cast<size_t>(preamble.header_bytes));
  return parse_layout(header, preamble.data_offset(), file.size(), file.path());
}

void write_npy(const std::string& path, std::span<const int32_t> values,
               std::span<const int64_t> shape) {
  write_npy_bytes(path, "<i4", std::as_bytes(values), shape);
}

void write_npy(const std::string& path, std::span<const int64_t> values,
               std::span<const int64_t> shape) {
  write_npy_bytes(path, "<i8", std::as_bytes(values), shape);
}

}  // namespace hashep
