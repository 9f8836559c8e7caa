// SPDX-License-Identifier: Apache-2.0
#include "launch/token_options.hpp"

#include "launch/process/source_words.hpp"

namespace hashep {

void describe_token_format(OptionTable& table, TokenFile& format) {
  table.parsed(
      "--token-dtype",
      [&format](const std::string& text) {
        format.token_dtype = parse_word("--token-dtype", text, token_dtype_words());
      },
      [&format]() -> std::string {
        if (!format.token_dtype) return "";
        return std::string(word_of(*format.token_dtype, token_dtype_words()));
      },
      "Of binary ids (.bin, or files of other names without --tokenizer): u16, u32 or i32; "
      "default: as an llm.c header says, else u16");
  table.text("--tokenizer", format.tokenizer, "FILE", "SentencePiece model for text");
  table
      .number("--padding-id", format.padding_id,
              "Id of padding, beside -1: such tokens go to no expert, and are not counted")
      ->type_name("ID")
      ->needs(table.app().get_option("--tokens"));
}

void declare_token_format(CLI::App& app, TokenFile& format, const std::string& group) {
  OptionTable table(app);
  table.begin_group(group);
  describe_token_format(table, format);
}

}  // namespace hashep
