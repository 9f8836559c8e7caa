// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/rank_job.hpp"

#include <sstream>
#include <utility>

#include "comm/agreement.hpp"
#include "hashep/version.hpp"
#include "launch/process/result_json.hpp"

namespace hashep::bench {
RankJob::RankJob(const RankOptions& options, int64_t most_tokens,
                 const std::vector<std::string>& args, const Communicator& comm, Watch& watch)
    : options_(options),
      comm_(comm),
      report_(args, comm, watch),
      topology_(find_topology(comm, watch)) {
  std::vector<Setting> settings;
  agree(comm, watch, [&] {
    workload_.emplace(options, topology_.nodes, comm.rank());
    workload_->split(most_tokens);  // throws where that is too many
    settings = workload_->settings();
    report_.open(options.json_path);
  });
  require_same_settings(comm, watch, settings);
  const std::string& path = options.workload.tokens.path;
  if (path.empty()) return;
  note_ = repetition_note(workload_->stream(), path, most_tokens * comm.size());
}

std::string RankJob::nodes_text() const {
  std::ostringstream text;
  text << topology_.nodes;
  return text.str();
}

void RankJob::print_head(const std::string& text) const {
  print("# hashep-bench " + std::string(version()) + " (" + std::string(commit()) + "): " +
        report_.args_text() + "\n# ranks " + std::to_string(comm_.size()) + ", threads per rank " +
        std::to_string(options_.threads) + ", " + MpiSession::library_version() + "\n# " +
        nodes_text() + "\n# hidden size " + std::to_string(options_.hidden_size) + ", experts " +
        std::to_string(options_.num_experts) + ", top " + std::to_string(options_.top_k) +
        ", workload " + workload_->name() + (note_.empty() ? "" : "\n# note: " + note_) +
        "\n# samples " + std::to_string(options_.sampling.samples) + ", warm-up " +
        std::to_string(options_.sampling.warmup) + "\n" + text);
}

void RankJob::set_gpus(std::string gpu, nlohmann::ordered_json binding) {
  gpu_ = std::move(gpu);
  binding_ = std::move(binding);
}

void RankJob::finish(nlohmann::ordered_json results, int64_t wrong) {
  nlohmann::ordered_json extra = {{"threads_per_rank", options_.threads}};
  if (!binding_.is_null()) extra["binding"] = binding_;
  report_.finish(std::move(results), wrong, gpu_, extra);
}

}  // namespace hashep::bench
