// SPDX-License-Identifier: Apache-2.0
#include "comm/gather.hpp"

#include <algorithm>
#include <memory>
#include <utility>

#include "core/narrow.hpp"

namespace hashep {
namespace {

constexpr size_t kPiece = size_t{1} << 22;  // values

template <typename T>
std::vector<T> reduce(const Communicator& comm, Watch& watch, std::vector<T> values,
                      MPI_Datatype type, MPI_Op op) {
  const auto all = std::make_shared<std::vector<T>>(std::move(values));
  const int count = narrow<int>(std::ssize(*all), "number of values to reduce");
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(MPI_Iallreduce(MPI_IN_PLACE, all->data(), count, type, op, comm.get(), &request),
            "MPI_Iallreduce");
  watch.count_collective();
  watch.wait(request, all);
  return std::move(*all);
}

/// Piece by piece: MPI counts in int, and needs as much memory again for what is under way.
template <typename T>
void reduce_pieces(const Communicator& comm, Watch& watch, std::span<T> values, MPI_Datatype type,
                   MPI_Op op) {
  std::vector<T> piece;
  for (size_t begin = 0; begin < values.size(); begin += kPiece) {
    const auto part = values.subspan(begin, std::min(kPiece, values.size() - begin));
    piece.assign(part.begin(), part.end());
    piece = reduce(comm, watch, std::move(piece), type, op);
    std::copy(piece.begin(), piece.end(), part.begin());
  }
}

template <typename T>
std::vector<T> gather(const Communicator& comm, Watch& watch, std::span<const T> values,
                      MPI_Datatype type) {
  struct Memory {
    std::vector<T> mine;
    std::vector<T> all;
  };
  const auto memory = std::make_shared<Memory>();
  memory->mine.assign(values.begin(), values.end());
  memory->all.resize(values.size() * static_cast<size_t>(comm.size()));
  const int count = narrow<int>(std::ssize(values), "number of values to gather");
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(MPI_Iallgather(memory->mine.data(), count, type, memory->all.data(), count, type,
                           comm.get(), &request),
            "MPI_Iallgather");
  watch.count_collective();
  watch.wait(request, memory);
  return std::move(memory->all);
}

}  // namespace

std::vector<double> reduce_max(const Communicator& comm, Watch& watch, std::vector<double> values) {
  return reduce(comm, watch, std::move(values), MPI_DOUBLE, MPI_MAX);
}

std::vector<double> reduce_min(const Communicator& comm, Watch& watch, std::vector<double> values) {
  return reduce(comm, watch, std::move(values), MPI_DOUBLE, MPI_MIN);
}

int64_t reduce_sum(const Communicator& comm, Watch& watch, int64_t value) {
  return reduce(comm, watch, std::vector{value}, MPI_INT64_T, MPI_SUM).front();
}

int64_t reduce_max(const Communicator& comm, Watch& watch, int64_t value) {
  return reduce(comm, watch, std::vector{value}, MPI_INT64_T, MPI_MAX).front();
}

void reduce_sum(const Communicator& comm, Watch& watch, std::span<int64_t> values) {
  reduce_pieces(comm, watch, values, MPI_INT64_T, MPI_SUM);
}

void reduce_max(const Communicator& comm, Watch& watch, std::span<int8_t> values) {
  reduce_pieces(comm, watch, values, MPI_INT8_T, MPI_MAX);
}

std::vector<double> gather_values(const Communicator& comm, Watch& watch,
                                  std::span<const double> values) {
  return gather(comm, watch, values, MPI_DOUBLE);
}

std::vector<int64_t> gather_words(const Communicator& comm, Watch& watch,
                                  std::span<const int64_t> words) {
  return gather(comm, watch, words, MPI_INT64_T);
}

std::vector<std::string> gather_texts(const Communicator& comm, Watch& watch,
                                      const std::string& text) {
  const auto longest =
      static_cast<size_t>(reduce_max(comm, watch, static_cast<int64_t>(text.size())));
  // Texts padded with zero bytes to one length: a gather needs no counts then.
  struct Memory {
    std::string mine;
    std::string all;
  };
  const bool root = comm.rank() == 0;
  const auto memory = std::make_shared<Memory>();
  memory->mine = text;
  memory->mine.resize(longest);
  memory->all.resize(root ? longest * static_cast<size_t>(comm.size()) : 0);
  const int length = narrow<int>(longest, "length of a text to gather");
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(MPI_Igather(memory->mine.data(), length, MPI_CHAR, memory->all.data(), length, MPI_CHAR,
                        0, comm.get(), &request),
            "MPI_Igather");
  watch.count_collective();
  watch.wait(request, memory);
  std::vector<std::string> texts;
  for (size_t rank = 0; root && rank < static_cast<size_t>(comm.size()); ++rank) {
    const std::string padded = memory->all.substr(rank * longest, longest);
    texts.push_back(padded.substr(0, padded.find('\0')));
  }
  return texts;
}

int64_t scatter_word(const Communicator& comm, Watch& watch, std::span<const int64_t> words) {
  struct Memory {
    std::vector<int64_t> all;
    int64_t mine = 0;
  };
  const auto memory = std::make_shared<Memory>();
  memory->all.assign(words.begin(), words.end());
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(MPI_Iscatter(memory->all.data(), 1, MPI_INT64_T, &memory->mine, 1, MPI_INT64_T, 0,
                         comm.get(), &request),
            "MPI_Iscatter");
  watch.count_collective();
  watch.wait(request, memory);
  return memory->mine;
}

}  // namespace hashep
