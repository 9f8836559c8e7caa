// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

/// The stand-in's NCCL: messages over MPI between all ranks of MPI_COMM_WORLD, for the calls that
/// HashEP makes, with the rules that NCCL's documentation gives for them. A group is one piece of
/// work of its stream. Communicators are non-blocking (but with NCCL_COMM_BLOCKING=1), and whatever
/// may be in progress is so at the first look; a group is in its stream only when the communicator
/// says that it is no longer in progress. ncclCommAbort returns when no graph holds a group of the
/// communicator any more, and a little later; until then what such groups sent and received must
/// stay. Memory is registered where ncclMemAlloc gave it, at both ends of a message or at neither,
/// and goes when it no longer is. Beyond what NCCL checks, it refuses groups of one communicator
/// without an order between them, receives that overlap, and messages of unequal size at both ends.
namespace hashep::test::standin {

/// Failures since `reset`, counted in groups that this rank begins to run, from 0; replays of a
/// graph count each time.

/// Group `n` meets this error (an ncclResult_t): neither it nor a later one completes, and
/// ncclCommGetAsyncError tells it.
void nccl_async_error(int code, int64_t n);

/// Group `n` and later ones do not complete until ncclCommAbort.
void nccl_never_complete(int64_t n);

/// ncclCommAbort does not return.
void nccl_hang_abort();

/// Groups begun since `reset`.
int64_t nccl_groups();

}  // namespace hashep::test::standin
