// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "comm/exchange/transport.hpp"
#include "kernels/ffn/gradient_oracle.hpp"
#include "runtime/layer/layer_stack.hpp"
#include "tests/support/stack_case.hpp"

namespace hashep::test {

/// What a step of training leaves on a rank.
struct TrainedStep {
  std::vector<std::byte> y;
  std::vector<std::byte> dx;
  std::map<std::string, std::vector<float>> gradients;  // "layer 0, expert 3, w1"; expert -1: of
                                                        // what all ranks hold
  int64_t parameter_bytes = 0;
  int64_t tape_bytes = 0;
  int64_t announced_tape_bytes = 0;
};

/// The case's parameters, rounded as the kernels read them.
OracleStack oracle_of(const StackCase& c);

/// How a step is made.
struct TrainingStep {
  TrainingOptions settings{.recompute = false, .gradient_block = 8};
  int batches = 1;                                     // the same one, whose gradients add up
  std::function<void(int batch)> before = [](int) {};  // forward of a batch
  std::function<void(int batch)> after = [](int) {};   // its backward
};

/// Gradients of the outputs, by global token index.
std::vector<std::byte> output_gradients(const StackCase& c, const Range& rows);

/// The plans of one rank of the case's first batch, cut at gradient blocks: as even as these let
/// it.
BatchPlan training_plan(const StackCase& c, const CaseRouting& routing, const TokenStream& stream,
                        int64_t gradient_block, int ep_size, int ep_rank);

/// Forward and backward of the case's first batch on a rank. `comm` and `watch`: null where no sums
/// over ranks are made. Collective over the transport's ranks.
TrainedStep train_step(const StackCase& c, const StackGeometry& geometry, BatchPlan plan,
                       Transport& transport, const TrainingStep& step, const Communicator* comm,
                       Watch* watch);

}  // namespace hashep::test
