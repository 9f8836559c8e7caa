// SPDX-License-Identifier: Apache-2.0
#include "comm/communicator.hpp"

#include <array>
#include <string_view>
#include <utility>

#include "comm/thrown_on_all_ranks.hpp"
#include "core/narrow.hpp"
#include "hashep/error.hpp"

namespace hashep {
namespace {

MPI_Datatype element_type(DType dtype) {
  switch (dtype_size(dtype)) {
    case 2:
      return MPI_UINT16_T;
    case 4:
      return MPI_UINT32_T;
    default:
      return MPI_UINT64_T;
  }
}

}  // namespace

bool mpi_is_up() {
  int initialized = 0;
  int finalized = 0;
  return MPI_Initialized(&initialized) == MPI_SUCCESS && initialized != 0 &&
         MPI_Finalized(&finalized) == MPI_SUCCESS && finalized == 0;
}

void check_mpi(int code, const char* call) {
  if (code == MPI_SUCCESS) return;
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  if (MPI_Error_string(code, text.data(), &length) != MPI_SUCCESS) length = 0;
  throw RunError(std::string(call) + " failed with code " + std::to_string(code) + ": " +
                 std::string(text.data(), static_cast<size_t>(length)));
}

MpiSession::MpiSession(int* argc, char*** argv) {
  int provided = MPI_THREAD_SINGLE;
  check_mpi(MPI_Init_thread(argc, argv, MPI_THREAD_FUNNELED, &provided), "MPI_Init_thread");
  if (provided < MPI_THREAD_FUNNELED) {
    throw RunError("MPI_Init_thread: this MPI library does not offer MPI_THREAD_FUNNELED");
  }
}

MpiSession::~MpiSession() {
  if (mpi_is_up()) MPI_Finalize();
}

std::string MpiSession::library_version() {
  std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text{};
  int length = 0;
  check_mpi(MPI_Get_library_version(text.data(), &length), "MPI_Get_library_version");
  std::string version(text.data(), static_cast<size_t>(length));
  version = version.substr(0, version.find_first_of(",\n"));
  constexpr std::string_view kMpich = " Version:\t";  // MPICH writes "MPICH Version:\t4.0.2"
  if (const size_t at = version.find(kMpich); at != std::string::npos) {
    version.replace(at, kMpich.size(), " ");
  }
  return version;
}

Communicator::Communicator(MPI_Comm parent) {
  check_mpi(MPI_Comm_dup(parent, &comm_), "MPI_Comm_dup");
  read_place();
}

Communicator Communicator::of_node(const Communicator& parent) {
  Communicator node;
  check_mpi(MPI_Comm_split_type(parent.get(), MPI_COMM_TYPE_SHARED, parent.rank(), MPI_INFO_NULL,
                                &node.comm_),
            "MPI_Comm_split_type");
  node.read_place();
  return node;
}

Communicator Communicator::of_label(const Communicator& parent, int label) {
  Communicator part;
  check_mpi(MPI_Comm_split(parent.get(), label, parent.rank(), &part.comm_), "MPI_Comm_split");
  part.read_place();
  return part;
}

void Communicator::read_place() {
  check_mpi(MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  check_mpi(MPI_Comm_rank(comm_, &rank_), "MPI_Comm_rank");
  check_mpi(MPI_Comm_size(comm_, &size_), "MPI_Comm_size");
}

Communicator::~Communicator() {
  // Freeing is collective: while an error unwinds this rank alone, others may never come to it.
  if (comm_ != MPI_COMM_NULL && !unwinds_alone() && mpi_is_up()) MPI_Comm_free(&comm_);
}

Communicator::Communicator(Communicator&& other) noexcept
    : comm_(std::exchange(other.comm_, MPI_COMM_NULL)), rank_(other.rank_), size_(other.size_) {}

RowDatatype::RowDatatype(DType dtype, int64_t cols) {
  check_mpi(MPI_Type_contiguous(narrow<int>(cols, "row length"), element_type(dtype), &type_),
            "MPI_Type_contiguous");
  check_mpi(MPI_Type_commit(&type_), "MPI_Type_commit");
}

RowDatatype::~RowDatatype() {
  if (type_ != MPI_DATATYPE_NULL && mpi_is_up()) MPI_Type_free(&type_);
}

RowDatatype::RowDatatype(RowDatatype&& other) noexcept
    : type_(std::exchange(other.type_, MPI_DATATYPE_NULL)) {}

RowDatatype& RowDatatype::operator=(RowDatatype&& other) noexcept {
  std::swap(type_, other.type_);
  return *this;
}

}  // namespace hashep
