// SPDX-License-Identifier: Apache-2.0
#include "launch/process/option_text.hpp"

#include <algorithm>

#include "hashep/error.hpp"

namespace hashep {

std::string option_name(std::string_view setting) {
  std::string name = "--" + std::string(setting);
  std::replace(name.begin(), name.end(), '_', '-');
  return name;
}

std::string option_text(const std::exception& error) {
  const auto* ours = dynamic_cast<const Error*>(&error);
  return ours == nullptr ? error.what() : ours->text(option_name);
}

}  // namespace hashep
