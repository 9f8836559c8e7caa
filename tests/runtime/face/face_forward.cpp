// SPDX-License-Identifier: Apache-2.0
// face_forward EXPECTED.safetensors MODEL DTYPE TRANSPORT IDS.bin HIDDEN.safetensors SEQ_LEN
// WEIGHT_MEMORY: the stack of a model folder, or with MODEL `synthetic` that of face.sh, through
// the library's face, on ranks that hold uneven parts of the batch; twice, the second time with
// batches in another order. The exit code is 1 where a bit is not as expected.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <exception>
#include <hashep/hashep.hpp>
#include <string>
#include <vector>

#include "core/input_file.hpp"
#include "core/safetensors.hpp"

namespace {

using namespace hashep;

constexpr uint64_t kSeed = 3;
const StackShape kSynthetic{
    .num_layers = 2, .hidden_size = 32, .ffn_size = 16, .num_experts = 10, .top_k = 2};
constexpr int64_t kVocabulary = 64;

TransportKind transport_of(const std::string& name) {
  for (const auto kind : {TransportKind::mpi, TransportKind::shm, TransportKind::hier}) {
    if (transport_name(kind) == name) return kind;
  }
  return TransportKind::automatic;
}

/// Where the part of a rank begins: early ranks have few tokens, the first of many none.
int64_t part_begin(int64_t tokens, int64_t rank, int64_t size) {
  return size > 2 && rank == 1 ? 0 : tokens * rank * rank / (size * size);
}

int run(char** argv) {
  const std::string model = argv[2];
  const DType dtype = std::string(argv[3]) == "bf16" ? DType::bf16 : DType::f32;
  const std::vector<std::byte> id_bytes = read_file(argv[5]);
  std::vector<int32_t> ids(id_bytes.size() / sizeof(int32_t));
  std::memcpy(ids.data(), id_bytes.data(), ids.size() * sizeof(int32_t));

  const Context context(MPI_COMM_WORLD, {.transport = transport_of(argv[4]), .threads = 1});
  StackOptions options{.dtype = dtype};
  options.weight_memory = std::stoll(argv[8]);
  Stack stack =
      model == "synthetic"
          ? Stack(context, kSynthetic, HashRouter({.vocab_size = kVocabulary, .seed = kSeed}),
                  *make_synthetic_weights(kSynthetic, dtype, kSeed), options)
          : Stack::from_folder(context, model, options);

  const auto tokens = std::ssize(ids);
  const int64_t begin = part_begin(tokens, context.rank(), context.size());
  const int64_t end = part_begin(tokens, context.rank() + 1, context.size());
  const int64_t seq_len = std::stoll(argv[7]);
  const TokenBatch part{.ids = std::span(ids).subspan(begin, end - begin),
                        .seq_len = seq_len,
                        .first_position = begin,
                        .previous_id = begin == 0 ? -1 : ids[begin - 1]};
  const Batch batch = stack.submit(part);
  const Batch same = stack.submit(part);

  const int64_t hidden_size = stack.shape().hidden_size;
  const TensorContents given = SafeTensorsFile(argv[6]).read("hidden_states");
  std::vector<float> floats(given.bytes.size() / static_cast<size_t>(dtype_size(given.dtype)));
  convert_to_float(given.dtype, given.bytes.data(), std::ssize(floats), floats.data());
  const int64_t row_bytes = hidden_size * dtype_size(dtype);
  std::vector<std::byte> x(tokens * row_bytes);
  convert_from_float(floats.data(), std::ssize(floats), dtype, x.data());
  std::vector<std::byte> y((end - begin) * row_bytes);
  const TensorContents expected = SafeTensorsFile(argv[1]).read("hidden_states");
  bool good = expected.dtype == dtype && expected.bytes.size() == x.size();
  for (const Batch& each : {same, batch, batch}) {
    stack.forward(each,
                  ConstMatrixView{x.data(), dtype, tokens, hidden_size}.slice(begin, end - begin),
                  MatrixView{y.data(), dtype, end - begin, hidden_size});
    good = good && std::equal(y.begin(), y.end(), expected.bytes.begin() + begin * row_bytes);
  }
  std::printf("rank %d of %d, %s: %lld of %lld tokens, %s\n", context.rank(), context.size(),
              std::string(stack.transport()).c_str(), static_cast<long long>(end - begin),
              static_cast<long long>(tokens), good ? "the same bits" : "OTHER BITS");
  return good ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 9) return 2;
  MPI_Init(&argc, &argv);
  int code = 2;
  try {
    code = run(argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "face_forward: %s\n", error.what());
  }
  MPI_Finalize();
  return code;
}
