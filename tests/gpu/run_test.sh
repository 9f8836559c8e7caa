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
mkdir -p "$folder"/{bin,programs,python/torch} "$folder"/checkout/{tests/{gpu,launch},launch,benchmarks}
cp "$source"/tests/gpu/{run,sanitize,stages_ranks,test_on_ranks,with_mps}.sh "$source/tests/gpu/summary.py" \
  "$folder/checkout/tests/gpu/"

fake() {
  { echo '#!/usr/bin/env bash'; cat; } >"$1"
  chmod +x "$1"
}
fake "$folder/bin/nvidia-smi" <<'FAKE'
if [ -n "${FAKE_NO_GPU:-}" ]; then echo "no devices were found"; exit 6; fi
if [ "$1" = --list-gpus ]; then seq -f 'GPU %g: fake' "${FAKE_GPUS:-1}"; exit; fi
echo "Fake GPU, 81559 MiB, 580.1"
FAKE
fake "$folder/bin/nvcc" <<<'echo "Cuda compilation tools, release 13.0, V13.0.88"'
fake "$folder/bin/ninja" <<'FAKE'
for target in gpu_tests a_gpu_test hashep hashep-bench ${FAKE_NO_BENCH:-hashep-bench-gpu}; do echo "$target: phony"; done
FAKE
fake "$folder/bin/mpicxx" <<<'exit 1'
fake "$folder/bin/cmake" <<'FAKE'
if [ "$1" = --build ]; then
  if [ -n "${FAKE_SLOW_BUILD:-}" ]; then sleep 60; fi
  cp "$FAKES"/programs/{a_gpu_test,exchange_gpu_test,hashep,hashep-bench} "$2/bin/"
  if [ -z "${FAKE_NO_BENCH:-}" ]; then cp "$FAKES/programs/hashep-bench-gpu" "$2/bin/"; fi
  echo "[2/2] Linking"
else
  echo "$*" >"$FAKES/configure"
  while [ "$1" != --preset ]; do shift; done
  mkdir -p "build/$2/bin" "build/$2/Testing/Temporary"
fi
FAKE
fake "$folder/bin/ctest" <<'FAKE'
case "$*" in
  *show-only*)
    echo '{"tests": [{"name": "not_built"}, {"name": "a_gpu_test",
      "command": ["'"$PWD/$2"'/bin/a_gpu_test"]}]}'
    ;;
  *)
    echo "${FAKE_TEST_SAYS:-}" >"$2/Testing/Temporary/LastTest.log"
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
fake "$folder/bin/nvidia-cuda-mps-control" <<'FAKE'
echo "${1:-$(cat)} in $CUDA_MPS_PIPE_DIRECTORY" >>"$FAKES/mps"
exit "${FAKE_NO_MPS:-0}"
FAKE
fake "$folder/checkout/launch/mpirun.sh" <<'FAKE'
echo "$*" >>"$FAKES/mpirun"
shift
exec "$@"
FAKE
fake "$folder/checkout/tests/launch/lost_ranks.sh" <<'FAKE'
echo "75 checks, ${FAKE_HANGS:-0} failed"
exit "${FAKE_HANGS:-0}"
FAKE
fake "$folder/programs/exchange_gpu_test" <<'FAKE'
if [ -n "${FAKE_NO_GPU:-}${FAKE_BLIND:-}" ]; then echo "skipped: no GPU: none"; exit 77; fi
if [ -n "${FAKE_WRONG_ROWS:-}" ]; then echo "a row is wrong" >exchange_gpu_test.rank1.log; fi
echo "All tests passed, sharing ${NCCL_SOCKET_IFNAME:-nothing}"
exit "${FAKE_WRONG_ROWS:-0}"
FAKE
fake "$folder/programs/hashep" <<<'echo "step 12 us"'
fake "$folder/programs/hashep-bench" <<'FAKE'
while [ "$1" != -J ]; do shift; done
echo '{"program": "hashep-bench", "commit": "abc", "results": [
  {"name": "copy_bound", "dtype": "bf16", "median_us": 40.0, "samples_us": [40.0]},
  {"name": "dispatch", "transport": "ipc", "dtype": "bf16", "workload": "'"${CUDA_MPS_PIPE_DIRECTORY:+at once}"'",
   "median_us": 50.0, "samples_us": [50.0]}]}' >"$2"
FAKE
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
  {"name": "dense_gemm_bf16_output", "dtype": "bf16", "workload": "lanes 1", "median_us": 60.0, "samples_us": [60.0]},
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
  rm -rf "$out" "$folder/checkout/build" "$folder"/{mps,mpirun}
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
summary_has "| layer" "bf16 lanes 1" 100 70 0.700 "gb_per_s 2718" "0.600 of dense_gemm_bf16_output" "not GEMM 25.0 %"
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

run 0 "ranks share a GPU" -- --set full --parts ranks
summary_has "set: full, preset cuda-release"
for ranks in 1 2 4; do summary_has "exchange-$ranks" passed "sharing lo"; done
for transport in ipc nccl hier; do summary_has "hashep run, 2 ranks, $transport" passed "step 12 us"; done
summary_has "| dispatch" "ipc bf16 " 50 40 0.800
summary_has "| dispatch" "ipc bf16 at once" 50 40 0.800
summary_has "killed-peer" passed "75 checks, 0 failed"
for ranks in 2 4 8; do summary_has "$ranks GPUs" skipped "this machine has 1"; done
check "JSON of both ways to share" [ "$(echo "$out"/*.json)" = "$(echo "$out"/ipc-{mps,shared}.json)" ]
check "no part on one rank" [ "$(grep -c 'tests on a GPU\|compute-sanitizer\|benchmark' "$out/summary.md")" = 0 ]
check "MPS has begun and ended" [ "$(sed 's/ in .*//' "$folder/mps" | tr '\n' ' ')" = "-d quit " ]
check "MPS in a folder of its own" [ "$(sed -n 's/.* in //p' "$folder/mps" | grep -c '^/tmp\|^'"${TMPDIR:-/tmp}")" = 2 ]
check "ranks of the runs" [ "$(grep -c '^2 .*--share-gpu' "$folder/mpirun")" = 5 ]
run 0 "four GPUs" FAKE_GPUS=4 -- --set full --parts ranks
summary_has "4 GPUs" passed
summary_has "8 GPUs" skipped "this machine has 4"
check "all transports on 4 ranks" grep -q '^4 .*hashep-bench .*--transport all' "$folder/mpirun"
run 0 "MPS does not start" FAKE_NO_MPS=1 -- --set full --parts ranks
summary_has "ipc-bench under MPS" skipped "does not start"
run 1 "wrong rows, and ranks that hang" FAKE_WRONG_ROWS=1 FAKE_HANGS=1 -- --set full
summary_has "exchange-2" FAILED "exit code 1"
check "log of rank 1" grep -q "a row is wrong" "$out/run.log"
summary_has "hashep run, 2 ranks, ipc" passed
summary_has "benchmark rows" passed
summary_has "killed-peer" FAILED "75 checks, 1 failed"
run 1 "ranks see no GPU" FAKE_BLIND=1 -- --set full --parts ranks
summary_has "exchange-2" FAILED "saw no GPU"
run 1 "ranks without MPI" -- --set one-rank --parts ranks
summary_has "ranks" FAILED "need MPI"
run 0 "one rank's part" -- --set full --parts gpu
check "no part on ranks" [ "$(grep -c 'exchange-\|killed-peer' "$out/summary.md")" = 0 ]

run 2 "no GPU" FAKE_NO_GPU=1 -- --set auto
check "says so" grep -q "error: no GPU: nvidia-smi says 'no devices were found'" "$folder/stdout"
run 0 "no GPU wanted" FAKE_NO_GPU=1 -- --no-gpu
summary_has "NOT RUN ON A GPU"
summary_has "benchmark rows" skipped "needs a GPU"
run 0 "no GPU wanted, ranks" FAKE_NO_GPU=1 -- --no-gpu --set full
summary_has "exchange-2" skipped "no GPU: none"
summary_has "hashep run, 2 CPU ranks" passed
for what in ipc-bench killed-peer "hashep run, 2 ranks, nccl"; do summary_has "$what" skipped "needs a GPU"; done
check "for sm_90" grep -q 'ARCHITECTURES=90' "$folder/configure"
run 2 "an unknown option" -- --gpu
run 2 "unknown parts" -- --parts some

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
