// SPDX-License-Identifier: Apache-2.0
// A caller that lives long catches errors which all ranks have met, and goes on: what it shared
// with other ranks is given back each time.
#include <fstream>
#include <string>

#include "comm/agreement.hpp"
#include "comm/count_exchange.hpp"
#include "comm/shared_window.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/communicator_count.hpp"
#include "tests/support/ranks.hpp"
#include "tests/support/step_loop.hpp"

using namespace hashep;

namespace {

/// Ids of which one, in the batch of step 1, is outside the vocabulary.
class WrongStream final : public TokenStream {
 public:
  WrongStream(const test::StackCase& c)
      : good_(test::repeating_stream(c.config.vocab_size, c.batch_tokens)),
        wrong_(c.batch_tokens + c.batch_tokens / 2) {}
  void read(int64_t first, std::span<int32_t> out) const override {
    good_->read(first, out);
    const int64_t place = wrong_ - first;
    if (place >= 0 && place < std::ssize(out)) out[place] = 1 << 20;
  }
  std::optional<int64_t> size() const override { return std::nullopt; }

 private:
  std::unique_ptr<TokenStream> good_;
  int64_t wrong_;
};

/// The shared memory that this process has mapped.
int64_t num_shared_maps() {
  std::ifstream maps("/proc/self/maps");
  int64_t count = 0;
  for (std::string line; std::getline(maps, line);)
    count += line.find("/dev/shm/hashep") < line.size();
  return count;
}

}  // namespace

TEST_CASE("bad ids that are caught leave no shared memory and no communicator behind") {
  test::StackCase c = test::stack_cases().front();
  c.seq_len = c.batch_tokens;
  const WrongStream stream(c);
  const test::StepLooks looks{[](int64_t) {}, [](int64_t) {}, [](int64_t) {}};
  for (const auto transport : {TransportKind::shm, TransportKind::hier, TransportKind::mpi}) {
    // With depth 3 planning exchanges of later batches are under way when the error is thrown.
    for (const int depth : {0, 3}) {
      INFO(transport_name(transport) << ", depth " << depth);
      const auto run_and_catch = [&] {
        const Communicator comm(MPI_COMM_WORLD);
        Watch watch(comm, 120.0, nullptr);
        try {
          const Topology topology = topology_by_label(
              comm, watch, transport == TransportKind::hier ? comm.rank() / 2 : 0);
          test::run_step_loop(c, stream, {.transport = transport, .plan_depth = depth}, comm,
                              topology, watch, 6, looks);
        } catch (const InputError&) {
          return true;
        }
        return false;
      };
      REQUIRE(run_and_catch());
      const int64_t communicators = test::communicators_held();
      const int64_t maps = num_shared_maps();
      CHECK(maps == 0);
      int64_t caught = 0;
      for (int time = 0; time < 50; ++time) caught += run_and_catch();
      CHECK(caught == 50);
      CHECK(num_shared_maps() == maps);
      CHECK(test::communicators_held() == communicators);
    }
  }
}

TEST_CASE("an error that one rank meets alone leaves communicators, and no shared memory") {
  test::Ranks ranks;
  const int64_t maps = num_shared_maps();
  const int64_t communicators = test::communicators_held();
  const auto fail_alone = [&] {
    const Communicator comm(MPI_COMM_WORLD);
    SharedWindow window(ranks.comm, ranks.watch, 4096);
    window.reserve(ranks.comm, ranks.watch, {0, 4096});
    CHECK(num_shared_maps() == maps + 1);
    throw RunError("alone");
  };
  CHECK_THROWS_AS(fail_alone(), RunError);
  CHECK(num_shared_maps() == maps);
  CHECK(test::communicators_held() > communicators);
}

TEST_CASE("which errors unwind all ranks") {
  struct Look {
    bool& alone;
    ~Look() { alone = unwinds_alone(); }
  };
  bool alone = true;
  { const Look look{alone}; }
  CHECK_FALSE(alone);
  try {
    const Look look{alone};
    throw RunError("alone");
  } catch (const RunError&) {
  }
  CHECK(alone);
  try {
    const Look look{alone};
    throw CollectiveRunError("all", true);
  } catch (const RunError&) {
    CHECK_FALSE(alone);
    try {
      const Look inner{alone};
      throw RunError("alone, while one of all is handled");
    } catch (const RunError&) {
    }
    CHECK(alone);
    try {
      const Look inner{alone};
      throw CollectiveInputError("another of all", true);
    } catch (const InputError&) {
    }
    CHECK_FALSE(alone);
  }
}
