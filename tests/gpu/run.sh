#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# All that needs a GPU, in one command, on a machine that may have no network: build, tests, ranks that
# share a GPU or have one each, compute-sanitizer, benchmarks, a summary. --help tells more.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1

# Seconds, the summary not included: a machine may be lent for commands of ten minutes at most.
one_command=530
two_commands=$((2 * one_command))

usage() {
  cat <<USAGE
Usage: tests/gpu/run.sh [--no-gpu] [--set auto|full|one-rank] [--parts all|gpu|ranks] [--budget SECONDS]

  --no-gpu   do all that needs no GPU: unpack, build, run the tests, which then skip themselves
  --set      full: with MPI and oneDNN (preset cuda-release); one-rank: without (cuda-one-rank);
             auto (default): full where both are to be had
  --parts    gpu: what runs on one rank; ranks: what runs on several (set full); all (default): both
  --budget   time for all parts together (gpu or ranks: $one_command, all: $two_commands); what is left then is not
             run, and the run has failed. With more, each part may take longer.

Where a command may take ten minutes, two of under nine do it all, and share the build where it is kept:

  tests/gpu/run.sh --parts gpu     tests, benchmarks, then compute-sanitizer
  tests/gpu/run.sh --parts ranks   exchanges, runs and their benchmarks, then peers that are killed

Needs the CUDA toolkit, a C++20 compiler, CMake, Ninja and Python. Libraries that the system lacks
come from .gpu-deps/ (tests/gpu/fetch_dependencies.sh). Leaves summary.md, run.log and the results as
JSON in the folder OUT (default: a new one below build/). HASHEP_COMMIT names the commit where there
is no git. PyTorch and compute-sanitizer are used if there: PyTorch, and NCCL where the toolkit has none, in
the Python PYTHON, else python3, else the virtual environments VENVS (default: /opt/*/.venv). Exit code 0: all
parts passed.
USAGE
}

fail() {
  echo "gpu/run: error: $*" >&2
  exit 2
}

gpu=1
set=auto
parts=all
budget=''
while [ $# -gt 0 ]; do
  case $1 in
    --no-gpu) gpu='' ;;
    --set | --parts | --budget)
      if [ $# -lt 2 ]; then fail "$1 needs a value"; fi
      declare "${1#--}=$2"
      shift
      ;;
    --help | -h) usage; exit 0 ;;
    *) fail "unknown option $1 (--help lists them)" ;;
  esac
  shift
done
case $set in auto | full | one-rank) ;; *) fail "--set $set: auto, full or one-rank is needed" ;; esac
case $parts in all | gpu | ranks) ;; *) fail "--parts $parts: all, gpu or ranks is needed" ;; esac
usual_budget=$one_command
if [ "$parts" = all ]; then usual_budget=$two_commands; fi
budget=${budget:-$usual_budget}
if [[ ! $budget =~ ^[1-9][0-9]{0,5}$ ]]; then fail "--budget $budget: a number of seconds is needed"; fi
for program in cmake ninja g++ python3 ${PYTHON:+"$PYTHON"}; do
  command -v "$program" >/dev/null || fail "$program is missing"
done
for folder in /usr/local/cuda/bin /usr/local/cuda/compute-sanitizer; do
  if [ -d "$folder" ]; then PATH=$PATH:$folder; fi
done
command -v nvcc >/dev/null || fail "the CUDA toolkit is missing: there is no nvcc"

if [ -n "$gpu" ]; then
  gpu_words=$(nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader 2>&1 | head -n 1)
  if [[ ! $gpu_words =~ MiB ]]; then fail "no GPU: nvidia-smi says '$gpu_words' (--no-gpu runs the rest)"; fi
  arch=native
else
  gpu_words="none: run with --no-gpu"
  arch=90
  export CUDA_VISIBLE_DEVICES=''
fi

out=${OUT:-$PWD/build/gpu-run-$(date -u +%Y%m%d-%H%M%S)}
mkdir -p "$out" build || fail "$out cannot be made"
out=$(cd "$out" && pwd)
work=$(mktemp -d "$PWD/build/gpu-run-work.XXXXXX")
log=$out/run.log
rm -f "$out/summary.md"
results=("$out"/{rows,layer,launch,torch,ipc-{shared,mps}-top{1,6},gpus-{2,4,8}}.json)
rm -f "${results[@]}"
: >"$log"
: >"$work/parts"
deadline=$((SECONDS + budget))
failed=''

# shellcheck source=tests/gpu/parts.sh
. tests/gpu/parts.sh

finish() {
  local code=$?
  if [ "$code" != 0 ] && [ -z "$failed" ]; then row FAILED "run.sh" 0 "ended early, exit code $code"; fi
  python3 tests/gpu/summary.py "$work/machine" "$work/parts" "${results[@]}" \
    >"$out/summary.md" 2>>"$log" || { failed=1; echo "gpu/run: error: the summary has gaps; see $log" >&2; }
  rm -rf "$work"
  printf '\n'
  cat "$out/summary.md"
  printf '\nEverything is in %s\n' "$out"
  if [ -n "$failed" ]; then exit 1; fi
}

commit=${HASHEP_COMMIT:-$(git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)}
export HASHEP_COMMIT=$commit
changes=''
if [ -n "$(git status --porcelain 2>/dev/null)" ]; then changes=' and changes that are not committed'; fi
{
  printf 'GPU\t%s\n' "$gpu_words"
  printf 'date\t%s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)"
  printf 'commit\t%s\n' "$commit$changes"
  printf 'CUDA\t%s\n' "$(nvcc --version | sed -n 's/.*release //p')"
  printf 'host\t%s, %s cores, %s\n' "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" "$(nproc)" \
    "$(g++ --version | head -n 1)"
} >"$work/machine"
trap finish EXIT
trap 'if [ -n "$running" ]; then kill "$running"; fi; exit 130' INT TERM

# shellcheck source=tests/gpu/find_libraries.sh
. tests/gpu/find_libraries.sh

# ---- Build. The machine's compiler may be newer than those that warnings are checked with.
# configure PRESET TARGET...: makes the build's folder ready for these.
configure() {
  preset=$1
  targets=("${@:2}")
  folder=build/$preset
  bin=$folder/bin
  part "configure $preset" 35 "${with_deps[@]}" cmake --fresh --preset "$preset" -DHASHEP_BUILD_TESTS=ON \
    -DHASHEP_WARNINGS_AS_ERRORS=OFF -DCMAKE_CUDA_ARCHITECTURES="$arch" -DHASHEP_COMMIT="$commit"
}
one_rank_targets=(gpu_tests hashep-bench-gpu)
if [ "$set" = full ] && ! configure cuda-release "${one_rank_targets[@]}" hashep hashep-bench; then
  set=one-rank
  row FAILED "set full" 0 "cannot be configured: what runs on one rank is all that is left"
  configure cuda-one-rank "${one_rank_targets[@]}" || exit 1
elif [ "$set" = one-rank ]; then
  configure cuda-one-rank "${one_rank_targets[@]}" || exit 1
fi
printf 'set\t%s, preset %s, for architecture %s\n' "$set" "$preset" "$arch" >>"$work/machine"
echo "set $set: preset $preset"
known=$(ninja -C "$folder" -t targets all | sed 's/: .*//')
to_build=()
for target in "${targets[@]}"; do
  if grep -qxF "$target" <<<"$known"; then to_build+=("$target"); else row FAILED "build $target" 0 "there is no such target"; fi
done
part "build ${to_build[*]}" 170 "${with_deps[@]}" cmake --build "$folder" --parallel "$(nproc)" --target \
  "${to_build[@]}" -- -k 0

# ---- What is worth most first: results that are right, what they cost, then the long searches for faults.
# shellcheck source=tests/gpu/stages_gpu.sh
. tests/gpu/stages_gpu.sh
# shellcheck source=tests/gpu/stages_ranks.sh
. tests/gpu/stages_ranks.sh
if [ "$parts" = ranks ] && [ "$set" != full ]; then
  row FAILED "ranks" 0 "they need MPI, oneDNN and NCCL, the system's or those in .gpu-deps (above: what is missing)"
  exit
fi
on_one_rank() { [ "$parts" != ranks ]; }
on_ranks_too() { [ "$parts" != gpu ] && [ "$set" = full ]; }
on_one_rank && gpu_correct
on_ranks_too && ranks_correct
on_one_rank && gpu_measured
on_ranks_too && ranks_measured
on_one_rank && gpu_sanitized
on_ranks_too && ranks_lost
true  # parts that failed are in the summary, and in the exit code that the trap makes
