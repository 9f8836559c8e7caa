// SPDX-License-Identifier: Apache-2.0
#include "core/quote.hpp"

#include "tests/support/catch.hpp"

using namespace hashep;

TEST_CASE("text that can be shown stays as it is") {
  for (const std::string text : {"", "tid2eid", "a b/c.d \"e\"", "\xc3\xa9t\xc3\xa9",
                                 "\xe4\xb8\xad", "\xf0\x9f\x98\x80", "\xe2\x96\x81the"}) {
    CHECK(printable(text) == text);
    CHECK(quote(text) == "\"" + text + "\"");
  }
}

TEST_CASE("what would reach the terminal as a command does not") {
  CHECK(printable("tid\x1b[31meid") == "tid?[31meid");
  CHECK(printable(std::string("a\0b\tc\nd\x7f", 8)) == "a?b?c?d?");
  CHECK(printable("\xc2\x9b"
                  "31m") == "?31m");  // CSI of C1 in UTF-8
  CHECK(printable("\x9b"
                  "31m") == "?31m");  // and alone
  CHECK(printable("a\xe2\x80\xae"
                  "b\xe2\x81\xa6"
                  "c") == "a?b?c");                                   // override, isolate
  CHECK(printable("\xe2\x80\xa8\xe2\x80\x8b\xef\xbb\xbf") == "???");  // line, zero widths
}

TEST_CASE("bytes that are no UTF-8 become one '?' each") {
  CHECK(printable("caf\xe9") == "caf?");
  CHECK(printable("\xc0\xaf") == "??");            // an overlong '/'
  CHECK(printable("\xed\xa0\x80") == "???");       // a surrogate
  CHECK(printable("\xf4\x90\x80\x80") == "????");  // above U+10FFFF
  CHECK(printable("\xe4\xb8") == "??");            // cut off
}

TEST_CASE("long text is cut, not inside of a character") {
  CHECK(quote(std::string(120, 'x')) == "\"" + std::string(120, 'x') + "\"");
  CHECK(quote(std::string(121, 'x')) == "\"" + std::string(120, 'x') + "...\"");
  CHECK(quote(std::string(119, 'x') + "\xc3\xa9") == "\"" + std::string(119, 'x') + "...\"");
}
