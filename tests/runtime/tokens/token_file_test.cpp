// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <filesystem>
#include <limits>

#include "hashep/error.hpp"
#include "runtime/tokens/token_stream.hpp"
#include "tests/runtime/routing/test_files.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/temp_dir.hpp"

namespace hashep::test {
namespace {

constexpr int64_t kMaxVocab = std::numeric_limits<int32_t>::max();

std::vector<int32_t> read(const TokenStream& stream, int64_t first, int64_t count) {
  std::vector<int32_t> ids(count);
  stream.read(first, ids);
  return ids;
}

/// Writes the smallest and largest ids of T that are token ids, and reads them as `descr`.
template <typename T>
void check_npy(const TempDir& dir, const std::string& descr) {
  const auto largest =
      static_cast<T>(std::min<uint64_t>(std::numeric_limits<T>::max(), kMaxVocab - 1));
  const auto smallest = static_cast<T>(std::numeric_limits<T>::is_signed ? -1 : 0);
  const std::vector<T> values = {3, largest, smallest, 7};
  const std::string path = dir.file("ids.npy");
  for (const size_t misalignment : {0, 1}) {
    write_bytes(path, npy_bytes(descr, "(4,)", bytes_of(values), misalignment));
    const auto stream = open_token_file({path, TokenDtype::u16, ""}, kMaxVocab);
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
  const auto stream = open_token_file({path, TokenDtype::u16, ""}, kMaxVocab);
  CHECK(stream->natural_seq_len() == 3);
  CHECK(stream->size() == 6);
  CHECK(read(*stream, 0, 6) == std::vector<int32_t>{1, 2, 3, 4, 5, 6});
}

TEST_CASE(".bin ids are of the type that is told") {
  const TempDir dir;
  const std::string path = dir.file("ids.bin");
  const auto read_bin = [&](const std::string& bytes, std::optional<TokenDtype> dtype) {
    write_bytes(path, bytes);
    const auto stream = open_token_file(
        {path, dtype, ""}, dtype.value_or(TokenDtype::u16) == TokenDtype::u16 ? 65536 : 70001);
    return read(*stream, 0, stream->size().value());
  };
  CHECK(read_bin(bytes_of(std::vector<uint16_t>{1, 65535}), TokenDtype::u16) ==
        std::vector<int32_t>{1, 65535});
  CHECK(read_bin(bytes_of(std::vector<uint16_t>{1, 65535}), std::nullopt) ==
        std::vector<int32_t>{1, 65535});
  CHECK(read_bin(bytes_of(std::vector<uint32_t>{70000, 2}), TokenDtype::u32) ==
        std::vector<int32_t>{70000, 2});
  CHECK(read_bin(bytes_of(std::vector<int32_t>{-1, 70000}), TokenDtype::i32) ==
        std::vector<int32_t>{-1, 70000});
  CHECK_THROWS_WITH(read_bin("abcde", TokenDtype::u32),
                    path + ": 5 bytes, not a multiple of 4 (u32)");
  CHECK_THROWS_AS(read_bin("abcde", TokenDtype::u16), InputError);
  CHECK_THROWS_WITH(read_bin("", TokenDtype::u16), path + ": no token ids in it");
}

TEST_CASE("an id outside the vocabulary is named when it is read, with its file") {
  const TempDir dir;
  const std::string bin = dir.file("ids.bin");
  write_bytes(bin, bytes_of(std::vector<uint32_t>{1, 2, 0x80000000u}));
  const auto stream = open_token_file({bin, TokenDtype::u32, ""}, 7);
  CHECK(read(*stream, 0, 2) == std::vector<int32_t>{1, 2});
  CHECK_THROWS_WITH(read(*stream, 4, 2),
                    bin +
                        ": token 2 has id 2147483648, outside [0, 7); if it is padding: "
                        "padding_id 2147483648");
  const std::string npy = dir.file("ids.npy");
  write_bytes(npy, npy_bytes("<i8", "(1,)", bytes_of(std::vector<int64_t>{-(int64_t{1} << 40)})));
  CHECK_THROWS_AS(read(*open_token_file({npy}, 7), 0, 1), InputError);
}

/// Reads these ids, written as T and as `descr`, all of them, with `padding_id`.
template <typename T>
std::vector<int32_t> read_padded(const TempDir& dir, const std::string& descr,
                                 const std::vector<T>& ids, int64_t padding_id) {
  TokenFile file{.path = dir.file("padded.npy"), .padding_id = padding_id};
  write_bytes(file.path, npy_bytes(descr, "(" + std::to_string(ids.size()) + ",)", bytes_of(ids)));
  return read(*open_token_file(file, 10), 0, std::ssize(ids));
}

TEST_CASE("the padding id is read as padding, and so is -1") {
  const TempDir dir;
  const std::vector<int32_t> expected = {1, -1, 9, -1};
  CHECK(read_padded<uint16_t>(dir, "<u2", {1, 65535, 9, 65535}, 65535) == expected);
  CHECK(read_padded<uint8_t>(dir, "|u1", {1, 3, 9, 3}, 3) == expected);  // of the vocabulary
  CHECK(read_padded<int32_t>(dir, "<i4", {1, -100, 9, -1}, -100) == expected);
  CHECK(read_padded<uint32_t>(dir, "<u4", {1, 4294967295u, 9, 4294967295u}, 4294967295) ==
        expected);
  CHECK(read_padded<int64_t>(dir, "<i8", {1, int64_t{1} << 40, 9, -1}, int64_t{1} << 40) ==
        expected);
  CHECK(read_padded<int64_t>(dir, "<i8", {1, -1, 9, -1}, -1) == expected);
  // What does not fit the type is no id of it.
  CHECK_THROWS_WITH(read_padded<uint16_t>(dir, "<u2", {1, 65535}, -65535),
                    ContainsSubstring("token 1 has id 65535, outside [0, 10); if it is padding: "
                                      "padding_id 65535"));
  CHECK_THROWS_AS(read_padded<int16_t>(dir, "<i2", {1, -1, -2}, 65535), InputError);
  CHECK_THROWS_WITH(read_padded<uint64_t>(dir, "<u8", {~uint64_t{0}}, -1),
                    ContainsSubstring("has id 18446744073709551615"));
}

TEST_CASE("ids of several blocks are read as they stand, and the bad one is named") {
  const TempDir dir;
  std::vector<uint16_t> ids(100'003);
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<uint16_t>(i * 31 % 50000);
  const std::string path = dir.file("ids.bin");
  write_bytes(path, bytes_of(ids));
  const auto stream = open_token_file({path}, 50000);
  CHECK(read(*stream, 1, std::ssize(ids) - 1) == std::vector<int32_t>(ids.begin() + 1, ids.end()));
  ids[77'777] = 50000;
  write_bytes(path, bytes_of(ids));
  CHECK_THROWS_WITH(read(*open_token_file({path}, 50000), 70'000, 20'000),
                    ContainsSubstring(path + ": token 77777 has id 50000"));
}

TEST_CASE("a file that changes after it was opened is an error with its name") {
  const TempDir dir;
  const std::string path = dir.file("ids.bin");
  const auto open = [&] {
    write_bytes(path, bytes_of(std::vector<uint16_t>(1000, 3)));
    return open_token_file({path, TokenDtype::u16, ""}, 10);
  };
  const auto stream = open();
  CHECK(read(*stream, 0, 1000) == std::vector<int32_t>(1000, 3));
  std::filesystem::resize_file(path, 100);
  CHECK_THROWS_AS(read(*stream, 0, 1000), InputError);
  CHECK_THROWS_WITH(read(*stream, 0, 1000), ContainsSubstring(path));
  CHECK_THROWS_WITH(read(*stream, 0, 3), path + ": was changed while it was read");

  // Of the same size, with ids that are as good.
  const auto second = open();
  write_bytes(path, bytes_of(std::vector<uint16_t>(1000, 4)));
  std::filesystem::last_write_time(
      path, std::filesystem::file_time_type::clock::now() + std::chrono::seconds(2));
  CHECK_THROWS_WITH(read(*second, 0, 3), path + ": was changed while it was read");

  // A new file in its place is not the one that is open.
  const auto third = open();
  write_bytes(dir.file("new.bin"), bytes_of(std::vector<uint16_t>(1000, 4)));
  std::filesystem::rename(dir.file("new.bin"), path);
  CHECK(read(*third, 0, 1000) == std::vector<int32_t>(1000, 3));
}

TEST_CASE("a batch that is longer than its file is told of") {
  const VectorStream stream({1, 2, 3});
  CHECK(repetition_note(stream, "a.bin", 3).empty());
  CHECK(repetition_note(stream, "a.bin", 4) ==
        "a.bin holds 3 tokens, fewer than a batch of 4: they are repeated within each batch");
  CHECK(repetition_note(*make_zipf_stream(5, 1.0, 0), "", 4).empty());
}

TEST_CASE("files without token ids are refused") {
  const TempDir dir;
  const std::string npy = dir.file("ids.npy");
  const auto open_npy = [&](const std::string& bytes) {
    write_bytes(npy, bytes);
    return open_token_file({npy, TokenDtype::u16, ""}, 7);
  };
  CHECK_THROWS_WITH(open_npy(npy_bytes("<i4", "(0,)", "")), npy + ": no token ids in it");
  CHECK_THROWS_AS(open_npy(npy_bytes("<i4", "(0, 5)", "")), InputError);
  CHECK_THROWS_WITH(open_npy(npy_bytes("<f4", "(1,)", "abcd")), ContainsSubstring("NumPy kind"));
  CHECK_THROWS_WITH(open_npy(npy_bytes("<i4", "(1, 1, 1)", "abcd")), ContainsSubstring("3-D"));
  CHECK_THROWS_AS(open_npy(npy_bytes("<i4", "(2,)", "abcd")), InputError);
  CHECK_THROWS_AS(open_npy("not numpy"), InputError);
  CHECK_THROWS_AS(open_token_file({dir.file("missing.npy"), TokenDtype::u16, ""}, 7), InputError);
  CHECK_THROWS_AS(open_token_file({dir.file("missing.bin"), TokenDtype::u16, ""}, 7), InputError);
}

}  // namespace
}  // namespace hashep::test
