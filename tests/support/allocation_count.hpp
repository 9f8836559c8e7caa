// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace hashep::test {

/// Calls of operator new and mmap made by HashEP's own code so far, on all threads.
/// Programs that ask link with the flags of hashep_allocation_count, which wrap these calls in all
/// that is linked statically; what shared libraries (oneDNN, MPI) do inside is theirs.
int64_t allocation_count();

/// The calls of operator new among them: none of a C library that is linked statically.
int64_t new_count();

/// The bytes that they asked for, freed or not.
int64_t allocated_bytes();

}  // namespace hashep::test
