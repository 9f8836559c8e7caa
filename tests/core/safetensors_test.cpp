// SPDX-License-Identifier: Apache-2.0
#include "core/safetensors.hpp"

#include <array>
#include <cstring>
#include <filesystem>

#include "core/atomic_file.hpp"
#include "hashep/error.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/tensor_files.hpp"

using namespace hashep;
using test::TempDir;

namespace {

std::vector<std::byte> file_of(const std::string& header, size_t data_size) {
  std::vector<std::byte> bytes(8 + header.size() + data_size);
  const uint64_t length = header.size();
  std::memcpy(bytes.data(), &length, 8);
  std::memcpy(bytes.data() + 8, header.data(), header.size());
  return bytes;
}

std::string error_of(std::span<const std::byte> bytes) {
  try {
    parse_safetensors(bytes, std::ssize(bytes), "w.safetensors");
  } catch (const InputError& error) {
    return error.what();
  }
  return "no error";
}

std::string error_of(const std::string& header, size_t data_size) {
  return error_of(file_of(header, data_size));
}

std::string entry(const std::string& name, const std::string& dtype, const std::string& shape,
                  const std::string& offsets) {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape +
         ",\"data_offsets\":" + offsets + "}";
}

/// The error of a file with one entry and four bytes of data.
std::string error_of_entry(const std::string& dtype, const std::string& shape,
                           const std::string& offsets) {
  return error_of("{" + entry("t", dtype, shape, offsets) + "}", 4);
}

}  // namespace

TEST_CASE("tensors are found where the header says") {
  // "c" starts at an odd offset, which the format allows.
  const auto bytes = file_of(
      "{" + entry("c", "F32", "[1,2]", "[3,11]") + "," + entry("a", "I8", "[3]", "[0,3]") + "," +
          entry("empty", "F32", "[0,5]", "[11,11]") + "," +
          entry("scalar", "I64", "[]", "[11,19]") + ",\"__metadata__\":{\"format\":\"pt\"}}  ",
      19);
  const SafeTensors file = parse_safetensors(bytes, std::ssize(bytes), "f");
  CHECK(file.metadata == std::map<std::string, std::string>{{"format", "pt"}});
  REQUIRE(file.skipped.size() == 1);
  CHECK(file.skipped.at("a").dtype == "I8");
  CHECK(file.skipped.at("a").bytes == 3);
  REQUIRE(file.tensors.size() == 3);
  const SafeTensor& tensor = file.tensors.at("c");
  CHECK(tensor.dtype == DType::f32);
  CHECK(tensor.num_elements() == 2);
  CHECK(tensor.offset == std::ssize(bytes) - 16);
  CHECK(file.tensors.at("empty").num_elements() == 0);
  CHECK(file.tensors.at("scalar").num_elements() == 1);
}

TEST_CASE("a tensor is a matrix of its own shape alone") {
  SafeTensor tensor{DType::f32, {2, 3}};
  CHECK_NOTHROW(tensor.require_matrix(2, 3, "t"));
  CHECK_THROWS_WITH(tensor.require_matrix(3, 2, "a: t"), ContainsSubstring("a: t: shape [2, 3]") &&
                                                             ContainsSubstring("expected [3, 2]"));
  CHECK_THROWS_AS(tensor.require_matrix(1, 6, "t"), InputError);
  tensor.shape = {6};
  CHECK_NOTHROW(tensor.require_matrix(1, 6, "t"));
  CHECK_THROWS_AS(tensor.require_matrix(6, 1, "t"), InputError);
  CHECK_THROWS_AS(tensor.require_matrix(2, 3, "t"), InputError);
}

TEST_CASE("tensors of any other dtype are skipped by their offsets") {
  // C64 and what may come; elements of 4 and 6 bits; names that are no dtypes.
  for (const std::string dtype : {"C64", "F33", "F4", "F6_E2M3", "U2", ""}) {
    INFO(dtype);
    const auto bytes = file_of(
        "{" + entry("a", dtype, "[3]", "[0,3]") + "," + entry("b", "F32", "[1]", "[3,7]") + "}", 7);
    const SafeTensors file = parse_safetensors(bytes, std::ssize(bytes), "f");
    REQUIRE(file.skipped.size() == 1);
    CHECK(file.skipped.at("a").dtype == dtype);
    CHECK(file.skipped.at("a").bytes == 3);
    CHECK(file.tensors.at("b").offset == std::ssize(bytes) - 4);
  }
}

TEST_CASE("what stands in the place of a safetensors file is named") {
  const auto error = [](const std::string& text) {
    return error_of(std::as_bytes(std::span(text)));
  };
  CHECK_THAT(error("version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 45\n"),
             ContainsSubstring("w.safetensors: not a safetensors file: it is a git-lfs pointer"));
  CHECK_THAT(error("<!DOCTYPE html>\n<html>"), ContainsSubstring("it is a web page (HTML)"));
  CHECK_THAT(error("<?xml version=\"1.0\"?><Error/>"), ContainsSubstring("it is XML text"));
  CHECK_THAT(error("{\"error\": \"Invalid credentials\"}"), ContainsSubstring("it is JSON text"));
  CHECK_THAT(error("GGUF" + std::string("\x03\0\0\0", 4)), ContainsSubstring("GGUF"));
  CHECK_THAT(error("PK\x03\x04" + std::string(40, 'x')), ContainsSubstring("a zip archive"));
  CHECK_THAT(error("\x89HDF\r\n\x1a\n"), ContainsSubstring("HDF5"));
  CHECK_THAT(error(""), ContainsSubstring("it is empty"));
  CHECK_THAT(error(std::string(64, '\0')), ContainsSubstring("zeros"));
  CHECK_THAT(error("Entry not found"), ContainsSubstring("it is text: \"Entry not found\""));
}

TEST_CASE("a file cut anywhere is an input error") {
  const auto bytes = file_of("{" + entry("t", "F32", "[1]", "[0,4]") + "}", 4);
  REQUIRE(error_of(bytes) == "no error");
  for (size_t cut = 0; cut < bytes.size(); ++cut) {
    INFO("cut to " << cut << " bytes");
    CHECK_THAT(error_of(std::span(bytes).first(cut)), ContainsSubstring("w.safetensors: "));
  }
}

TEST_CASE("a lying length word is an input error") {
  auto bytes = file_of("{}", 0);
  REQUIRE(error_of(bytes) == "no error");
  for (const uint64_t length : {uint64_t{3}, uint64_t{100'000'001}, ~uint64_t{0}}) {
    std::memcpy(bytes.data(), &length, 8);
    CHECK_THAT(error_of(bytes), ContainsSubstring(std::to_string(length)));
  }
}

TEST_CASE("a lying header is an input error that names the tensor") {
  REQUIRE(error_of_entry("F32", "[1]", "[0,4]") == "no error");
  const auto names_tensor = ContainsSubstring("w.safetensors: tensor \"t\": ");
  for (const auto* shape :
       {"[-1]", "[1.0]", "1", "[\"1\"]", "[[1]]", "{}", "null", "[9223372036854775808]", "[2]",
        "[0]", "[4294967296,4294967296]", "[2147483648,8589934592]", "[1,-1]"}) {
    INFO("shape " << shape);
    CHECK_THAT(error_of_entry("F32", shape, "[0,4]"), names_tensor);
  }
  for (const auto* offsets : {"[0]", "[0,4,4]", "[4,0]", "[-4,0]", "[0,8]", "[4,8]", "[1,5]", "4",
                              "[18446744073709551612,18446744073709551616]", "[0,3]"}) {
    INFO("data_offsets " << offsets);
    CHECK_THAT(error_of_entry("F32", "[1]", offsets), names_tensor);
  }
  CHECK_THAT(error_of_entry("C64", "[1]", "[0,8]"), names_tensor);
  CHECK_THAT(error_of("{\"t\":1}", 0), names_tensor);
  CHECK_THAT(error_of("{\"t\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4), names_tensor);
  CHECK_THAT(error_of("{\"t\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4), names_tensor);
  CHECK_THAT(error_of("{\"t\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4), names_tensor);
}

TEST_CASE("tensors that leave gaps, overlap or miss bytes are input errors") {
  const auto two = [](const std::string& first, const std::string& second, size_t size) {
    return error_of(
        "{" + entry("a", "U8", "[4]", first) + "," + entry("b", "U8", "[4]", second) + "}", size);
  };
  REQUIRE(two("[0,4]", "[4,8]", 8) == "no error");
  REQUIRE(two("[4,8]", "[0,4]", 8) == "no error");
  CHECK_THAT(two("[0,4]", "[5,9]", 9), ContainsSubstring("tensor \"b\": its data start at 5"));
  CHECK_THAT(two("[0,4]", "[3,7]", 7), ContainsSubstring("tensor \"b\": its data start at 3"));
  CHECK_THAT(two("[0,4]", "[0,4]", 4), ContainsSubstring("its data start at 0"));
  CHECK_THAT(two("[0,4]", "[4,8]", 7), ContainsSubstring("the file has 7 bytes"));
  CHECK_THAT(two("[0,4]", "[4,8]", 9), ContainsSubstring("9 bytes of data"));
}

TEST_CASE("a header that is no strict JSON object is an input error of one line") {
  CHECK_THAT(error_of("[]", 0), ContainsSubstring("not a JSON object"));
  CHECK_THAT(error_of("", 0), ContainsSubstring("zeros"));
  CHECK_THAT(error_of(" ", 0), ContainsSubstring("not valid JSON"));
  CHECK_THAT(error_of("{\"a\":", 0), ContainsSubstring("not valid JSON"));
  CHECK_THAT(error_of(std::string(1'000'000, '['), 0), ContainsSubstring("nests deeper"));
  const std::string one = entry("t", "F32", "[1]", "[0,4]");
  CHECK_THAT(error_of("{" + one + "," + one + "}", 4), ContainsSubstring("\"t\" occurs twice"));
  CHECK_THAT(error_of("{\"__metadata__\":{\"a\":1}}", 0), ContainsSubstring("\"a\" is not a str"));
  CHECK_THAT(error_of("{\"__metadata__\":[]}", 0), ContainsSubstring("__metadata__"));
  const std::string strange = error_of("{\"two\\nlines\":1}", 0);
  CHECK(strange.find('\n') == strange.npos);
  CHECK_THAT(strange, ContainsSubstring("two?lines"));
}

TEST_CASE("a written header is read again, and data start aligned") {
  const TempDir dir;
  const std::vector<SafeTensorSpec> specs = {{"z\"\\", DType::bf16, {3}},
                                             {"a", DType::i32, {2, 1}},
                                             {"m", DType::f16, {}},
                                             {"n", DType::i64, {0}}};
  const std::string header = safetensors_header(specs, {{"seed", "1"}});
  CHECK(header.size() % 8 == 0);
  AtomicFile file(dir.file("w.safetensors"));
  file.write(header);
  file.write(std::string(6, '\x01') + "abcdefgh" + std::string(2, '\x01'));
  file.commit();

  const SafeTensorsFile first(dir.file("w.safetensors"));
  CHECK(first.contents().metadata.at("seed") == "1");
  for (const SafeTensorSpec& spec : specs) {
    CHECK(first.at(spec.name).shape == spec.shape);
    CHECK(first.at(spec.name).dtype == spec.dtype);
  }
  CHECK(first.at("a").offset == first.at("z\"\\").offset + 6);
  const TensorContents whole = first.read("a");
  CHECK(whole.shape == std::vector<int64_t>{2, 1});
  REQUIRE(whole.bytes.size() == 8);
  CHECK(whole.bytes[7] == std::byte{'h'});
  std::array<std::byte, 4> row = {};
  first.read(first.at("a"), 4, row);
  CHECK(row[0] == std::byte{'e'});
  CHECK_THROWS_AS(first.read(first.at("a"), 5, row), RunError);
  CHECK_THROWS_AS(first.read("y"), InputError);
  CHECK_FALSE(first.has("y"));
  CHECK_THROWS_WITH(first.at("y"), ContainsSubstring("w.safetensors: no tensor \"y\""));
}

TEST_CASE("a file that shrinks after its header was read is an input error with its name") {
  const TempDir dir;
  const std::string path = dir.file("w.safetensors");
  test::write_safetensors(
      path, {{"t", test::float_tensor(DType::f32, {8192, 1}, std::vector<float>(8192, 1.0f))}});
  const SafeTensorsFile file(path);
  std::filesystem::resize_file(path, 4096);
  CHECK_THROWS_AS(file.read("t"), InputError);
  CHECK_THROWS_WITH(file.read("t"), ContainsSubstring(path) && ContainsSubstring("ends at byte"));
}

TEST_CASE("a tensor of an unsupported dtype says so") {
  const TempDir dir;
  const auto bytes = file_of("{" + entry("t", "F8_E4M3", "[4]", "[0,4]") + "}", 4);
  AtomicFile file(dir.file("w.safetensors"));
  file.write(bytes);
  file.commit();
  CHECK_THROWS_WITH(
      SafeTensorsFile(dir.file("w.safetensors")).at("t"),
      ContainsSubstring("tensor \"t\"") && ContainsSubstring("unsupported dtype \"F8_E4M3\""));
}
