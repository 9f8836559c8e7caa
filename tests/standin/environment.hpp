// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "tests/standin/standin.hpp"

/// What environment variables tell the stand-in, for programs that run on it. Tests that are
/// linked with it have calls for the same (standin.hpp, nccl.hpp).
namespace hashep::test::standin {

/// HASHEP_STANDIN_GPUS: how many GPUs there are; 1 where it is not set.
int gpus_from_environment();

/// HASHEP_STANDIN_ORDER: "blocking", or "queues:2" for Order::queues with 2 queues; eager where it
/// is not set.
struct PlannedOrder {
  Order order = Order::eager;
  int queues = kQueues;
};
PlannedOrder order_from_environment();

/// This process among those of its mpirun; alone: 0 of 1.
int rank_from_environment();
int ranks_from_environment();

/// A failure on purpose.
struct PlannedFailure {
  std::string what;
  int code = 0;
  int64_t at = 0;  // which time, from 0
};

/// The value "RANK:WHAT:CODE@TIME" of an environment variable, where this process is rank RANK of
/// its mpirun (alone: rank 0); nothing where it is another, or the variable is not set. Throws
/// std::logic_error where it cannot be read.
///   HASHEP_STANDIN_FAIL=1:cudaMalloc:2@30          the 31st cudaMalloc of rank 1 fails with code 2
///   HASHEP_STANDIN_NCCL=0:async_error:6@3          as nccl_async_error(6, 3) on rank 0
///   HASHEP_STANDIN_NCCL=1:never_complete:0@3       as nccl_never_complete(3) on rank 1
std::optional<PlannedFailure> failure_from_environment(const char* variable);

}  // namespace hashep::test::standin
