// SPDX-License-Identifier: Apache-2.0
#include "comm/gather.hpp"

#include "core/narrow.hpp"

namespace hashep {
namespace {

template <typename T>
void reduce(const Communicator& comm, Watch& watch, T* values, size_t count, MPI_Datatype type,
            MPI_Op op) {
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(MPI_Iallreduce(MPI_IN_PLACE, values, narrow<int>(count, "values to reduce"), type, op,
                           comm.get(), &request),
            "MPI_Iallreduce");
  watch.count_collective();
  watch.wait(request);
}

template <typename T>
std::vector<T> gather(const Communicator& comm, Watch& watch, std::span<const T> values,
                      MPI_Datatype type) {
  std::vector<T> all(values.size() * static_cast<size_t>(comm.size()));
  const int count = narrow<int>(std::ssize(values), "number of values to gather");
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(
      MPI_Iallgather(values.data(), count, type, all.data(), count, type, comm.get(), &request),
      "MPI_Iallgather");
  watch.count_collective();
  watch.wait(request);
  return all;
}

}  // namespace

std::vector<double> reduce_max(const Communicator& comm, Watch& watch, std::vector<double> values) {
  reduce(comm, watch, values.data(), values.size(), MPI_DOUBLE, MPI_MAX);
  return values;
}

std::vector<double> reduce_min(const Communicator& comm, Watch& watch, std::vector<double> values) {
  reduce(comm, watch, values.data(), values.size(), MPI_DOUBLE, MPI_MIN);
  return values;
}

int64_t reduce_sum(const Communicator& comm, Watch& watch, int64_t value) {
  reduce(comm, watch, &value, 1, MPI_INT64_T, MPI_SUM);
  return value;
}

int64_t reduce_max(const Communicator& comm, Watch& watch, int64_t value) {
  reduce(comm, watch, &value, 1, MPI_INT64_T, MPI_MAX);
  return value;
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
  std::string mine = text;
  mine.resize(longest);
  const bool root = comm.rank() == 0;
  std::string all(root ? longest * static_cast<size_t>(comm.size()) : 0, '\0');
  const int length = narrow<int>(longest, "length of a text to gather");
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(MPI_Igather(mine.data(), length, MPI_CHAR, all.data(), length, MPI_CHAR, 0, comm.get(),
                        &request),
            "MPI_Igather");
  watch.count_collective();
  watch.wait(request);
  std::vector<std::string> texts;
  for (size_t rank = 0; root && rank < static_cast<size_t>(comm.size()); ++rank) {
    const std::string padded = all.substr(rank * longest, longest);
    texts.push_back(padded.substr(0, padded.find('\0')));
  }
  return texts;
}

int64_t scatter_word(const Communicator& comm, Watch& watch, std::span<const int64_t> words) {
  int64_t mine = 0;
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(
      MPI_Iscatter(words.data(), 1, MPI_INT64_T, &mine, 1, MPI_INT64_T, 0, comm.get(), &request),
      "MPI_Iscatter");
  watch.count_collective();
  watch.wait(request);
  return mine;
}

}  // namespace hashep
