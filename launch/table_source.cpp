// SPDX-License-Identifier: Apache-2.0
#include "launch/table_source.hpp"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "hashep/error.hpp"
#include "runtime/model/model_tables.hpp"

namespace hashep {
namespace {

bool is_folder(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::is_directory(path, ignored);
}

}  // namespace

TableSet read_tables(const std::string& path, int64_t num_experts) {
  if (!is_folder(path)) {
    return load_tables(path, num_experts > 0 ? num_experts : kManyExperts);
  }
  const int64_t model_experts = read_model_config(path).num_experts;
  if (num_experts > 0 && num_experts != model_experts) {
    throw InputError("--num-experts " + std::to_string(num_experts) + ", but " + path + " has " +
                     std::to_string(model_experts));
  }
  return load_model_tables(path);
}

TableSet read_tables_to_remap(const std::string& path, const ExpertRemap& remap) {
  const int64_t old_experts = std::ssize(remap.new_of);
  const std::string what = "the remap is for " + std::to_string(old_experts) + " experts, ";
  if (is_folder(path)) {
    const int64_t model_experts = read_model_config(path).num_experts;
    if (model_experts != old_experts && model_experts != remap.num_experts) {
      throw InputError(what + "of which " + std::to_string(remap.num_experts) + " are left, " +
                       path + " has " + std::to_string(model_experts));
    }
    return load_model_tables(path, old_experts);
  }
  TableSet set = load_tables(path, old_experts);
  const auto recorded = set.metadata.find("num_experts");
  if (recorded != set.metadata.end() && recorded->second != std::to_string(old_experts)) {
    throw InputError(what + "the tables are for " + recorded->second);
  }
  return set;
}

TableSet select_layer(TableSet set, int64_t layer, const std::string& source) {
  auto found = std::find_if(set.tables.begin(), set.tables.end(), [&](const NamedTable& named) {
    return layer_of_table(named.name) == layer;
  });
  const bool is_common = set.tables.size() == 1 && !layer_of_table(set.tables[0].name);
  if (found == set.tables.end() && is_common) found = set.tables.begin();
  if (found == set.tables.end()) {
    throw InputError(source + ": no table of layer " + std::to_string(layer));
  }
  RoutingTable table = std::move(found->table);
  if (table.spread) table.spread->seed = static_cast<uint64_t>(layer);
  set.tables.clear();
  set.tables.push_back({layer_table_name(layer), std::move(table)});
  return set;
}

}  // namespace hashep
