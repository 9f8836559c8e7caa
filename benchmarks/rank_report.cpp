// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/rank_report.hpp"

#include <cstdio>
#include <utility>

#include "comm/agreement.hpp"
#include "hashep/version.hpp"
#include "launch/process/result_json.hpp"
#include "launch/process/standard_streams.hpp"

namespace hashep::bench {

RankReport::RankReport(const std::vector<std::string>& args, const Communicator& comm, Watch& watch)
    : args_(args), comm_(comm) {
  require_same_settings(comm, watch,
                        {{"version", std::string(version())}, {"the command line", args_text()}});
}

void RankReport::open(const std::string& json_path) {
  if (comm_.rank() == 0 && !json_path.empty()) json_.emplace(json_path);
}

std::string RankReport::args_text() const {
  std::string text;
  for (const std::string& word : args_) text += (text.empty() ? "" : " ") + word;
  return text;
}

void RankReport::print(const std::string& text) const {
  if (comm_.rank() != 0) return;
  std::fputs(text.c_str(), stdout);
  flush_stdout();
}

void RankReport::finish(nlohmann::ordered_json results, int64_t wrong,
                        const std::optional<std::string>& gpu,
                        const nlohmann::ordered_json& extra) {
  if (wrong > 0) {
    throw CollectiveRunError(std::to_string(wrong) + " results are wrong (column #wrong)",
                             comm_.rank() == 0);
  }
  if (!json_) return;
  nlohmann::ordered_json document = result_document({.program = "hashep-bench",
                                                     .args = args_,
                                                     .ranks = comm_.size(),
                                                     .gpu = gpu,
                                                     .mpi = MpiSession::library_version()},
                                                    std::move(results));
  document.update(extra);
  json_->write(document.dump(1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) +
               "\n");
  json_->commit();
}

}  // namespace hashep::bench
