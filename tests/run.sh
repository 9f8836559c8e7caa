#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds and runs the tests; installs what is missing first. --help lists the choices.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

usage() {
  cat <<'USAGE'
Usage: ./tests/run.sh [--all] [--preset NAME]... [--slow] [--coverage] [--bare] [--yes] [-- OPTIONS OF ctest]

  --preset NAME  build a preset and run its tests (default: cpu-release; may be repeated)
  --slow         slow tests too; they also run where options of ctest are given, which then choose
  --all          what continuous integration runs: lint, the tests of minimal and all of cpu-release
                 (slow and cluster tests here alone), the proof that the lower layers need no MPI and
                 no oneDNN, each header that no source includes first compiled alone, the reference
                 without a warning, the tests whose memory is worth a look with AddressSanitizer and
                 UndefinedBehaviorSanitizer, together with the GPU path on a stand-in where there is a
                 CUDA toolkit, the GPU build for all its architectures where there is one, and the
                 fuzzers for a bounded time. Not cpu-debug: the sanitizers' build has the same
                 assertions, and tests that are not optimised. Not clang and cpu-tsan, for the time
                 that a third whole build takes: run them by --preset
  --coverage     build with counters, run the tests but slow and cluster ones, and print which share of
                 lines ran, a line per folder; build/coverage/lines.txt has it by file
  --bare         prove both README commands on a bare Debian 12 (root; see tests/bare_debian.sh)
  --yes          install missing packages without asking
  --             what follows goes to ctest, `-- -R plan` for example

With cpu-release the Python package is built and tested too, where nanobind and pytest can be had from
PyPI (into build/python-environment); --all brings PyTorch 1.13 for hashep.torch.

Ends with a line per suite, and one that says which tests this machine made it skip; the exit code is
0 if none failed.
USAGE
}

jobs=$(nproc)
suites=()   # "passed NAME: closing line", or "FAILED ..." or "skipped ..."
failed=''

# note NAME CODE LINE: remembers how a suite ended.
note() {
  if [ "$2" = 0 ]; then
    suites+=("passed  $1: $3")
  else
    suites+=("FAILED  $1: $3")
    failed=1
  fi
}

# note_skipped PRESET LOG: remembers what this machine did not let the tests do, and why.
note_skipped() {
  local count reasons
  count=$(grep -c '(Skipped)$' "$2")
  if [ "$count" = 0 ]; then return; fi
  reasons=$(grep -hoE '.*skipped: .*' "build/$1/Testing/Temporary/LastTest.log" | sort -u)
  suites+=("skipped $1: $count tests; ${reasons//$'\n'/; }")
}

# step NAME COMMAND...: runs one check that has no tests of its own to count.
step() {
  local name=$1 begin=$SECONDS code=0
  shift
  printf '\n== %s\n' "$name"
  "$@" || code=$?
  note "$name" "$code" "exit code $code, $((SECONDS - begin)) s"
}

# build PRESET [TARGET...]: configures and builds, tests included.
build() {
  local preset=$1 target=() options=("${launcher[@]}")
  shift
  if [ $# -gt 0 ]; then target=(--target "$@"); fi
  if [ "$preset" = cpu-release ]; then options+=("${python_package[@]}"); fi
  cmake --preset "$preset" -DHASHEP_BUILD_TESTS=ON "${options[@]}" >"$logs/$preset.configure" 2>&1 ||
    { cat "$logs/$preset.configure"; return 1; }
  cmake --build --preset "$preset" --parallel "$jobs" "${target[@]}"
}

# What sanitizers are spared in --all (labels: cmake/HashEPTests.cmake).
not_for_sanitizers='slow|cluster|words|more-ranks'

# suite PRESET [OPTIONS OF ctest...]: builds a preset and runs its tests; of the fuzz, CUDA and thread
# presets only what the others do not have.
suite() {
  local preset=$1 begin=$SECONDS code=0 log="$logs/$1.ctest" targets=()
  shift
  case $preset in
    fuzz) targets=(fuzz_targets); set -- --label-regex fuzz "$@" ;;
    cuda-release)
      targets=(hashep hashep-bench hashep-bench-gpu gpu_tests)
      set -- --label-regex 'gpu|cuda' "$@"
      ;;
    cuda-standin)
      # In --all it takes the place of cpu-asan, all of whose targets and tests it has.
      if [ -z "$all" ]; then targets=(standin_tests); set -- --label-regex standin "$@"; fi
      ;;
    cpu-tsan) targets=(thread_tests); set -- --label-regex threads "$@" ;;
  esac
  printf '\n== %s\n' "$preset"
  if ! build "$preset" "${targets[@]}"; then
    note "$preset" 1 "the build failed"
    return
  fi
  echo "built in $((SECONDS - begin)) s"
  # Twice the cores: the tests' PROCESSORS are in halves of one (cmake/HashEPTests.cmake).
  ctest --preset "$preset" --parallel $((2 * jobs)) --no-tests=error "$@" "${ctest_options[@]}" 2>&1 |
    tee "$log" || code=$?
  note "$preset" "$code" \
    "$(grep -E 'tests passed,|No tests were found' "$log" | tail -n 1), $((SECONDS - begin)) s in all"
  note_skipped "$preset" "$log"
}

# CUTLASS's headers for the GPU build: those that CUTLASS_ROOT names, else NVIDIA's Python package.
find_cutlass() {
  if [ -n "${CUTLASS_ROOT:-}" ]; then return; fi
  if ! compgen -G '.gpu-deps/cutlass/*.whl' >/dev/null && ! tests/gpu/fetch_dependencies.sh cutlass; then
    suites+=("skipped fused GEMMs: CUTLASS could not be had")
    return
  fi
  export CUTLASS_ROOT=$PWD/build/gpu-deps/cutlass
  python3 -m zipfile -e .gpu-deps/cutlass/*.whl "$CUTLASS_ROOT"
}

# The Python package is built and tested with cpu-release, in an environment of Debian's Python with
# what is not Debian's: nanobind and pytest.
python_package=()
find_python() {
  local python=/usr/bin/python3 environment=build/python-environment
  if [ ! -x "$python" ]; then python=$(command -v python3); fi
  if [ ! -x "$environment/bin/python3" ]; then "$python" -m venv --system-site-packages "$environment"; fi
  if ! "$environment/bin/python3" -c 'import nanobind, pytest' 2>/dev/null &&
    ! "$environment/bin/python3" -m pip install --quiet nanobind pytest 2>&1; then
    suites+=("skipped the Python package: nanobind and pytest could not be had from PyPI")
    return
  fi
  python_package=(-DHASHEP_PYTHON=ON "-DPython_EXECUTABLE=$PWD/$environment/bin/python3")
}

# The compiler's own dependency files tell which headers the lower layers really read.
no_mpi_no_dnnl() {
  local deps forbidden headers libraries
  deps=$(ninja -C build/minimal -t deps) || return 1
  if ! grep -q 'include/hashep/dtype\.hpp' <<<"$deps"; then
    echo "build/minimal has no dependency files: nothing was proved"
    return 1
  fi
  headers='/(mpi|omp|(one)?dnnl[a-z_]*|cuda[a-z_]*|nccl|sentencepiece[a-z_]*)\.(h|hpp)$'
  libraries='[^ ]*lib(mpi|dnnl|gomp|nccl|cudart|sentencepiece)[^ ]*'
  forbidden=$(grep -E "$headers" <<<"$deps" | sort -u)
  forbidden+=$(grep -oE "$libraries" build/minimal/build.ninja | sort -u)
  if [ -n "$forbidden" ]; then
    echo "core, comm/plan, runtime/routing or runtime/model read or link what they must not:"
    echo "$forbidden"
    return 1
  fi
  echo "core, comm/plan, runtime/routing and runtime/model read no header of MPI, oneDNN, CUDA" \
    "or SentencePiece"
}

all_suites() {
  step lint ./tests/lint.sh
  suite minimal
  step "no MPI, no oneDNN below kernels" no_mpi_no_dnnl
  suite cpu-release
  step "each header alone" build cpu-release check_headers
  step "the reference" build cpu-release docs
  if command -v nvcc >/dev/null; then
    suite cuda-standin --label-exclude "$not_for_sanitizers"
    find_cutlass
    suite cuda-release
  else
    suite cpu-asan --label-exclude "$not_for_sanitizers"
    suites+=("skipped cuda-release, cuda-standin: there is no CUDA toolkit (nvcc) here")
  fi
  suite fuzz
}

# The share of lines that the tests run, of all but the tests.
coverage() {
  find build/coverage -name '*.gcda' -delete 2>/dev/null
  suite coverage --label-exclude 'slow|cluster|words'
  gcovr --root . --object-directory build/coverage --gcov-ignore-parse-errors -j "$jobs" \
    --filter '(core|comm|kernels|runtime|launch|benchmarks|include)/' --json-summary build/coverage/lines.json \
    --txt build/coverage/lines.txt >/dev/null || return 1
  python3 - <<'PYTHON'
import collections, json
covered, total = collections.Counter(), collections.Counter()
for file in json.load(open("build/coverage/lines.json"))["files"]:
    for folder in (file["filename"].split("/")[0], "all"):
        covered[folder] += file["line_covered"]
        total[folder] += file["line_total"]
for folder, lines in total.items():
    print(f"{folder:<11} {100 * covered[folder] / lines:5.1f} % of {lines} lines")
PYTHON
}

all=''
with_slow=''
with_coverage=''
bare=''
yes=()
presets=()
ctest_options=()
while [ $# -gt 0 ]; do
  case $1 in
    --all) all=1 ;;
    --slow) with_slow=1 ;;
    --coverage) with_coverage=1 ;;
    --bare) bare=1 ;;
    --yes | -y) yes=(--yes) ;;
    --preset)
      if [ $# -lt 2 ]; then echo "tests/run.sh: error: --preset needs a name" >&2; exit 2; fi
      presets+=("$2")
      shift
      ;;
    --help | -h) usage; exit 0 ;;
    --) shift; ctest_options=("$@"); break ;;
    *) echo "tests/run.sh: error: unknown option $1 (--help lists them)" >&2; exit 2 ;;
  esac
  shift
done
if [ ${#presets[@]} = 0 ]; then presets=(cpu-release); fi

if [ -n "$bare" ]; then exec ./tests/bare_debian.sh; fi

sets=(build python test)
if [ -n "$all" ]; then sets+=(peers plot); fi  # PyTorch, for the tests of hashep.torch; plots
if [ -n "$all" ] || [[ " ${presets[*]} " =~ \ (fuzz|clang|cpu-tsan)\  ]]; then sets+=(text ci); fi
if [ -n "$with_coverage" ]; then sets+=(coverage); fi
./launch/install_dependencies.sh "${yes[@]}" "${sets[@]}" || exit 1

launcher=()
if command -v ccache >/dev/null; then
  # Presets and checkouts share what they compile alike, wherever they are.
  export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1
  launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache -DCMAKE_CUDA_COMPILER_LAUNCHER=ccache)
fi
if [ -d /usr/local/cuda/bin ]; then PATH=$PATH:/usr/local/cuda/bin; fi
logs=build/logs
mkdir -p "$logs"
if [ -n "$all" ] || [[ " ${presets[*]} " == *" cpu-release "* ]]; then find_python; fi

if [ -n "$all" ]; then
  all_suites
elif [ -n "$with_coverage" ]; then
  step coverage coverage
else
  only=()
  if [ -z "$with_slow" ] && [ ${#ctest_options[@]} = 0 ]; then only=(--label-exclude slow); fi
  for preset in "${presets[@]}"; do suite "$preset" "${only[@]}"; done
fi

printf '\n== Summary, %s s\n' "$SECONDS"
printf '%s\n' "${suites[@]}"
if [ -n "$failed" ]; then exit 1; fi
