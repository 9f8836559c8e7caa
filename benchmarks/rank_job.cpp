// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/rank_job.hpp"

#include <cstdio>
#include <sstream>
#include <utility>

#include "comm/agreement.hpp"
#include "core/result_json.hpp"

namespace hashep::bench {
namespace {

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

}  // namespace

RankJob::RankJob(const RankOptions& options, int64_t most_tokens,
                 const std::vector<std::string>& args, const Communicator& comm, Watch& watch)
    : options_(options), args_(args), comm_(comm), topology_(find_topology(comm, watch)) {
  require_same_settings(comm, watch,
                        {{"version", std::string(version())}, {"the command line", joined(args)}});
  agree(comm, watch, [&] {
    workload_.emplace(options, topology_.nodes, comm.rank());
    workload_->split(most_tokens);  // throws where that is too many
    if (comm.rank() == 0 && !options.json_path.empty()) json_.emplace(options.json_path);
  });
  require_same_settings(comm, watch, workload_->settings());
}

std::string RankJob::nodes_text() const {
  std::ostringstream text;
  text << topology_.nodes;
  return text.str();
}

void RankJob::print_head(const std::string& text) const {
  print("# hashep-bench " + std::string(version()) + " (" + std::string(commit()) +
        "): " + joined(args_) + "\n# ranks " + std::to_string(comm_.size()) +
        ", threads per rank " + std::to_string(options_.threads) + ", " +
        MpiSession::library_version() + "\n# " + nodes_text() + "\n# hidden size " +
        std::to_string(options_.hidden_size) + ", experts " + std::to_string(options_.num_experts) +
        ", top " + std::to_string(options_.top_k) + ", workload " + workload_->name() +
        "\n# samples " + std::to_string(options_.sampling.samples) + ", warm-up " +
        std::to_string(options_.sampling.warmup) + "\n" + text);
}

void RankJob::print(const std::string& text) const {
  if (comm_.rank() != 0) return;
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
}

void RankJob::set_gpus(std::string gpu, nlohmann::ordered_json binding) {
  gpu_ = std::move(gpu);
  binding_ = std::move(binding);
}

void RankJob::finish(nlohmann::ordered_json results, int64_t wrong) {
  if (wrong > 0) {
    throw CollectiveRunError(std::to_string(wrong) + " results are wrong (column #wrong)",
                             comm_.rank() == 0);
  }
  if (!json_) return;
  nlohmann::ordered_json document = result_document({.program = "hashep-bench",
                                                     .args = args_,
                                                     .ranks = comm_.size(),
                                                     .gpu = gpu_,
                                                     .mpi = MpiSession::library_version()},
                                                    std::move(results));
  document["threads_per_rank"] = options_.threads;
  if (!binding_.is_null()) document["binding"] = binding_;
  json_->write(document.dump(1) + "\n");
  json_->commit();
}

}  // namespace hashep::bench
