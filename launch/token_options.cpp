// SPDX-License-Identifier: Apache-2.0
#include "launch/token_options.hpp"

#include "launch/option_checks.hpp"

namespace hashep {

void declare_token_format(CLI::App& app, TokenFile& format, const std::string& group) {
  const auto take_dtype = [&format](const std::string& name) {
    require_one_of("--token-dtype", name, {"u16", "u32", "i32"});
    format.bin_dtype = name;
  };
  app.add_option_function<std::string>(
         "--token-dtype", take_dtype,
         "Of binary ids (.bin, or files of other names without --tokenizer): u16, u32 or i32; "
         "default: as an llm.c header says, else u16")
      ->group(group);
  app.add_option("--tokenizer", format.tokenizer, "SentencePiece model for text")
      ->type_name("FILE")
      ->group(group);
  app.add_option("--padding-id", format.padding_id,
                 "Id of padding, beside -1: such tokens go to no expert, and are not counted")
      ->type_name("ID")
      ->needs(app.get_option("--tokens"))
      ->group(group);
}

}  // namespace hashep
