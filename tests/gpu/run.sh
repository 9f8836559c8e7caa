#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# All that needs a GPU, in one command, on a machine that may have no network: build, tests, ranks that
# share a GPU or have one each, compute-sanitizer, benchmarks, a summary. --help tells more.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1

usual_budget=560  # seconds: under ten minutes in all, the summary included
budget=$usual_budget

usage() {
  cat <<USAGE
Usage: tests/gpu/run.sh [--no-gpu] [--set auto|full|one-rank] [--parts all|gpu|ranks] [--budget SECONDS]

  --no-gpu   do all that needs no GPU: unpack, build, run the tests, which then skip themselves
  --set      full: with MPI and oneDNN (preset cuda-release); one-rank: without (cuda-one-rank);
             auto (default): full where both are to be had
  --parts    gpu: what runs on one rank; ranks: what runs on several (set full); all (default): both.
             A build is kept, so that two runs may share the work
  --budget   time for all parts together (default: $budget); what is left then is not run, and the
             run has failed. With more, each part may take longer.

Needs the CUDA toolkit, a C++20 compiler, CMake, Ninja and Python. Libraries that the system lacks
come from .gpu-deps/ (tests/gpu/fetch_dependencies.sh). Leaves summary.md, run.log and the results as
JSON in the folder OUT (default: a new one below build/). HASHEP_COMMIT names the commit where there
is no git. PyTorch and compute-sanitizer are used if there. Exit code 0: all parts passed.
USAGE
}

fail() {
  echo "gpu/run: error: $*" >&2
  exit 2
}

gpu=1
set=auto
parts=all
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
if [[ ! $budget =~ ^[1-9][0-9]{0,5}$ ]]; then fail "--budget $budget: a number of seconds is needed"; fi
for program in cmake ninja g++ python3; do
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
results=("$out"/{rows,layer,launch,torch,ipc-shared,ipc-mps,gpus-2,gpus-4,gpus-8}.json)
rm -f "${results[@]}"
: >"$log"
: >"$work/parts"
deadline=$((SECONDS + budget))
failed=''

# row RESULT PART SECONDS WORDS: notes how a part ended, and shows it.
row() {
  local words
  words=$(tr '\t\r\n' '   ' <<<"$4")
  printf '%s\t%s\t%s\t%.160s\n' "$1" "$2" "$3" "$words" >>"$work/parts"
  printf '%-8s %-32s %4s s  %.160s\n' "$1" "$2" "$3" "$words"
  if [ "$1" = FAILED ]; then failed=1; fi
}

# closing_words LOG: what says best how a part ended, ctest's count or the last line.
closing_words() {
  local count skipped
  count=$(grep -E '^[0-9]+% tests passed' "$1" | tail -n 1)
  skipped=$(grep -c '\*\*\*Skipped' "$1")
  if [ -z "$count" ]; then
    grep -v '^[[:space:]]*$' "$1" | tail -n 1
  else
    echo "$count, $skipped skipped"
  fi
}

# part NAME LIMIT COMMAND...: runs a part for at most LIMIT seconds, and more with a larger budget.
# Its output goes to the log and to $part_log. True if it passed.
part_log=$work/part.log
running=''
part() {
  local name=$1 limit=$2 begin=$SECONDS code=0 words
  shift 2
  if ((budget > usual_budget)); then limit=$((limit * budget / usual_budget)); fi
  if ((limit > deadline - SECONDS)); then limit=$((deadline - SECONDS)); fi
  printf '\n==== %s: %s\n' "$name" "$*" >>"$log"
  if ((limit < 5)); then
    echo "not run" >>"$log"
    row FAILED "$name" 0 "not run: the time for all parts was up"
    return 1
  fi
  timeout --kill-after=10 "$limit" "$@" </dev/null >"$part_log" 2>&1 &
  running=$!
  wait "$running" || code=$?  # unlike the command itself, a wait ends when a signal comes
  running=''
  cat "$part_log" >>"$log"
  if [ "$code" = 0 ]; then
    words=$(closing_words "$part_log")
    if [[ $words =~ \ out\ of\ ([0-9]+),\ ([0-9]+)\ skipped$ && ${BASH_REMATCH[1]} = "${BASH_REMATCH[2]}" ]]; then
      row skipped "$name" $((SECONDS - begin)) "all of them: $words"
    else
      row passed "$name" $((SECONDS - begin)) "$words"
    fi
  elif [ "$code" = 77 ] && [ -n "$gpu" ] && grep -q '^skipped: no GPU' "$part_log"; then
    row FAILED "$name" $((SECONDS - begin)) "it saw no GPU: $(closing_words "$part_log")"
  elif [ "$code" = 77 ]; then
    row skipped "$name" $((SECONDS - begin)) "$(closing_words "$part_log")"
  elif [ "$code" = 124 ] || [ "$code" = 137 ]; then
    row FAILED "$name" $((SECONDS - begin)) "stopped after its limit of $limit s"
  else
    row FAILED "$name" $((SECONDS - begin)) "exit code $code: $(closing_words "$part_log")"
    tail -n 15 "$part_log" | sed 's/^/         | /'
  fi
  return "$code"
}

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

# ---- Libraries: the system's own, and before them those in .gpu-deps.
root=$PWD/build/gpu-deps/root
sets=()
for folder in .gpu-deps/one-rank .gpu-deps/full; do
  if [ "$set" = one-rank ] && [ "$folder" = .gpu-deps/full ]; then continue; fi
  if compgen -G "$folder/*.deb" >/dev/null; then sets+=("$folder"); fi
done
with_deps=(env)
if [ ${#sets[@]} -gt 0 ]; then
  part "unpack ${sets[*]##*/}" 30 tests/gpu/unpack_dependencies.sh "$root" "${sets[@]}"
  libraries=$root/usr/lib/x86_64-linux-gnu
  # Only for what is built here: Python and its libraries keep to the system's.
  with_deps+=("LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" "PATH=$root/usr/bin:$PATH"
    "CMAKE_PREFIX_PATH=$root/usr" "CMAKE_INCLUDE_PATH=$root/usr/include" "CMAKE_LIBRARY_PATH=$libraries")
  if [ -e "$root/usr/bin/mpirun" ]; then
    # One host: no remote shell is looked for, no network's driver, and no compression of messages.
    with_deps+=("OPAL_PREFIX=$root/usr" "PMIX_INSTALL_PREFIX=$libraries/pmix2" OMPI_MCA_plm=isolated
      OMPI_MCA_pml=ob1 "OMPI_MCA_btl=self,vader" OMPI_MCA_btl_vader_single_copy_mechanism=none
      PMIX_MCA_pcompress_base_silence_warning=1)
  fi
fi
if [ "$set" = auto ]; then
  set=one-rank
  if "${with_deps[@]}" mpicxx --version >>"$log" 2>&1 &&
    "${with_deps[@]}" CPATH="$root/usr/include:$root/usr/include/x86_64-linux-gnu" \
      g++ -x c++ -E -include dnnl.h -include hwloc.h /dev/null >/dev/null 2>>"$log"; then
    set=full
  fi
fi
if [ "$set" = full ]; then
  preset=cuda-release
  targets=(gpu_tests hashep-bench-gpu hashep hashep-bench)
else
  preset=cuda-one-rank
  targets=(gpu_tests hashep-bench-gpu)
fi
# NCCL, where the toolkit has none: what .gpu-deps has, else PyTorch's.
if [ "$set" = full ] && [ -z "${NCCL_ROOT:-}" ] && [ ! -e "$(dirname "$(command -v nvcc)")/../include/nccl.h" ]; then
  if compgen -G '.gpu-deps/nccl/*.whl' >/dev/null; then
    part "unpack nccl" 60 python3 -m zipfile -e .gpu-deps/nccl/*.whl build/gpu-deps/nccl
    NCCL_ROOT=$PWD/build/gpu-deps/nccl/nvidia/nccl
  else
    NCCL_ROOT=$(python3 -c 'import nvidia.nccl; print(list(nvidia.nccl.__path__)[0])' 2>>"$log")
  fi
  if [ -n "$NCCL_ROOT" ]; then with_deps+=("NCCL_ROOT=$NCCL_ROOT"); fi
fi
printf 'set\t%s, preset %s, for architecture %s\n' "$set" "$preset" "$arch" >>"$work/machine"
echo "set $set: preset $preset"

# ---- Build. The machine's compiler may be newer than those that warnings are checked with.
folder=build/$preset
part "configure $preset" 90 "${with_deps[@]}" cmake --fresh --preset "$preset" -DHASHEP_BUILD_TESTS=ON \
  -DHASHEP_WARNINGS_AS_ERRORS=OFF -DCMAKE_CUDA_ARCHITECTURES="$arch" -DHASHEP_COMMIT="$commit" || exit 1
known=$(ninja -C "$folder" -t targets all | sed 's/: .*//')
to_build=()
for target in "${targets[@]}"; do
  if grep -qxF "$target" <<<"$known"; then to_build+=("$target"); else row FAILED "build $target" 0 "there is no such target"; fi
done
part "build ${to_build[*]}" 330 "${with_deps[@]}" cmake --build "$folder" --parallel "$(nproc)" --target \
  "${to_build[@]}" -- -k 0

# ---- Tests, what is worth most first.
bin=$folder/bin
ranks_correct() { :; }
ranks_measured() { :; }
if [ "$set" = full ] && [ "$parts" != gpu ]; then
  # shellcheck source=tests/gpu/stages_ranks.sh
  . tests/gpu/stages_ranks.sh
elif [ "$parts" = ranks ]; then
  row FAILED "ranks" 0 "they need MPI and oneDNN, the system's or those in .gpu-deps/full"
  exit
fi
if [ "$parts" = ranks ]; then
  ranks_correct
  ranks_measured
  exit
fi

run_tests() {
  part "tests on a GPU" 120 "${with_deps[@]}" ctest --test-dir "$folder" -L '^gpu$' --no-tests=error --output-on-failure
}
if run_tests && [ -n "$gpu" ] && grep -qh '^skipped: no GPU' "$folder/Testing/Temporary/LastTest.log"; then
  row FAILED "tests on a GPU" 0 "a test says that it saw no GPU"
fi
ranks_correct
if [ -n "$gpu" ]; then
  # Of a test that was not built, ctest tells no command.
  mapfile -t programs < <("${with_deps[@]}" ctest --test-dir "$folder" --show-only=json-v1 -L '^gpu$' | python3 -c '
import json, sys
for program in sorted({test["command"][0] for test in json.load(sys.stdin)["tests"] if "command" in test}):
    print(program)')
  for tool in memcheck racecheck initcheck; do
    if ! command -v compute-sanitizer >/dev/null; then
      row skipped "compute-sanitizer $tool" 0 "compute-sanitizer is not on this machine"
    elif [ ${#programs[@]} = 0 ]; then
      row FAILED "compute-sanitizer $tool" 0 "no test program was built"
    else
      part "compute-sanitizer $tool" 75 "${with_deps[@]}" tests/gpu/sanitize.sh "$tool" "${programs[@]}"
    fi
  done
else
  row skipped "compute-sanitizer" 0 "needs a GPU"
fi

# ---- Benchmarks.
bench() {
  local what=$1
  shift
  if [ ! -x "$bin/hashep-bench-gpu" ]; then
    row FAILED "benchmark $what" 0 "hashep-bench-gpu was not built"
  elif [ -z "$gpu" ]; then
    row skipped "benchmark $what" 0 "needs a GPU"
  else
    part "benchmark $what" 90 "${with_deps[@]}" "$bin/hashep-bench-gpu" "$what" -J "$out/$what.json" "$@"
  fi
}
bench rows
bench layer --dump "$work/layer.safetensors"
bench launch
if [ -z "$gpu" ]; then
  row skipped "benchmark torch" 0 "needs a GPU"
elif ! python3 -c 'import torch' >>"$log" 2>&1; then
  row skipped "benchmark torch" 0 "PyTorch is not on this machine"
elif [ ! -f "$work/layer.safetensors" ]; then
  row FAILED "benchmark torch" 0 "the benchmark of the layer left no tensors"
else
  part "benchmark torch" 90 python3 benchmarks/torch_layer.py --input "$work/layer.safetensors" -J "$out/torch.json"
fi

ranks_measured
true  # parts that failed are in the summary, and in the exit code that the trap makes
