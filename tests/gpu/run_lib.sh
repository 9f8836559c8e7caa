#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2034 # what the tests use
# tests/gpu/run.sh where there is no GPU and nothing to build, for tests of it: every program that it
# calls is a fake. Sourced by them.
set -uo pipefail
source=$(cd "$(dirname "$0")/../.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
failures=0

# The checkout in which it runs, with what it calls besides the programs below.
mkdir -p "$folder"/{bin,programs,python/torch,venvs/{a,b}/.venv/bin} "$folder"/checkout/{tests/{gpu,launch},launch,benchmarks}
cp -r "$source"/tests/gpu/{run,parts,find_libraries,probe,sanitize,stages_gpu,stages_ranks,test_on_ranks,with_mps}.sh \
  "$source"/tests/gpu/{probes,summary.py} "$folder/checkout/tests/gpu/"

fake() {
  { echo '#!/usr/bin/env bash'; cat; } >"$1"
  chmod +x "$1"
}
fake "$folder/bin/nvidia-smi" <<'FAKE'
if [ -n "${FAKE_NO_GPU:-}" ]; then echo "no devices were found"; exit 6; fi
if [ "$1" = --list-gpus ]; then seq -f 'GPU %g: fake' "${FAKE_GPUS:-1}"; exit; fi
echo "Fake GPU, 81559 MiB, 580.1"
FAKE
# Parts that are to reach their limit do so after 2 s.
REAL_TIMEOUT=$(command -v timeout)
export REAL_TIMEOUT
fake "$folder/bin/timeout" <<'FAKE'
if [ -n "${FAKE_HURRY:-}" ] && [[ "$*" == *"$FAKE_HURRY"* ]]; then set -- "$1" 2 "${@:3}"; fi
exec "$REAL_TIMEOUT" "$@"
FAKE
# Compilers: a program that they make prints what its source is and what it is told to say.
fake "$folder/bin/compile" <<'FAKE'
while [ $# -gt 0 ]; do
  case $1 in
    *.cu | *.cpp) source=$1 ;;
    -o) program=$2 ;;
    -I*) if [ "${1%/include}" != "$1" ] && [ -e "${1#-I}/nccl.h" ]; then has_nccl=1; fi ;;
  esac
  shift
done
name=${source##*/}
name=${name%.*}
if [[ " ${FAKE_NOT_COMPILED:-} " == *" $name "* ]]; then
  echo "In file included from somewhere"
  echo "$source:1: fatal error: $name.h: No such file"
  echo "compilation terminated."
  exit 1
fi
cat >"$program" <<PROGRAM
#!/usr/bin/env bash
if [ -n "\${CUDA_MPS_PIPE_DIRECTORY:-}" ] && [ -n "\${FAKE_MPS_REFUSES:-}" ]; then
  echo "cudaMalloc failed with cudaErrorMpsConnectionFailed"
  exit 1
fi
if [[ " \${FAKE_NOT_RUN:-} " == *" $name "* ]]; then echo "$name failed: libx.so: not there"; exit 1; fi
echo "the probe $name works \$*"
PROGRAM
chmod +x "$program"
FAKE
fake "$folder/bin/nvcc" <<'FAKE'
if [ "$1" != --version ]; then exec compile "$@"; fi
echo "Cuda compilation tools, release 13.0, V13.0.88"
FAKE
fake "$folder/bin/g++" <<'FAKE'
if [ "$1" != --version ]; then exec compile "$@"; fi
echo "g++ 1.0"
FAKE
fake "$folder/bin/ninja" <<'FAKE'
for target in gpu_tests a_gpu_test hashep hashep-bench ${FAKE_NO_BENCH:-hashep-bench-gpu}; do echo "$target: phony"; done
FAKE
fake "$folder/bin/mpicxx" <<'FAKE'
if [ -n "${FAKE_NO_MPI:-}" ]; then echo "mpicxx: error: no compiler"; exit 1; fi
exec compile "$@"
FAKE
fake "$folder/bin/cmake" <<'FAKE'
if [ "$1" = --build ]; then
  if [ -n "${FAKE_SLOW_BUILD:-}" ]; then sleep 60; fi
  cp "$FAKES"/programs/{a_gpu_test,stack_gpu_test,exchange_gpu_test,hashep,hashep-bench} "$2/bin/"
  if [ -z "${FAKE_NO_BENCH:-}" ]; then cp "$FAKES/programs/hashep-bench-gpu" "$2/bin/"; fi
  echo "[2/2] Linking"
else
  echo "NCCL_ROOT=${NCCL_ROOT:-} $*" >>"$FAKES/configure"
  if [[ "$*" == *"--preset cuda-release"* ]] && [ -n "${FAKE_NOT_CONFIGURED:-}" ]; then exit 1; fi
  while [ "$1" != --preset ]; do shift; done
  mkdir -p "build/$2/bin" "build/$2/Testing/Temporary"
fi
FAKE
fake "$folder/bin/ctest" <<'FAKE'
case "$*" in
  *show-only*)
    echo '{"tests": [{"name": "not_built"}, {"name": "a_gpu_test",
      "command": ["'"$PWD/$2"'/bin/a_gpu_test"]}, {"name": "stack_gpu_test",
      "command": ["'"$PWD/$2"'/bin/stack_gpu_test"]}]}'
    ;;
  *)
    echo "${FAKE_TEST_SAYS:-}" >"$2/Testing/Temporary/LastTest.log"
    if [ -n "${FAKE_FAILING_TEST:-}" ]; then echo "50% tests passed, 1 tests failed out of 2"; exit 8; fi
    echo "100% tests passed, 0 tests failed out of 2"
    ;;
esac
FAKE
fake "$folder/bin/compute-sanitizer" <<'FAKE'
echo "$2 ${5##*/} $6" >>"$FAKES/sanitized"
if [[ "$2 ${5##*/}" == "${FAKE_HANGING:-}" ]]; then sleep 60; fi
if [ -n "${FAKE_UNSUPPORTED:-}" ]; then echo "========= Error: Device not supported. Please refer to the list"; exit 1; fi
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
echo "${TRANSPORTS:-all} $*" >>"$FAKES/lost"
echo "75 checks, ${FAKE_HANGS:-0} failed"
exit "${FAKE_HANGS:-0}"
FAKE
fake "$folder/programs/exchange_gpu_test" <<'FAKE'
if [ -n "${FAKE_NO_GPU:-}${FAKE_BLIND:-}" ]; then echo "skipped: no GPU: none"; exit 77; fi
if [ -n "${FAKE_NO_IPC:-}" ]; then echo "left out: ipc, hier: GPUs of a node do not reach each other's memory"; fi
if [ -n "${FAKE_STUCK:-}" ]; then echo "rank 0 says last" >&2; sleep 60; fi
if [ -n "${FAKE_WRONG_ROWS:-}" ]; then echo "a row is wrong" >exchange_gpu_test.rank1.log; fi
echo "All tests passed, sharing ${NCCL_SOCKET_IFNAME:-nothing}"
exit "${FAKE_WRONG_ROWS:-0}"
FAKE
fake "$folder/programs/hashep" <<'FAKE'
if [ -n "${FAKE_NO_IPC:-}" ] && [[ "$*" =~ (ipc|hier) ]]; then
  echo "hashep: error: --transport ipc: GPUs of a node do not reach each other's memory; use nccl"
  exit 2
fi
if [ -n "${FAKE_IPC_BREAKS:-}" ] && [[ "$*" =~ ipc ]]; then echo "cudaIpcOpenMemHandle failed"; exit 1; fi
echo "step 12 us"
FAKE
fake "$folder/programs/hashep-bench" <<'FAKE'
if [ -n "${FAKE_NO_IPC:-}" ]; then
  echo "hashep-bench: error: --transport ipc: GPUs of a node do not reach each other's memory; use nccl"
  exit 2
fi
[[ "$*" =~ --top-k\ ([0-9]+) ]] && top_k=${BASH_REMATCH[1]}
while [ "$1" != -J ]; do shift; done
echo '{"program": "hashep-bench", "commit": "abc", "results": [
  {"name": "copy_bound", "dtype": "bf16", "median_us": 40.0, "samples_us": [40.0], "top_k": '"${top_k:-1}"'},
  {"name": "dispatch", "transport": "ipc", "dtype": "bf16", "top_k": '"${top_k:-1}"', "workload": "'"${CUDA_MPS_PIPE_DIRECTORY:+at once}"'",
   "median_us": 50.0, "samples_us": [50.0]}]}' >"$2"
FAKE
: >"$folder/python/torch/__init__.py"
fake "$folder/programs/a_gpu_test" <<<'true'
fake "$folder/programs/stack_gpu_test" <<<'true'
# A virtual environment without anything, and one that has what is asked for.
fake "$folder/venvs/a/.venv/bin/python" <<<'PYTHONPATH= exec python3 "$@"'
fake "$folder/venvs/b/.venv/bin/python" <<'FAKE'
PYTHONPATH=$FAKES/python exec python3 "$@"
FAKE
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
  rm -rf "$out" "$folder/checkout/build" "$folder"/{mps,mpirun,configure,sanitized,lost}
  env PATH="$folder/bin:$PATH" PYTHONPATH="$folder/python" VENVS="$folder/none" FAKES="$folder" OUT="$out" HASHEP_COMMIT=abc123 \
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

# limits: "LIMIT NAME" of each part that was begun, in order.
limits() {
  sed -n 's/^==== \(.*\), at most \([0-9]*\) s: .*/\2 \1/p' "$out/run.log"
}
# sum_of_limits [LAST]: of the parts up to LAST, or of all.
sum_of_limits() {
  limits | awk -v last="${1:-}" '{ sum += $1; sub(/^[0-9]+ /, "") } $0 == last { exit } END { print sum }'
}
limit_of() {
  limits | sed -n "s/ $1\$//p"
}
# in_order NAME...: parts of these names come after each other.
in_order() {
  local expected
  expected=$(printf '%s\n' "$@")
  check "order: $*" [ "$(limits | sed 's/^[0-9]* //' | grep -xF "$expected")" = "$expected" ]
}

finish() {
  if [ "$failures" != 0 ]; then
    echo "$failures checks failed"
    exit 1
  fi
}
