// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/option_types.hpp"

#include <map>

namespace hashep::bench {
namespace {

constexpr int kMostSamples = 10000;  // PhaseLog keeps more

}  // namespace

CLI::Option* add_count(CLI::App& app, const std::string& name, int64_t& value,
                       const std::string& help) {
  return hashep::add_count(app, name, value, {.least = 1}, help)->default_str("");
}

CLI::Option* add_counts(CLI::App& app, const std::string& name, std::vector<int64_t>& values,
                        const std::string& help) {
  return hashep::add_counts(app, name, values, {.least = 1}, help)->default_str("");
}

void add_sampling(CLI::App& app, Sampling& sampling) {
  app.add_option("-n,--samples", sampling.samples, "Samples of each row")
      ->check(CLI::Range(1, kMostSamples))
      ->capture_default_str();
  app.add_option("-w,--warmup", sampling.warmup, "Runs before the first sample")
      ->check(CLI::Range(0, kMostSamples))
      ->capture_default_str();
}

void add_json(CLI::App& app, std::string& path) {
  app.add_option("-J,--json", path, "Write the result here as JSON")->type_name("FILE");
}

void add_dtypes(CLI::App& app, std::vector<DType>& dtypes, const std::string& help) {
  const std::map<std::string, DType> known{{"fp32", DType::f32}, {"bf16", DType::bf16}};
  app.add_option("--dtype", dtypes, help)
      ->transform(CLI::CheckedTransformer(known))
      ->delimiter(',');
}

}  // namespace hashep::bench
