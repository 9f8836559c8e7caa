// SPDX-License-Identifier: Apache-2.0
// What is wrong with a command line of `hashep run`, as far as it tells by itself.
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "hashep/error.hpp"
#include "launch/process/option_text.hpp"
#include "launch/run_options.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/temp_dir.hpp"

using namespace hashep;

namespace {

using Words = std::vector<std::string>;

RunCommandLine parse(const Words& words) {
  std::vector<const char*> argv{"hashep", "run"};
  for (const std::string& word : words) argv.push_back(word.c_str());
  return parse_run_command_line(static_cast<int>(argv.size()), argv.data());
}

/// A whole command line: these words, and the rest of a small run.
Words with(const Words& words) {
  const std::vector<Words> small = {
      {"--hidden-size", "16"}, {"--ffn-size", "16"},     {"--num-experts", "4"},
      {"--vocab-size", "64"},  {"--batch-tokens", "32"}, {"--seq-len", "8"},
      {"--steps", "2"},        {"--threads", "1"},       {"--deadline", "60"}};
  Words all;
  for (const Words& option : small) {
    bool named = false;
    for (const std::string& word : words) {
      named = named || word == option[0] || word.starts_with(option[0] + "=");
    }
    if (!named) all.insert(all.end(), option.begin(), option.end());
  }
  all.insert(all.end(), words.begin(), words.end());
  return all;
}

/// What the program says to it; empty where it takes it.
std::string complaint(const Words& words) {
  try {
    parse(with(words));
    return "";
  } catch (const InputError& error) {
    return option_text(error);
  }
}

void write(const std::string& path, const std::string& text) {
  std::ofstream(path) << text;
}

struct Bad {
  Words words;
  std::string text;  // that the complaint holds
};

void check_refused(const std::vector<Bad>& cases) {
  for (const Bad& bad : cases) {
    std::ostringstream line;
    for (const std::string& word : bad.words) line << word << " ";
    const std::string got = complaint(bad.words);
    INFO(line.str() << "-> " << got);
    CHECK_FALSE(got.empty());
    CHECK(got.find(bad.text) != std::string::npos);
    CHECK(got.find('\n') == std::string::npos);
  }
}

}  // namespace

TEST_CASE("good command lines are taken, to the value") {
  CHECK(complaint({}).empty());
  const auto line = parse(with({"--top-k",
                                "2",
                                "--transport",
                                "hier",
                                "--node-reduce",
                                "--dtype",
                                "bf16",
                                "--token-dtype",
                                "u32",
                                "--placement",
                                "p.json",
                                "--router",
                                "bigram",
                                "--activation",
                                "gelu",
                                "--overlap",
                                "off",
                                "--landing",
                                "unpack",
                                "--graph",
                                "on",
                                "--expert-gemm",
                                "fused",
                                "--bind-cpu",
                                "off",
                                "--gemm-library",
                                "onednn",
                                "--planning",
                                "replicated",
                                "--steps",
                                "2K",
                                "--progress",
                                "off"}));
  REQUIRE(line.options.has_value());
  const RunOptions& options = *line.options;
  CHECK(options.top_k == 2);
  CHECK(options.transport == TransportKind::hier);
  CHECK(options.node_reduce);
  CHECK(options.dtype == DType::bf16);
  CHECK(options.tokens.token_dtype == TokenDtype::u32);
  CHECK(options.placement == PlacementSource{PlacementKind::file, "p.json"});
  CHECK(options.router == RouterKind::bigram);
  CHECK(options.synthetic.activation == Activation::gelu);
  CHECK_FALSE(options.overlap);
  CHECK(options.residual);
  CHECK(options.landing == Landing::unpack);
  CHECK(options.graph == GraphMode::on);
  CHECK(options.expert_gemm == GemmGrouping::fused);
  CHECK_FALSE(options.bind_cpu);
  CHECK(options.gemm_library == GemmLibrary::onednn);
  CHECK(options.planning == Planning::replicated);
  CHECK(options.steps == 2048);
  CHECK(options.progress == Progress::Style::off);
  CHECK(options.is_given("--steps"));
  CHECK_FALSE(options.is_given("--seed"));
}

TEST_CASE("questions are answered, not run") {
  const auto help = parse({"--help"});
  CHECK_FALSE(help.options.has_value());
  CHECK(help.answer.find("--node-reduce") != std::string::npos);
  const auto version = parse({"--version"});
  CHECK_FALSE(version.options.has_value());
  CHECK(version.answer.starts_with("hashep "));
}

TEST_CASE("bad values are refused, the option named") {
  check_refused({
      {{"--top-k", "5"}, "--top-k 5"},
      {{"--top-k", "0"}, "--top-k 0"},
      {{"--top-k", "99999999999"}, "--top-k"},
      {{"--hidden-size", "0"}, "--hidden-size"},
      {{"--hidden-size=-5"}, "--hidden-size"},
      {{"--hidden-size", "-5"}, "--hidden-size"},
      {{"--hidden-size", "99999999999G"}, "--hidden-size"},
      {{"--hidden-size", "16x"}, "--hidden-size"},
      {{"--hidden-size", ""}, "--hidden-size"},
      {{"--ffn-size", "0"}, "--ffn-size"},
      {{"--num-layers", "0"}, "--num-layers"},
      {{"--num-experts", "0"}, "--num-experts"},
      {{"--num-shared-experts", "17M"}, "--num-shared-experts"},
      {{"--vocab-size", "2G"}, "--vocab-size"},
      {{"--batch-tokens", "0"}, "--batch-tokens"},
      {{"--batch-tokens", "4000000000G"}, "--batch-tokens"},
      {{"--steps", "0"}, "--steps"},
      {{"--steps", "8000000000G"}, "--steps"},
      {{"--steps", "4G", "--batch-tokens", "64G"}, "--steps"},
      {{"--threads", "1000000"}, "--threads"},
      {{"--deadline", "0"}, "--deadline"},
      {{"--deadline", "nan"}, "--deadline: must be a positive number of seconds"},
      {{"--deadline", "soon"}, "--deadline"},
      {{"--setup-deadline", "0"}, "--setup-deadline"},
      {{"--zipf", "inf"}, "--zipf: must be a number that is not negative"},
      {{"--plan-depth", "-1"}, "--plan-depth: \"-1\""},
      {{"--plan-depth", "65"}, "--plan-depth 65: must be in [0, 64]"},
      {{"--plan-depth", "deep"}, "--plan-depth: \"deep\""},
      {{"--seed", "1", "--seed", "2"}, "--seed"},
  });
}

TEST_CASE("words that an option does not know are refused, and those that it knows are listed") {
  check_refused({
      {{"--bogus", "3"}, "--bogus"},
      {{"extra"}, "extra"},
      {{"--router", "modulo"}, "router"},
      {{"--activation", "tanh"}, "activation"},
      {{"--score", "softmax"}, "scoring function"},
      {{"--dtype", "fp16"}, "--dtype fp16: known are fp32, bf16"},
      {{"--token-dtype", "u64"}, "--token-dtype u64: known are u16, u32, i32"},
      {{"--transport", "udp"},
       "--transport udp: known transports are auto, mpi, shm, hier, nccl, ipc"},
      {{"--device", "tpu"}, "--device tpu: known devices are auto, cpu, cuda"},
      {{"--graph", "maybe"}, "--graph maybe: known are auto, on, off"},
      {{"--expert-gemm", "all"}, "--expert-gemm all: known are per-expert, grouped, fused"},
      {{"--landing", "soft"}, "--landing soft: known are auto, direct, unpack"},
      {{"--gemm-library", "blas"}, "--gemm-library blas: known are auto, onednn, xsmm"},
      {{"--bind-cpu", "yes"}, "--bind-cpu yes: known are auto, off"},
      {{"--placement", "random"}, "--placement \"random\": known are contiguous, balanced"},
      {{"--planning", "none"}, "--planning none: known are exchange, replicated"},
      {{"--residual", "maybe"}, "--residual maybe: known are on, off"},
      {{"--overlap", "maybe"}, "--overlap maybe: known are on, off"},
      {{"--progress", "loud"}, "--progress loud: known are auto, bar, lines, off"},
  });
}

TEST_CASE("options that do not go together are refused") {
  check_refused({
      {{"--node-reduce", "--transport", "mpi"},
       "--node-reduce goes with --transport hier or auto, not with mpi"},
      {{"--node-reduce", "--transport", "shm"},
       "--node-reduce goes with --transport hier or auto, not with shm"},
      {{"--table", "t.npy", "--router", "token"},
       "--table goes with --router table, not with --router token"},
      {{"--accept-unused"}, "--accept-unused goes with --model DIR"},
      {{"--layers", "all"}, "--layers all goes with --model DIR"},
      {{"--router", "learned", "--table", "t.npy"}, "--table goes with --router table"},
      {{"--router", "dense", "--model", "m"}, "--router learned and dense go without --model"},
      {{"--gate", "noaux_tc"}, "--gate goes with --router learned"},
      {{"--router", "dense", "--gate", "noaux_tc"}, "--gate goes with --router learned"},
      {{"--routed-scaling-factor", "2"}, "--routed-scaling-factor goes with --score sqrtsoftplus"},
      {{"--swiglu-limit", "1", "--activation", "relu"},
       "--swiglu-limit goes with --activation silu, not with relu"},
      {{"--padding-id", "3"}, "--padding-id"},
  });
  const auto with_model = [](const Words& words) {
    Words all = {"--model", "folder"};
    all.insert(all.end(), words.begin(), words.end());
    try {
      parse(all);
    } catch (const InputError& error) {
      return option_text(error);
    }
    return std::string();
  };
  CHECK(with_model({}).empty());
  for (const char* option : {"--num-layers", "--hidden-size", "--ffn-size", "--num-experts",
                             "--top-k", "--num-shared-experts", "--vocab-size"}) {
    CHECK(with_model({option, "2"}) ==
          option + std::string(" does not go with --model, which sets it"));
  }
  CHECK(with_model({"--activation", "silu"}).starts_with("--activation does not go with --model"));
  CHECK(with_model({"--score", "none"}).starts_with("--score does not go with --model"));
  CHECK(with_model({"--swiglu-limit", "1"}).starts_with("--swiglu-limit does not go"));
  CHECK(with_model({"--routed-scaling-factor", "1"}).starts_with("--routed-scaling-factor does"));
}

#ifndef HASHEP_WITH_CUDA
TEST_CASE("a build without CUDA says so") {
  check_refused({{{"--transport", "nccl"}, "--transport nccl: not in this build"},
                 {{"--transport", "ipc"}, "--transport ipc: not in this build"},
                 {{"--device", "cuda"}, "--device cuda: this build has no CUDA"}});
}
#endif

TEST_CASE("options are read from a file, and bad files are refused by name") {
  const test::TempDir dir;
  write(dir.file("good.toml"), "top-k = 2\ncheck = true\n");
  write(dir.file("unknown.toml"), "top-k = 2\nnum-expert = 5\n");
  write(dir.file("value.toml"), "check-tokens = \"many\"\n");
  write(dir.file("broken.toml"), "num-experts = = 4\n[[[\n");
  const auto line = parse(with({"--config", dir.file("good.toml")}));
  REQUIRE(line.options.has_value());
  CHECK(line.options->top_k == 2);
  CHECK(line.options->check);
  CHECK(line.options->is_given("--top-k"));
  check_refused({{{"--config", dir.file("nosuch.toml")}, "nosuch.toml"},
                 {{"--config", dir.file("unknown.toml")}, "unknown.toml"},
                 {{"--config", dir.file("unknown.toml")}, "num-expert"},
                 {{"--config", dir.file("value.toml")}, "--check-tokens"},
                 {{"--config", dir.file("broken.toml")}, "broken.toml"}});
}

TEST_CASE("ranks compare every option but those that may differ") {
  const auto settings = [](const Words& words) { return parse(with(words)).options->settings; };
  const auto same = settings({});
  CHECK(same.front().first == "version");
  CHECK(settings({"--progress", "off"}) == same);
  const auto other_threads = parse({"--threads", "2"}).options->settings;
  CHECK(other_threads == parse({}).options->settings);
  for (const Words& words : std::vector<Words>{{"--seed", "0"},
                                               {"--zipf", "1.0000000001"},
                                               {"--plan-depth", "0"},
                                               {"--node-reduce"},
                                               {"--transport", "mpi"},
                                               {"--router", "bigram"},
                                               {"--table", "t.npy"},
                                               {"--tokens", "t.npy", "--padding-id", "5"},
                                               {"--token-dtype", "i32"},
                                               {"--check"},
                                               {"--json", "r.json"},
                                               {"--landing", "direct"},
                                               {"--placement", "balanced"},
                                               {"--setup-deadline", "1"}}) {
    INFO(words.front());
    CHECK(settings(words) != same);
  }
  CHECK(settings({"--seed", "1"}) != settings({"--seed", "2"}));
}
