// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mpi.h>

#include <cstdint>
#include <string>

#include "hashep/dtype.hpp"

namespace hashep {

/// Throws RunError with call, code and MPI's own text where `code` is not MPI_SUCCESS.
void check_mpi(int code, const char* call);

/// Whether MPI has begun and not ended. MPI objects may be dropped while an error unwinds the
/// stack, after MPI has ended.
bool mpi_is_up();

/// Initialises MPI (thread level FUNNELED) and finalises it at the end of its life.
class MpiSession {
 public:
  MpiSession(int* argc, char*** argv);
  ~MpiSession();
  MpiSession(const MpiSession&) = delete;
  MpiSession& operator=(const MpiSession&) = delete;

  /// Name and version of the MPI library, one line.
  static std::string library_version();
};

/// Owns a duplicate of a communicator, with MPI_ERRORS_RETURN. Making and dropping one is
/// collective over its ranks; while an error unwinds this rank that others may not have met
/// (ThrownOnAllRanks), it is not freed.
class Communicator {
 public:
  explicit Communicator(MPI_Comm parent);
  /// The ranks of `parent` that share memory with this one, in the same order.
  static Communicator of_node(const Communicator& parent);
  /// The ranks of `parent` that give the same `label`, not negative, in the same order.
  static Communicator of_label(const Communicator& parent, int label);
  ~Communicator();
  Communicator(Communicator&& other) noexcept;
  Communicator& operator=(Communicator&&) = delete;

  MPI_Comm get() const { return comm_; }
  int rank() const { return rank_; }
  int size() const { return size_; }

  /// Leaves it to MPI, which still works on something there.
  void abandon() noexcept { comm_ = MPI_COMM_NULL; }

 private:
  Communicator() = default;
  void read_place();

  MPI_Comm comm_ = MPI_COMM_NULL;
  int rank_ = 0;
  int size_ = 1;
};

/// Owns a committed datatype of `cols` consecutive elements, so that counts stay in rows.
class RowDatatype {
 public:
  RowDatatype(DType dtype, int64_t cols);
  ~RowDatatype();
  RowDatatype(RowDatatype&& other) noexcept;
  RowDatatype& operator=(RowDatatype&& other) noexcept;

  MPI_Datatype get() const { return type_; }

 private:
  MPI_Datatype type_ = MPI_DATATYPE_NULL;
};

}  // namespace hashep
