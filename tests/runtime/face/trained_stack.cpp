// SPDX-License-Identifier: Apache-2.0
#include "tests/runtime/face/trained_stack.hpp"

#include <algorithm>

#include "tests/support/catch.hpp"

namespace hashep::test {

std::vector<std::byte> rows(DType dtype, int64_t begin, int64_t end, int64_t seed) {
  std::vector<std::byte> bytes;
  for (int64_t i = begin * kHiddenSize; i < end * kHiddenSize; ++i) {
    const auto value = static_cast<float>((i * 37 + seed * 11) % 101 - 50) / 40.0f;
    std::byte element[4];
    convert_from_float(&value, 1, dtype, element);
    bytes.insert(bytes.end(), element, element + dtype_size(dtype));
  }
  return bytes;
}

MatrixView view(std::vector<std::byte>& bytes, DType dtype) {
  const int64_t row_bytes = kHiddenSize * dtype_size(dtype);
  return {bytes.data(), dtype, std::ssize(bytes) / row_bytes, kHiddenSize};
}

Part::Part(int64_t rank, int64_t size) {
  const int64_t blocks = (kTokens + kBlock - 1) / kBlock;
  const auto edge = [&](int64_t at) {
    return std::min(kTokens, blocks * std::min(size, at) / size * kBlock);
  };
  begin = edge(rank % 2 == 0 ? rank : rank + 1);
  end = edge(rank % 2 == 0 ? rank + 2 : rank + 1);
  for (int64_t i = begin; i < end; ++i) {
    ids.push_back(i % 9 == 4 ? kPaddingId : static_cast<int32_t>((i * i * 31 + i) % kVocabulary));
  }
}

std::vector<float> values_of(ConstMatrixView matrix) {
  const auto* const first = reinterpret_cast<const float*>(matrix.data);
  return {first, first + matrix.rows * matrix.cols};
}

std::string name_of(const Parameter& parameter) {
  return std::to_string(parameter.layer) + "." + std::to_string(parameter.expert) + "." +
         parameter.name;
}

std::shared_ptr<const Router> router_for(const StackShape& shape) {
  if (shape.num_routed_layers() == 0) return nullptr;
  return std::make_shared<HashRouter>(HashRouterConfig{.vocab_size = kVocabulary, .seed = 4});
}

Stack make_stack(const Context& context, const Training& training) {
  return Stack(context, training.shape, router_for(training.shape),
               *make_synthetic_weights(training.shape, DType::f32, 2),
               {.dtype = training.dtype, .training = training.options});
}

Trained train(const Context& context, const Training& training) {
  const DType dtype = training.dtype;
  Stack stack = make_stack(context, training);
  AdamW optimizer(stack, training.adamw);
  const Part part(context.rank(), context.size());
  Tape tape;
  Trained result;
  for (int step = 0; step < training.steps; ++step) {
    const Batch batch = stack.submit(part.tokens());
    // Gradients of two batches add up; both have the same ids.
    for (int64_t half = 0; half < 2; ++half) {
      result.y = rows(dtype, part.begin, part.end, 2 * step + half);
      result.dx = rows(dtype, part.begin, part.end, 100 + 2 * step + half);
      stack.forward(batch, view(result.y, dtype), view(result.y, dtype), tape);
      CHECK(tape.bytes() >= stack.tape_bytes(batch));
      if (training.shape.gate) result.losses.push_back(stack.gate_losses(batch, tape));
      stack.backward(batch, tape, view(result.dx, dtype), view(result.dx, dtype));
    }
    result.norms.push_back(optimizer.step(0.01f));
  }
  CHECK(optimizer.steps() == training.steps);
  for (const ParameterState& state : optimizer.states()) {
    const std::string name = name_of(state.parameter);
    result.parameters[name] = values_of(state.parameter.value);
    result.parameters[name + ".m"] = values_of(state.first_moment);
    result.parameters[name + ".v"] = values_of(state.second_moment);
  }
  return result;
}

}  // namespace hashep::test
