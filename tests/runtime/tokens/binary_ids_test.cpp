// SPDX-License-Identifier: Apache-2.0
#include "runtime/tokens/binary_ids.hpp"

#include "hashep/error.hpp"
#include "tests/runtime/routing/test_files.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/temp_dir.hpp"

namespace hashep::test {
namespace {

/// A file of these bytes, and what of it is found to be ids.
class IdFile {
 public:
  BinaryIds locate(const std::string& bytes, std::optional<TokenDtype> dtype,
                   int64_t vocab_size) const {
    write_bytes(path(), bytes);
    return locate_binary_ids(InputFile(path()), {path(), dtype, ""}, vocab_size);
  }
  std::string path() const { return dir_.file("ids.bin"); }

 private:
  TempDir dir_;
};

constexpr IdType kU16{false, 2};
constexpr IdType kU32{false, 4};
constexpr IdType kI32{true, 4};

/// 0, 3, 6 ... as ids of a type.
template <typename T>
std::string some_ids(int64_t vocab_size, size_t count = 1000) {
  std::vector<T> ids(count);
  for (size_t i = 0; i < count; ++i) ids[i] = static_cast<T>(i * 3 % size_t(vocab_size));
  return bytes_of(ids);
}

std::string llmc_header(int32_t magic, int32_t version, int32_t count) {
  std::vector<int32_t> words(256);
  words[0] = magic;
  words[1] = version;
  words[2] = count;
  return bytes_of(words);
}

TEST_CASE("binary ids are of the type that is told, or u16") {
  const IdFile file;
  CHECK(file.locate(some_ids<uint16_t>(900), std::nullopt, 900).type == kU16);
  CHECK(file.locate(some_ids<uint16_t>(900), std::nullopt, 65536).type == kU16);
  CHECK(file.locate(some_ids<int32_t>(900), TokenDtype::i32, 900).type == kI32);
  const BinaryIds ids = file.locate(some_ids<uint32_t>(900), TokenDtype::u32, 129280);
  CHECK(ids.type == kU32);
  CHECK(ids.offset == 0);
  CHECK(ids.bytes == 4000);
}

TEST_CASE("a vocabulary of more than 2^16 is not read as u16") {
  const IdFile file;
  for (const std::optional<TokenDtype> dtype : {std::optional<TokenDtype>(), {TokenDtype::u16}}) {
    CAPTURE(dtype.has_value());
    CHECK_THROWS_AS(file.locate(some_ids<int32_t>(129280, 90000), dtype, 129280), InputError);
    CHECK_THROWS_WITH(file.locate(some_ids<int32_t>(129280, 90000), dtype, 129280),
                      ContainsSubstring("u16") && ContainsSubstring("a vocabulary of 129280") &&
                          ContainsSubstring("looks like ids of 32 bits: token_dtype i32 or u32"));
    CHECK_THROWS_WITH(file.locate(some_ids<uint16_t>(900), dtype, 65537),
                      ContainsSubstring("token_dtype u32 or i32"));
  }
}

TEST_CASE("files that look like wider ids are refused, unless u16 is told") {
  const IdFile file;
  const auto refused = [&](const std::string& bytes, const std::string& look) {
    CAPTURE(look);
    CHECK_THROWS_AS(file.locate(bytes, std::nullopt, 900), InputError);
    CHECK_THROWS_WITH(file.locate(bytes, std::nullopt, 900),
                      file.path() + ": looks like ids of " + look + " bits, not of 16: " +
                          (look == "32" ? "token_dtype i32 or u32 reads them"
                                        : "save them as .npy, or as ids of 32 bits for "
                                          "token_dtype i32") +
                          " (token_dtype u16 takes them for 16 bits nevertheless)");
    CHECK(file.locate(bytes, TokenDtype::u16, 900).type == kU16);
  };
  refused(some_ids<int32_t>(900), "32");
  refused(some_ids<int32_t>(900, 4), "32");
  refused(some_ids<int32_t>(900, 100000), "32");
  refused(some_ids<int64_t>(900), "64");
  refused(bytes_of(std::vector<int32_t>{-1, -1, 7, -1, 5}), "32");
  refused(bytes_of(std::vector<int64_t>{-1, -1, 7, -1, 5}), "64");

  // Zeros alone, few ids, or one id that does not fit, say nothing.
  CHECK(file.locate(std::string(4096, '\0'), std::nullopt, 900).type == kU16);
  CHECK(file.locate(bytes_of(std::vector<uint16_t>{5, 0, 6, 0}), std::nullopt, 900).type == kU16);
  auto ids = std::vector<uint16_t>(1000);
  for (size_t i = 0; i < ids.size(); i += 2) ids[i] = 5;
  ids[501] = 1;
  CHECK(file.locate(bytes_of(ids), std::nullopt, 900).type == kU16);
}

TEST_CASE("llm.c's header is known: ids are behind it, of its type") {
  const IdFile file;
  for (const std::optional<TokenDtype> dtype : {std::optional<TokenDtype>(), {TokenDtype::u16}}) {
    const auto ids =
        file.locate(llmc_header(20240520, 1, 1000) + some_ids<uint16_t>(900), dtype, 900);
    CHECK(ids.type == kU16);
    CHECK(ids.offset == 1024);
    CHECK(ids.bytes == 2000);
  }
  // The type is told, so the vocabulary's size does not matter.
  CHECK(file.locate(llmc_header(20240520, 1, 4) + some_ids<uint16_t>(9, 4), std::nullopt, 129280)
            .bytes == 8);
  const auto wide =
      file.locate(llmc_header(20240801, 7, 1000) + some_ids<uint32_t>(900), std::nullopt, 900);
  CHECK(wide.type == kU32);
  CHECK(wide.bytes == 4000);

  const auto refused = [&](const std::string& bytes, std::optional<TokenDtype> dtype,
                           const std::string& text) {
    CHECK_THROWS_AS(file.locate(bytes, dtype, 900), InputError);
    CHECK_THROWS_WITH(file.locate(bytes, dtype, 900),
                      ContainsSubstring(file.path()) && ContainsSubstring(text));
  };
  const std::string ids = some_ids<uint16_t>(900);
  refused(llmc_header(20240520, 1, 999) + ids, std::nullopt,
          "tells of 999 ids of u16, 2000 bytes follow it");
  refused(llmc_header(20240520, 1, -1) + ids, std::nullopt, "tells of -1 ids");
  refused(llmc_header(20240520, 2, 1000) + ids, std::nullopt, "has version 2, known is 1");
  refused(llmc_header(20240801, 1, 1000) + ids, std::nullopt, "has version 1, known is 7");
  refused(llmc_header(20240520, 1, 1000) + ids, TokenDtype::u32, "says u16, token_dtype says u32");
  refused(llmc_header(20240520, 1, 1000).substr(0, 100), std::nullopt, "0 bytes follow it");
}

TEST_CASE("files of other kinds are named as what they are") {
  const IdFile file;
  const std::string pointer =
      "version https://git-lfs.github.com/spec/v1\noid sha256:4d4d\nsize 4567890123\n";
  CHECK_THROWS_WITH(file.locate(pointer, TokenDtype::u16, 65536),
                    ContainsSubstring("git-lfs pointer"));
  CHECK_THROWS_WITH(file.locate("PK\x03\x04 and so on", std::nullopt, 65536),
                    ContainsSubstring("zip"));
  CHECK_THROWS_WITH(file.locate(std::string(200, 'x'), std::nullopt, 65536),
                    file.path() + ": this is text, not binary token ids");
  CHECK(file.locate(std::string(200, 'x'), TokenDtype::u16, 65536).type == kU16);
}

}  // namespace
}  // namespace hashep::test
