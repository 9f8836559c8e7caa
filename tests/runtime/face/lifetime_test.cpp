// SPDX-License-Identifier: Apache-2.0
// A program that lives long makes and drops Contexts and Stacks, after errors too: they leave
// nothing behind in the process, on the machine or in MPI.
#include <array>
#include <filesystem>
#include <fstream>
#include <hashep/hashep.hpp>
#include <limits>
#include <string>
#include <vector>

#include "tests/support/catch.hpp"
#include "tests/support/communicator_count.hpp"

using namespace hashep;

namespace {

#ifdef __SANITIZE_ADDRESS__  // sees what is left behind after a few
constexpr int kTimes = 200;
#else
constexpr int kTimes = 1000;
#endif
constexpr int kWarmUp = kTimes / 5;
constexpr int64_t kTokens = 6;
const StackShape kShape{.num_layers = 2, .hidden_size = 16, .ffn_size = 8, .num_experts = 8};

/// What ends a Context's life.
enum class End { good, bad_id, bad_weights, wrong_shape, planned_and_dropped };

/// Synthetic weights, of which one is not a number where `is_bad`.
class Weights final : public WeightSource {
 public:
  explicit Weights(bool is_bad) : is_bad_(is_bad) {}
  LoadedFfn routed_expert(int64_t layer, int64_t expert) const override {
    LoadedFfn ffn = good_->routed_expert(layer, expert);
    if (is_bad_) {
      *reinterpret_cast<float*>(ffn.owned.front().data()) = std::numeric_limits<float>::infinity();
    }
    return ffn;
  }

 private:
  std::unique_ptr<WeightSource> good_ = make_synthetic_weights(kShape, DType::f32, 1);
  bool is_bad_;
};

/// Lives and ends. `number` changes from one life to the next.
void live(End end, int number) {
  constexpr std::array kTransports = {TransportKind::shm, TransportKind::hier, TransportKind::mpi};
  const Context context(MPI_COMM_WORLD, {.transport = kTransports[number % 3], .threads = 1});
  const bool is_culprit = context.rank() == number % context.size();
  const Weights weights(end == End::bad_weights && is_culprit);
  Stack stack(context, kShape, HashRouter({.vocab_size = 100, .seed = 1}), weights);
  std::vector<int32_t> ids(kTokens, static_cast<int32_t>(number % 100));
  if (end == End::bad_id && is_culprit) ids[3] = 100;
  std::vector<float> x(kTokens * kShape.hidden_size, 1.0f);
  const Batch batch = stack.submit({.ids = ids, .seq_len = kTokens});
  const Batch next = stack.submit({.ids = ids, .seq_len = kTokens});
  if (end == End::planned_and_dropped) throw RunError("the program's own");
  const int64_t cols = end == End::wrong_shape ? kShape.hidden_size / 2 : kShape.hidden_size;
  stack.forward(batch, matrix_view(x, cols), matrix_view(x, cols));
}

/// What is left behind.
struct Traces {
  int64_t communicators = 0;
  int64_t descriptors = 0;
  int64_t shared_maps = 0;
  int64_t shared_files = 0;
  int64_t resident = 0;  // bytes
};

Traces look() {
  Traces traces;
  traces.communicators = test::communicators_held();
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    ++traces.descriptors;
  }
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (line.find("/dev/shm/hashep") != std::string::npos) ++traces.shared_maps;
  }
  for (const auto& entry : std::filesystem::directory_iterator("/dev/shm")) {
    if (entry.path().filename().string().starts_with("hashep")) ++traces.shared_files;
  }
  std::ifstream statm("/proc/self/statm");
  int64_t pages = 0;
  statm >> pages >> traces.resident;
  traces.resident *= 4096;
  return traces;
}

}  // namespace

TEST_CASE("many Contexts, half of them ended by an error, leave nothing behind") {
  constexpr std::array kErrors = {End::bad_id, End::bad_weights, End::wrong_shape,
                                  End::planned_and_dropped};
  Traces before;
  int64_t errors = 0;
  for (int time = 0; time < kTimes; ++time) {
    if (time == kWarmUp) {
      MPI_Barrier(MPI_COMM_WORLD);
      before = look();
    }
    const End end = time % 2 == 0 ? End::good : kErrors[time / 2 % 4];
    try {
      live(end, time);
    } catch (const Error&) {
      ++errors;
    }
  }
  MPI_Barrier(MPI_COMM_WORLD);
  const Traces after = look();
  CHECK(errors == kTimes / 2);
  CHECK(test::communicators_made() >= int64_t{4} * kTimes);
  CHECK(after.communicators == 0);
  CHECK(after.descriptors == before.descriptors);
  CHECK(after.shared_maps == 0);
  CHECK(after.shared_files == before.shared_files);
#ifndef __SANITIZE_ADDRESS__  // which keeps freed memory for a while, and tells leaks at the end
  INFO("resident: " << before.resident << " bytes, then " << after.resident);
  CHECK(after.resident - before.resident < 2 << 20);  // Open MPI: below 1, MPICH on 4 ranks: 1.6
#endif
}
