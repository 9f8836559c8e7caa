// SPDX-License-Identifier: Apache-2.0
#include <limits>

#include "core/error.hpp"
#include "runtime/routing/token_stream.hpp"
#include "tests/runtime/routing/test_files.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/temp_dir.hpp"

namespace hashep::test {
namespace {

std::vector<int32_t> read(const TokenStream& stream, int64_t first, int64_t count) {
  std::vector<int32_t> ids(static_cast<size_t>(count));
  stream.read(first, ids);
  return ids;
}

/// Writes the smallest and largest ids of T that are token ids, and reads them as `descr`.
template <typename T>
void check_npy(const TempDir& dir, const std::string& descr) {
  const auto largest = static_cast<T>(
      std::min<uint64_t>(std::numeric_limits<T>::max(), std::numeric_limits<int32_t>::max()));
  const auto smallest = static_cast<T>(std::numeric_limits<T>::is_signed ? -1 : 0);
  const std::vector<T> values = {3, largest, smallest, 7};
  const std::string path = dir.file("ids.npy");
  for (const size_t misalignment : {0, 1}) {
    write_bytes(path, npy_bytes(descr, "(4,)", bytes_of(values), misalignment));
    const auto stream = open_token_file({path, "u16", ""});
    CAPTURE(descr, misalignment);
    CHECK(stream->size() == 4);
    CHECK_FALSE(stream->natural_seq_len().has_value());
    // From the middle, over the end twice.
    const auto last = static_cast<int32_t>(largest);
    const auto low = static_cast<int32_t>(smallest);
    CHECK(read(*stream, 6, 8) == std::vector<int32_t>{low, 7, 3, last, low, 7, 3, last});
    CHECK(read(*stream, 1, 1) == std::vector<int32_t>{last});
  }
}

TEST_CASE(".npy ids of every integer type are read, at any alignment, and wrap") {
  const TempDir dir;
  check_npy<int8_t>(dir, "|i1");
  check_npy<uint8_t>(dir, "|u1");
  check_npy<int16_t>(dir, "<i2");
  check_npy<uint16_t>(dir, "<u2");
  check_npy<int32_t>(dir, "<i4");
  check_npy<uint32_t>(dir, "<u4");
  check_npy<int64_t>(dir, "<i8");
  check_npy<uint64_t>(dir, "<u8");
}

TEST_CASE("the rows of a 2-D .npy give the natural seq_len") {
  const TempDir dir;
  const std::string path = dir.file("ids.npy");
  write_bytes(path, npy_bytes("<u2", "(2, 3)", bytes_of(std::vector<uint16_t>{1, 2, 3, 4, 5, 6})));
  const auto stream = open_token_file({path, "u16", ""});
  CHECK(stream->natural_seq_len() == 3);
  CHECK(stream->size() == 6);
  CHECK(read(*stream, 0, 6) == std::vector<int32_t>{1, 2, 3, 4, 5, 6});
}

TEST_CASE(".bin ids are u16 unless told") {
  const TempDir dir;
  const std::string path = dir.file("ids.bin");
  const auto read_bin = [&](const std::string& bytes, const std::string& dtype) {
    write_bytes(path, bytes);
    const auto stream = open_token_file({path, dtype, ""});
    return read(*stream, 0, stream->size().value());
  };
  CHECK(TokenFile().bin_dtype == "u16");
  CHECK(read_bin(bytes_of(std::vector<uint16_t>{1, 65535}), "u16") ==
        std::vector<int32_t>{1, 65535});
  CHECK(read_bin(bytes_of(std::vector<uint32_t>{70000, 2}), "u32") ==
        std::vector<int32_t>{70000, 2});
  CHECK(read_bin(bytes_of(std::vector<int32_t>{-1, 70000}), "i32") ==
        std::vector<int32_t>{-1, 70000});
  CHECK_THROWS_WITH(read_bin("abcde", "u32"), path + ": 5 bytes, not a multiple of 4 (u32)");
  CHECK_THROWS_AS(read_bin("abcde", "u16"), InputError);
  CHECK_THROWS_WITH(read_bin("", "u16"), path + ": no token ids in it");
  CHECK_THROWS_WITH(read_bin("ab", "f32"), ContainsSubstring("\"f32\" is unknown"));
}

TEST_CASE("an id that is no int32 is named when it is read") {
  const TempDir dir;
  const std::string bin = dir.file("ids.bin");
  write_bytes(bin, bytes_of(std::vector<uint32_t>{1, 2, 0x80000000u}));
  const auto stream = open_token_file({bin, "u32", ""});
  CHECK(read(*stream, 0, 2) == std::vector<int32_t>{1, 2});
  CHECK_THROWS_WITH(read(*stream, 4, 2),
                    bin + ": token 2 has id 2147483648, which is no 32-bit token id");
  const std::string npy = dir.file("ids.npy");
  write_bytes(npy, npy_bytes("<i8", "(1,)", bytes_of(std::vector<int64_t>{-(int64_t{1} << 40)})));
  CHECK_THROWS_AS(read(*open_token_file({npy, "", ""}), 0, 1), InputError);
}

TEST_CASE("files without token ids are refused") {
  const TempDir dir;
  const std::string npy = dir.file("ids.npy");
  const auto open_npy = [&](const std::string& bytes) {
    write_bytes(npy, bytes);
    return open_token_file({npy, "u16", ""});
  };
  CHECK_THROWS_WITH(open_npy(npy_bytes("<i4", "(0,)", "")), npy + ": no token ids in it");
  CHECK_THROWS_AS(open_npy(npy_bytes("<i4", "(0, 5)", "")), InputError);
  CHECK_THROWS_WITH(open_npy(npy_bytes("<f4", "(1,)", "abcd")), ContainsSubstring("NumPy kind"));
  CHECK_THROWS_WITH(open_npy(npy_bytes("<i4", "(1, 1, 1)", "abcd")), ContainsSubstring("3-D"));
  CHECK_THROWS_AS(open_npy(npy_bytes("<i4", "(2,)", "abcd")), InputError);
  CHECK_THROWS_AS(open_npy("not numpy"), InputError);
  CHECK_THROWS_AS(open_token_file({dir.file("missing.npy"), "u16", ""}), InputError);
  CHECK_THROWS_AS(open_token_file({dir.file("missing.bin"), "u16", ""}), InputError);
}

}  // namespace
}  // namespace hashep::test
