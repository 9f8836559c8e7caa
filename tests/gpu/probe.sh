#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# probe.sh gpu FOLDER ARCH [--no-gpu] | ranks FOLDER | nccl FOLDER ROOT...: compiles, links and runs a
# small program (tests/gpu/probes/), so that what is missing is told before the long build. The
# program is left in FOLDER. nccl: with the first ROOT that works, which the last line names; an empty
# one means where the compiler looks by itself. The last line says what works, or what does not.
set -uo pipefail
if [ $# -lt 2 ]; then
  echo "Usage: ${0##*/} gpu FOLDER ARCH [--no-gpu] | ranks FOLDER | nccl FOLDER ROOT..." >&2
  exit 2
fi
what=$1 folder=$2
shift 2
here=$(cd "$(dirname "$0")" && pwd)
log=$folder/probe-$what.log

# The first line that tells an error, of those that compilers and programs write.
reason() {
  grep -m 1 -iE 'error|cannot|failed|not found' "$log" || grep -v '^[[:space:]]*$' "$log" | tail -n 1
}

# attempt STEP COMMAND...: its output goes to the log.
attempt() {
  local step=$1
  shift
  "$@" >"$log" 2>&1 && return
  cat "$log"
  echo "a small program for $what $step: $(reason)"
  return 1
}

nccl_with() {
  local flags=()
  if [ -n "$1" ]; then
    if [ ! -e "$1/include/nccl.h" ]; then
      echo "$1/include/nccl.h is not there"
      return 1
    fi
    for lib in "$1/lib" "$1/lib64"; do
      if [ -d "$lib" ]; then flags+=("-L$lib" "-Wl,-rpath,$lib"); fi
    done
    flags+=("-I$1/include")
  fi
  # The headers of NCCL include CUDA's; Python's package has no libnccl.so.
  attempt "cannot be compiled" g++ "$here/probes/nccl.cpp" -o "$folder/nccl" "${flags[@]}" -I"$toolkit/include" \
    -l:libnccl.so.2 && attempt "does not run" "$folder/nccl"
}

toolkit=$(realpath "$(dirname "$(realpath "$(command -v nvcc)")")/..")
case $what in
  gpu)
    attempt "cannot be compiled" nvcc -arch="$1" "$here/probes/gpu.cu" -o "$folder/gpu" -lcublasLt \
      -Xlinker "-rpath,$toolkit/lib64" && attempt "does not run" "$folder/gpu" "${@:2}" && cat "$log"
    ;;
  ranks)
    attempt "cannot be compiled" mpicxx "$here/probes/ranks.cpp" -o "$folder/ranks" -ldnnl -lhwloc &&
      attempt "do not run" "$here/../../launch/mpirun.sh" 2 "$folder/ranks" && tail -n 1 "$log"
    ;;
  nccl)
    for root in "$@"; do
      if nccl_with "$root"; then
        echo "NCCL in ${root:-the system}"
        exit 0
      fi
    done
    exit 1
    ;;
  *) echo "${0##*/}: error: $what: gpu, ranks or nccl is needed" >&2; exit 2 ;;
esac
