// SPDX-License-Identifier: Apache-2.0
#include "launch/process/environment.hpp"

#include <unistd.h>

namespace hashep {

Environment::Environment() {
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const size_t end = text.find('=');
    if (end != std::string::npos) values_.emplace(text.substr(0, end), text.substr(end + 1));
  }
}

Lookup Environment::lookup() const {
  return [this](const char* name) -> const char* {
    const auto found = values_.find(name);
    return found == values_.end() ? nullptr : found->second.c_str();
  };
}

}  // namespace hashep
