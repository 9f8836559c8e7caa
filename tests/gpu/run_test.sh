#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tests/gpu/run.sh where there is no GPU and nothing to build: every program that it calls is a fake,
# which tells whether failures, time limits and skipped tests end as the summary and exit code say.
set -uo pipefail
source=$(cd "$(dirname "$0")/../.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
failures=0

# The checkout in which it runs, with what it calls besides the programs below.
mkdir -p "$folder/bin" "$folder/checkout/tests/gpu" "$folder/checkout/launch" "$folder/checkout/benchmarks"
cp "$source"/tests/gpu/{run.sh,sanitize.sh,summary.py} "$folder/checkout/tests/gpu/"

fake() {
  { echo '#!/usr/bin/env bash'; cat; } >"$1"
  chmod +x "$1"
}
fake "$folder/bin/nvidia-smi" <<'FAKE'
if [ -n "${FAKE_NO_GPU:-}" ]; then echo "no devices were found"; exit 6; fi
echo "Fake GPU, 81559 MiB, 580.1"
FAKE
fake "$folder/bin/nvcc" <<<'echo "Cuda compilation tools, release 13.0, V13.0.88"'
fake "$folder/bin/ninja" <<'FAKE'
for target in gpu_tests a_gpu_test ${FAKE_NO_BENCH:-hashep-bench-gpu}; do echo "$target: phony"; done
FAKE
fake "$folder/bin/mpicxx" <<<'exit 1'
fake "$folder/bin/cmake" <<'FAKE'
if [ "$1" = --build ]; then
  if [ -n "${FAKE_SLOW_BUILD:-}" ]; then sleep 60; fi
  cp "$FAKES/programs/a_gpu_test" "$2/bin/"
  if [ -z "${FAKE_NO_BENCH:-}" ]; then cp "$FAKES/programs/hashep-bench-gpu" "$2/bin/"; fi
  echo "[2/2] Linking"
else
  echo "$*" >"$FAKES/configure"
  mkdir -p build/cuda-one-rank/bin build/cuda-one-rank/Testing/Temporary
fi
FAKE
fake "$folder/bin/ctest" <<'FAKE'
case "$*" in
  *show-only*)
    echo '{"tests": [{"name": "not_built"}, {"name": "a_gpu_test",
      "command": ["'"$PWD"'/build/cuda-one-rank/bin/a_gpu_test"]}]}'
    ;;
  *)
    echo "${FAKE_TEST_SAYS:-}" >build/cuda-one-rank/Testing/Temporary/LastTest.log
    if [ -n "${FAKE_FAILING_TEST:-}" ]; then echo "50% tests passed, 1 tests failed out of 2"; exit 8; fi
    echo "100% tests passed, 0 tests failed out of 2"
    ;;
esac
FAKE
fake "$folder/bin/compute-sanitizer" <<'FAKE'
echo "========= ERROR SUMMARY: ${FAKE_FINDINGS:-0} errors"
if [ "$2" = memcheck ] && [ "${FAKE_FINDINGS:-0}" != 0 ]; then exit 1; fi
if [ -n "${FAKE_NO_SMALL:-}" ]; then echo "No test cases matched '[small]'"; fi
exit "${FAKE_SANITIZED_TEST:-0}"
FAKE
mkdir -p "$folder/programs" "$folder/python/torch"
: >"$folder/python/torch/__init__.py"
fake "$folder/programs/a_gpu_test" <<<'true'
fake "$folder/programs/hashep-bench-gpu" <<'FAKE'
if [ "$1" = "${FAKE_FAILING_BENCH:-}" ]; then echo "hashep-bench-gpu: error: wrong rows"; exit 1; fi
while [ $# -gt 0 ]; do
  if [ "$1" = -J ]; then result=$2; fi
  if [ "$1" = --dump ]; then echo tensors >"$2"; fi
  shift
done
if [ -n "${FAKE_RUBBISH:-}" ]; then echo '{' >"$result"; exit 0; fi
echo '{"program": "hashep-bench-gpu", "commit": "abc", "results": [
  {"name": "dense_gemm", "dtype": "bf16", "workload": "lanes 1", "median_us": 70.0, "samples_us": [70.0]},
  {"name": "gemm_alone", "dtype": "bf16", "workload": "lanes 1", "median_us": 75.0, "samples_us": [75.0]},
  {"name": "layer", "dtype": "bf16", "workload": "lanes 1", "median_us": 100.0, "gb_per_s": 2718.28},
  {"name": "layer", "dtype": "bf16", "workload": "grouped", "median_us": 80.0, "wrong": 2}]}' >"$result"
echo "written"
FAKE
cat >"$folder/checkout/benchmarks/torch_layer.py" <<'FAKE'
import json, sys
assert open(sys.argv[2]).read() == "tensors\n"
results = [{"name": "torch", "workload": "torch_loop", "median_us": 120.0}]
json.dump({"program": "torch_layer", "commit": "abc", "results": results}, open(sys.argv[4], "w"))
FAKE

# run EXIT_CODE NAME [VARIABLE=VALUE...] -- ARGUMENTS: one run of the script, and its exit code.
run() {
  local expected=$1 name=$2 variables=() code=0
  shift 2
  while [ "$1" != -- ]; do variables+=("$1"); shift; done
  shift
  out=$folder/out
  rm -rf "$out" "$folder/checkout/build"
  env PATH="$folder/bin:$PATH" PYTHONPATH="$folder/python" FAKES="$folder" OUT="$out" HASHEP_COMMIT=abc123 \
    "${variables[@]}" "$folder/checkout/tests/gpu/run.sh" "$@" >"$folder/stdout" 2>&1 || code=$?
  case_name=$name
  check "exit code $expected (was $code)" [ "$code" = "$expected" ]
}

check() {
  local what=$1
  shift
  if "$@"; then
    echo "ok      $case_name: $what"
  else
    echo "FAILED  $case_name: $what"
    sed 's/^/        | /' "$folder/stdout"
    failures=$((failures + 1))
  fi
}

# summary_has TEXT...: the summary has a line with all of these.
summary_has() {
  local lines text
  lines=$(cat "$out/summary.md")
  for text in "$@"; do lines=$(grep -F -- "$text" <<<"$lines"); done
  check "summary has '$*'" [ -n "$lines" ]
}

run 0 "all well" -- --set auto
summary_has "# HashEP on a GPU: passed"
summary_has "GPU: Fake GPU, 81559 MiB, 580.1"
summary_has "commit: abc123"
summary_has "set: one-rank, preset cuda-one-rank"
summary_has "tests on a GPU" passed "0 tests failed out of 2"
for tool in memcheck racecheck initcheck; do
  summary_has "compute-sanitizer $tool" passed "nothing found in 1 of 1 programs"
done
for what in rows layer launch; do summary_has "benchmark $what" passed; done
summary_has "| layer" "bf16 lanes 1" 100 70 0.700 "gb_per_s 2718" "not GEMM 25.0 %"
summary_has "| layer" "bf16 grouped" 80 70 0.875 "WRONG 2"
summary_has "PyTorch's layer (torch_loop) takes 1.50 times as long as HashEP's (grouped)"
check "at most 8 flat files" [ "$(find "$out" -mindepth 1 -type f | wc -l)" -le 8 ]
check "JSON of all benchmarks" [ "$(echo "$out"/*.json)" = "$(echo "$out"/{launch,layer,rows,torch}.json)" ]
check "for this machine's GPU" grep -q 'ARCHITECTURES=native' "$folder/configure"
check "nothing left in build/" [ -z "$(find "$folder/checkout/build" -name 'gpu-run*')" ]

run 1 "a test fails" FAKE_FAILING_TEST=1 -- --set auto
summary_has "# HashEP on a GPU: 1 parts FAILED"
summary_has "tests on a GPU" FAILED "1 tests failed out of 2"
summary_has "benchmark rows" passed
run 1 "a test sees no GPU" FAKE_TEST_SAYS="skipped: no GPU: none" -- --set auto
summary_has "tests on a GPU" FAILED "saw no GPU"
run 1 "the sanitizer finds something" FAKE_FINDINGS=3 -- --set auto
summary_has "compute-sanitizer memcheck" FAILED "a_gpu_test" "SUMMARY: 3 errors"
summary_has "compute-sanitizer racecheck" passed
run 1 "no small case" FAKE_NO_SMALL=1 -- --set auto
summary_has "compute-sanitizer initcheck" FAILED "in 0 of 1 programs"
run 1 "no GPU under the sanitizer" FAKE_SANITIZED_TEST=77 -- --set auto
summary_has "compute-sanitizer memcheck" FAILED "saw no GPU"
run 1 "a benchmark fails" FAKE_FAILING_BENCH=layer -- --set auto
summary_has "benchmark layer" FAILED "wrong rows"
summary_has "benchmark torch" FAILED "no tensors"
summary_has "benchmark launch" passed
run 1 "a result is rubbish" FAKE_RUBBISH=1 -- --set auto
summary_has "layer.json cannot be read"
summary_has "benchmark launch" passed
run 1 "no such target" FAKE_NO_BENCH=something -- --set auto
summary_has "build hashep-bench-gpu" FAILED "no such target"
summary_has "benchmark rows" FAILED
run 1 "time runs out" FAKE_SLOW_BUILD=1 -- --set auto --budget 11
summary_has "build gpu_tests" FAILED "stopped after its limit of"
summary_has "benchmark launch" FAILED
summary_has "tests on a GPU" FAILED "not run"

run 2 "no GPU" FAKE_NO_GPU=1 -- --set auto
check "says so" grep -q "error: no GPU: nvidia-smi says 'no devices were found'" "$folder/stdout"
run 0 "no GPU wanted" FAKE_NO_GPU=1 -- --no-gpu
summary_has "NOT RUN ON A GPU"
summary_has "benchmark rows" skipped "needs a GPU"
check "for sm_90" grep -q 'ARCHITECTURES=90' "$folder/configure"
run 2 "an unknown option" -- --gpu

case_name="a signal"
rm -rf "$out"
env PATH="$folder/bin:$PATH" FAKES="$folder" OUT="$out" FAKE_SLOW_BUILD=1 \
  "$folder/checkout/tests/gpu/run.sh" >"$folder/stdout" 2>&1 &
for _ in {1..100}; do
  if grep -qs '==== build' "$out/run.log"; then break; fi
  sleep 0.1
done
kill -TERM $!
code=0
wait $! || code=$?
check "exit code 1 (was $code)" [ "$code" = 1 ]
summary_has "ended early"

if [ "$failures" != 0 ]; then
  echo "$failures checks failed"
  exit 1
fi
