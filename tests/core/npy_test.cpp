// SPDX-License-Identifier: Apache-2.0
#include "core/npy.hpp"

#include <limits>

#include "core/input_file.hpp"
#include "hashep/error.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/temp_dir.hpp"

using namespace hashep;
using test::TempDir;

namespace {

/// A file of the given header text and number of data bytes (1, 2, 3, ...).
std::vector<std::byte> npy_bytes(const std::string& dict, size_t data_size, int major = 1) {
  std::string text = "\x93NUMPY";
  text += static_cast<char>(major);
  text += '\0';
  const size_t length_bytes = major == 1 ? 2 : 4;
  for (size_t i = 0; i < length_bytes; ++i) {
    text += static_cast<char>((dict.size() >> (8 * i)) & 0xff);
  }
  text += dict;
  for (size_t i = 0; i < data_size; ++i) text += static_cast<char>(i + 1);
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

std::string error_of(const std::vector<std::byte>& bytes) {
  try {
    parse_npy(bytes, "tokens.npy");
  } catch (const InputError& error) {
    return error.what();
  }
  return "no error";
}

std::string error_of(const std::string& dict, size_t data_size) {
  return error_of(npy_bytes(dict, data_size));
}

}  // namespace

TEST_CASE("arrays of NumPy's versions and integer types are parsed") {
  for (const int major : {1, 2, 3}) {
    const auto bytes =
        npy_bytes("{'descr': '<u2', 'fortran_order': False, 'shape': (2, 3), }  \n", 12, major);
    const NpyArray array = parse_npy(bytes, "f");
    CHECK(array.kind == 'u');
    CHECK(array.item_size == 2);
    CHECK(array.shape == std::vector<int64_t>{2, 3});
    CHECK(array.num_elements() == 6);
    CHECK(array.integer_at(0) == 0x0201);
    CHECK(array.integer_at(5) == 0x0c0b);
  }
}

TEST_CASE("every integer type keeps its sign and its range") {
  const auto element = [](const std::string& descr, std::vector<unsigned char> data) {
    auto bytes = npy_bytes("{'descr':'" + descr + "','fortran_order':False,'shape':(1,)}", 0);
    for (const unsigned char byte : data) bytes.push_back(static_cast<std::byte>(byte));
    return parse_npy(bytes, "f").integer_at(0);
  };
  CHECK(element("|i1", {0xff}) == -1);
  CHECK(element("|u1", {0xff}) == 255);
  CHECK(element("<i2", {0xfe, 0xff}) == -2);
  CHECK(element("<u2", {0xfe, 0xff}) == 65534);
  CHECK(element("<i4", {0, 0, 0, 0x80}) == std::numeric_limits<int32_t>::min());
  CHECK(element("<u4", {0, 0, 0, 0x80}) == int64_t{1} << 31);
  CHECK(element("<i8", {0, 0, 0, 0, 0, 0, 0, 0x80}) == std::numeric_limits<int64_t>::min());
  CHECK(element("<u8", {1, 0, 0, 0, 0, 0, 0, 0}) == 1);
  CHECK_THROWS_AS(element("<u8", {0, 0, 0, 0, 0, 0, 0, 0x80}), InputError);
}

TEST_CASE("shapes of any rank are parsed") {
  const auto shape = [](const std::string& text, size_t size) {
    const auto bytes =
        npy_bytes("{'shape': " + text + ", \"fortran_order\": False, 'descr': '|u1'}", size);
    return parse_npy(bytes, "f").shape;
  };
  CHECK(shape("()", 1).empty());
  CHECK(shape("(5,)", 5) == std::vector<int64_t>{5});
  CHECK(shape("(0,)", 0) == std::vector<int64_t>{0});
  CHECK(shape("(2,2,2)", 8) == std::vector<int64_t>{2, 2, 2});
  CHECK(
      parse_npy(npy_bytes("{'descr': '<f8', 'fortran_order': True, 'shape': (1,)}", 8), "f").kind ==
      'f');
}

TEST_CASE("headers of other writers are read") {
  const auto parsed = [](const std::string& dict) {
    const NpyArray array = parse_npy(npy_bytes(dict, 8), "f");
    CHECK(array.shape == std::vector<int64_t>{2, 1});
    CHECK(array.item_size == 4);
    return array.kind;
  };
  const std::string rest = ", 'fortran_order': False, ";
  CHECK(parsed("{'descr': '<i4'" + rest + "'shape': (2L, 1L), }") == 'i');
  CHECK(parsed("{'descr': '=u4'" + rest + "'shape': (np.int64(2), np.int64(1))}") == 'u');
  CHECK(parsed("{'descr': 'i4'" + rest + "'shape': (numpy.int32(2), 1)}") == 'i');
  CHECK(parsed("{u'descr': u'<i4', u'fortran_order': False,\r\n u'shape': (2, 1)}") == 'i');
  CHECK(parsed("{b'descr': b'<f4', b'fortran_order': np.False_, b'shape': (2, 1)}") == 'f');
  CHECK(parsed("{'descr': '<i4', 'fortran_order': np.bool_(False), 'shape': ( 2 , 1 ) }") == 'i');
  const std::string bytes = "{'descr': '>u1', 'fortran_order': False, 'shape': (8,)}";
  CHECK(parse_npy(npy_bytes(bytes, 8), "f").kind == 'u');  // one byte has no order
}

TEST_CASE("what stands in the place of an npy file is named") {
  const auto error = [](const std::string& text) {
    const auto bytes = std::as_bytes(std::span(text));
    return error_of(std::vector<std::byte>(bytes.begin(), bytes.end()));
  };
  CHECK_THAT(error("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"),
             ContainsSubstring("it is a git-lfs pointer"));
  CHECK_THAT(error(std::string("PK\x03\x04 and more of it", 20)), ContainsSubstring(".npz"));
  CHECK_THAT(error(""), ContainsSubstring("it is empty"));
  CHECK_THAT(error("Entry not found\n"), ContainsSubstring("it is text: \"Entry not found\""));
}

TEST_CASE("a lying or unsupported npy header is an input error of one line") {
  const std::string good = "{'descr': '<i4', 'fortran_order': False, 'shape': (2,), }";
  const auto bytes = npy_bytes(good, 8);
  REQUIRE(error_of(bytes) == "no error");
  for (size_t cut = 0; cut < bytes.size(); ++cut) {
    INFO("cut to " << cut << " bytes");
    CHECK_THAT(error_of({bytes.begin(), bytes.begin() + static_cast<int64_t>(cut)}),
               ContainsSubstring("tokens.npy: "));
  }
  CHECK_THAT(error_of(good, 9), ContainsSubstring("holds 9 bytes of data, but its shape needs 8"));
  CHECK_THAT(error_of(npy_bytes(good, 8, 4)), ContainsSubstring("version"));
  const auto with = [](const std::string& descr, const std::string& order,
                       const std::string& shape) {
    return error_of(
        "{'descr': " + descr + ", 'fortran_order': " + order + ", 'shape': " + shape + "}", 4);
  };
  REQUIRE(with("'<i4'", "False", "(1,)") == "no error");
  CHECK_THAT(with("'>i4'", "False", "(1,)"),
             ContainsSubstring("\">i4\" is big-endian") && ContainsSubstring("<i4"));
  CHECK_THAT(with("'|i4'", "False", "(1,)"), ContainsSubstring("byte order"));
  CHECK_THAT(with("'|O'", "False", "(1,)"), ContainsSubstring("not supported"));
  CHECK_THAT(with("'|b1'", "False", "(4,)"), ContainsSubstring("not supported"));
  CHECK_THAT(with("[('a', '<i4')]", "False", "(1,)"), ContainsSubstring("structured"));
  CHECK_THAT(with("'<i4'", "True", "(1, 1)"), ContainsSubstring("fortran_order"));
  CHECK_THAT(with("'<i4'", "0", "(1,)"), ContainsSubstring("fortran_order"));
  for (const auto* shape : {"(1)", "(1,,)", "(,)", "(1 1)", "(-1,)", "1", "[1]", "(1,", "(1.0,)",
                            "(99999999999999999999,)", "(1,'a')"}) {
    INFO(shape);
    CHECK_THAT(with("'<i4'", "False", shape), ContainsSubstring("tokens.npy: "));
  }
  CHECK_THAT(with("'<i4'", "False", "(4294967296, 4294967296)"), ContainsSubstring("too large"));
  CHECK_THAT(with("'<i4'", "False", "(1,), 'shape': (1,)"), ContainsSubstring("repeated"));
  CHECK_THAT(with("'<i4'", "False", "(1,), 'more': (1,)"), ContainsSubstring("\"more\""));
  CHECK_THAT(error_of("{'descr': '<i4', 'shape': (1,)}", 4), ContainsSubstring("lacks"));
  CHECK_THAT(error_of("", 4), ContainsSubstring("no Python dict"));
  CHECK_THAT(with("'<i4'", "False", "(\x1b[31m,)"),
             ContainsSubstring(
                 "in its header \"{'descr': '<i4', 'fortran_order': False, 'shape': (?[31m,)}\""));
}

TEST_CASE("what is written is read again") {
  const TempDir dir;
  const std::vector<int32_t> values = {1, -2, 3, 4, 5, 2'000'000'000};
  for (const auto& shape : {std::vector<int64_t>{6}, std::vector<int64_t>{2, 3}}) {
    write_npy(dir.file("a.npy"), values, shape);
    const auto bytes = read_file(dir.file("a.npy"));
    const NpyArray array = parse_npy(bytes, "a.npy");
    CHECK(array.data_offset % 64 == 0);
    const NpyLayout layout = read_npy_layout(InputFile(dir.file("a.npy")));
    CHECK(layout.data_offset == array.data.data() - bytes.data());
    CHECK(layout.shape == shape);
    CHECK(layout.num_elements() == 6);
    CHECK(array.shape == shape);
    for (size_t i = 0; i < values.size(); ++i) {
      CHECK(array.integer_at(static_cast<int64_t>(i)) == values[i]);
    }
  }
}
