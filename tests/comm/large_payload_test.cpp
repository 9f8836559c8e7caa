// SPDX-License-Identifier: Apache-2.0
// One message of over 2^31 elements (hence over 2^32 bytes in bf16) through transport mpi. Needs
// some 14 GB: it is skipped, in words, where less is free.
#include <cstdio>
#include <fstream>
#include <string>

#include "comm/exchange/mpi_transport.hpp"
#include "hashep/buffer.hpp"
#include "tests/support/catch.hpp"

using namespace hashep;

namespace {

int64_t available_bytes() {
  std::ifstream file("/proc/meminfo");
  std::string key;
  int64_t kib = 0;
  for (std::string unit; file >> key >> kib;) {
    if (key == "MemAvailable:") return kib * 1024;
    std::getline(file, unit);
  }
  return 0;
}

}  // namespace

TEST_CASE("a payload of over 2^31 elements and over 2^32 bytes arrives whole") {
  const Communicator comm(MPI_COMM_WORLD);
  Watch watch(comm, 280.0, nullptr);
  int64_t available = available_bytes();
  MPI_Bcast(&available, 1, MPI_INT64_T, 0, MPI_COMM_WORLD);  // one decision for all
  if (available < int64_t{15} << 30) {
    if (comm.rank() == 0)
      std::printf("skipped: %lld bytes free\n", static_cast<long long>(available));
    return;
  }
  // Rank 0 has all tokens, rank 1 all experts. Each token goes to all 8 experts, so that x is an
  // eighth of what is sent.
  constexpr int64_t kHidden = 65536;
  constexpr int kTopK = 8;
  constexpr int64_t kTokens = 4097;  // 8 x 4097 x 65536 = 2^31 + 2^19 elements
  static_assert(kTokens * kTopK * kHidden > int64_t{1} << 31);
  const Placement placement(std::vector<int32_t>(kTopK, 1), 2);
  std::vector<CountWord> counts(2 * kTopK);
  std::fill_n(counts.begin(), kTopK, kTokens);
  std::vector<int32_t> experts;
  if (comm.rank() == 0) {
    for (int64_t token = 0; token < kTokens; ++token) {
      for (int32_t j = 0; j < kTopK; ++j) experts.push_back(j);
    }
  }
  const ExchangePlan plan = make_plan(std::move(experts), kTopK, counts, placement, comm.rank());
  Buffer buffer(plan.tokens * kHidden * 2);
  const MatrixView x = buffer.matrix(DType::bf16, plan.tokens, kHidden);
  for (int64_t token = 0; token < plan.tokens; ++token) {
    for (int64_t c = 0; c < kHidden; ++c) {
      x.row_as<BFloat16>(token)[c].bits = static_cast<uint16_t>(token * 31 + c);
    }
  }
  MpiTransport transport(comm, watch, 1);
  transport.reserve({&plan, 1}, DType::bf16, kHidden);
  const MatrixView rows = transport.dispatch(plan, x);
  CHECK(rows.rows == (comm.rank() == 1 ? kTokens * kTopK : 0));
  int64_t wrong = 0;
  for (int64_t row = 0; row < rows.rows; ++row) {
    const BFloat16* values = rows.row_as<BFloat16>(row);
    for (int64_t c = 0; c < kHidden; ++c) {
      wrong += values[c].bits != static_cast<uint16_t>(row % kTokens * 31 + c) ? 1 : 0;
    }
  }
  CHECK(wrong == 0);
}
